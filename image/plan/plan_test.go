package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/plan.json anew")

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func noFile(string) ([]byte, error) { return nil, fs.ErrNotExist }

func TestBuildIsGolden(t *testing.T) {
	p, out, err := Build(read(t, "attrs.json"), noFile)
	if err != nil {
		t.Fatal(err)
	}
	if want := "/nix/store/7h7h7h7h7h7h7h7h7h7h7h7h7h7h7h7h-sample-image.json"; out != want {
		t.Errorf("the output is %q, want %q", out, want)
	}
	got, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/plan.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, "plan.json"); !bytes.Equal(got, want) {
		t.Errorf("the plan is\n%s\nwant\n%s", got, want)
	}
	again, err := Read("testdata/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := again.Marshal(); !bytes.Equal(b, got) {
		t.Errorf("read and written again it is\n%s", b)
	}
}

// change decodes the attributes, or the plan, changes one place, and encodes them again.
func change(t *testing.T, file string, edit func(m map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(read(t, file), &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestModesOfAFile(t *testing.T) {
	attrs := change(t, "attrs.json", func(m map[string]any) {
		m["image"].(map[string]any)["modes"] = "/nix/store/8h8h8h8h8h8h8h8h8h8h8h8h8h8h8h8h-modes.json"
		m["image"].(map[string]any)["owners"] = "/nix/store/9h8h8h8h8h8h8h8h8h8h8h8h8h8h8h8h-owners.json"
	})
	p, _, err := Build(attrs, func(path string) ([]byte, error) {
		switch path {
		case "/nix/store/8h8h8h8h8h8h8h8h8h8h8h8h8h8h8h8h-modes.json":
			return []byte(`{"/tmp": "1777"}`), nil
		case "/nix/store/9h8h8h8h8h8h8h8h8h8h8h8h8h8h8h8h-owners.json":
			return []byte(`{"/srv": "1000:100"}`), nil
		}
		return nil, fs.ErrNotExist
	})
	if err != nil || p.Rootfs.Modes["/tmp"] != "1777" || p.Rootfs.Owners["/srv"] != "1000:100" {
		t.Errorf("the modes are %v, the owners %v, %v", p.Rootfs.Modes, p.Rootfs.Owners, err)
	}
	if _, _, err := Build(attrs, noFile); err == nil || !strings.Contains(err.Error(), "modes: file does not exist") {
		t.Errorf("of a file that is missing: %v", err)
	}
}

func TestGraphBySet(t *testing.T) {
	attrs := change(t, "attrs.json", func(m map[string]any) {
		set := map[string]any{}
		for _, e := range m["graph"].([]any) {
			info := e.(map[string]any)
			set[info["path"].(string)] = info
			delete(info, "path")
		}
		m["graph"] = set
	})
	p, _, err := Build(attrs, noFile)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := p.Marshal(); !bytes.Equal(b, read(t, "plan.json")) {
		t.Errorf("the plan is\n%s", b)
	}
}

// A root file system that names itself must be in the store too, or the name leads nowhere.
func TestRootfsThatRefersToItself(t *testing.T) {
	attrs := change(t, "attrs.json", func(m map[string]any) {
		root := m["graph"].([]any)[0].(map[string]any)
		root["references"] = append(root["references"].([]any), root["path"])
	})
	p, _, err := Build(attrs, noFile)
	if err != nil || !slices.ContainsFunc(p.Closure, func(c Path) bool { return c.Path == p.Rootfs.Path.Path }) {
		t.Errorf("the closure lacks %s, %v", p.Rootfs.Path.Path, err)
	}
}

// TestLabels holds that the author's words stay, and that nothing is invented.
func TestLabels(t *testing.T) {
	p := Plan{Name: "sample", Tag: "v1", Created: epoch}
	p.describe("", "")
	const prefix = "org.opencontainers.image."
	if len(p.Config.Labels) != 2 || p.Config.Labels[prefix+"title"] != "sample" || p.Config.Labels[prefix+"version"] != "v1" {
		t.Errorf("the labels are %v", p.Config.Labels)
	}
	if len(p.Annotations) != 3 || p.Annotations[prefix+"ref.name"] != "v1" {
		t.Errorf("the annotations are %v", p.Annotations)
	}
	p = Plan{Name: "sample", Tag: "v1", Created: "2025-09-14T14:24:37Z"}
	p.Config.Labels = map[string]string{prefix + "version": "2", prefix + "source": ""}
	p.describe("abc", "https://example.org")
	want := map[string]string{"title": "sample", "version": "2", "source": "", "revision": "abc", "created": "2025-09-14T14:24:37Z"}
	for key, value := range want {
		if got, ok := p.Config.Labels[prefix+key]; !ok || got != value {
			t.Errorf("the label %s is %q, want %q", key, got, value)
		}
	}
	if got := p.Annotations[prefix+"version"]; got != "2" {
		t.Errorf("the annotation of the version is %q, the label 2", got)
	}
	if len(p.Config.Labels) != len(want) {
		t.Errorf("the labels are %v", p.Config.Labels)
	}
}

func TestProblemsAreOneSentenceEach(t *testing.T) {
	one, two := Problems{"a"}, Problems{"a", "b"}
	if one.Error() != "a" || two.Error() != "2 problems:\n  a\n  b" {
		t.Errorf("they read %q and %q", one, two)
	}
	var list Problems
	if !errors.As(error(two), &list) || Problems(nil).err() != nil {
		t.Error("no problem is an error, or some are none")
	}
}
