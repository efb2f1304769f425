package image

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// basic is what testdata/basic.nix says.
var basic = Config{
	Version:  1,
	Loader:   "/nix/store/00000000000000000000000000000000-glibc-2.40/lib/ld-linux-x86-64.so.2",
	Ldconfig: "/nix/store/00000000000000000000000000000000-glibc-2.40-bin/bin/ldconfig",
	NixStore: "/nix/store/00000000000000000000000000000000-nix-2.31/bin/nix-store",
	NoSSH:    true, RootPassword: true,
	Tailscale: Tailscale{Enable: true},
	Environment: map[string]string{
		"GREETING":  "two\nlines, \"quotes\", $dollars and \\",
		"WORKSPACE": "/workspace",
	},
	Services: map[string]json.RawMessage{
		"web": json.RawMessage(`{"ExecStart":["/bin/sh","-c","exec sleep infinity"]}`),
	},
	ProcessCompose:  json.RawMessage(`"/etc/process-compose.yaml"`),
	ModularServices: json.RawMessage(`{"cache":{"process":{"argv":["/bin/cache"]}}}`),
}

// Nix and Go agree on the config if both agree with the golden file.
func TestGoldenFileIsWhatNixWrites(t *testing.T) {
	nix := exec.Command("nix-instantiate", "--store", "dummy://", "--eval", "--strict", "--json", "testdata/basic.nix")
	nix.Stderr = os.Stderr
	got, err := nix.Output()
	if err != nil {
		t.Fatalf("evaluating testdata/basic.nix: %v", err)
	}
	want := golden(t)
	if !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
		t.Errorf("testdata/basic.nix evaluates to\n%s\nbut testdata/basic.json is\n%s", got, want)
	}
}

func TestGoldenFileIsWhatGoReads(t *testing.T) {
	got, err := Parse(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, basic) {
		t.Errorf("read %+v, want %+v", got, basic)
	}
}

// A field that Nix cannot set would be one that no image can have.
func TestGoldenFileHasEveryField(t *testing.T) {
	var fields map[string]any
	if err := json.Unmarshal(golden(t), &fields); err != nil {
		t.Fatal(err)
	}
	config := reflect.TypeFor[Config]()
	for i := range config.NumField() {
		name, _, _ := strings.Cut(config.Field(i).Tag.Get("json"), ",")
		if _, ok := fields[name]; !ok {
			t.Errorf("testdata/basic.json lacks %q", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"nothing", ``, "EOF"},
		{"an unknown field", `{"version":1,"loadr":"/x"}`, `unknown field "loadr"`},
		{"no version", `{}`, "version is 0, this init reads version 1"},
		{"a later version", `{"version":2}`, "version is 2, this init reads version 1"},
		{"a second object", `{"version":1} {}`, "there is text behind the JSON object"},
		{"garbage at the end", `{"version":1} x`, "there is text behind the JSON object"},
		{"a value of another type", `{"version":1,"environment":["A=b"]}`, "cannot unmarshal array"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.config))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Parse(%s) = %v, want an error with %q", test.config, err, test.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Run("without a config", func(t *testing.T) {
		got, err := Load(t.TempDir())
		if want := (Config{Version: Version}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Load = %+v, %v, want %+v", got, err, want)
		}
	})
	t.Run("from the image's place", func(t *testing.T) {
		root := t.TempDir()
		write(t, filepath.Join(root, ConfigPath), golden(t))
		got, err := Load(root)
		if err != nil || !reflect.DeepEqual(got, basic) {
			t.Errorf("Load = %+v, %v, want %+v", got, err, basic)
		}
	})
	t.Run("an error names the file", func(t *testing.T) {
		root := t.TempDir()
		path := filepath.Join(root, ConfigPath)
		write(t, path, []byte("{"))
		if _, err := Load(root); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Load = %v, want an error with %s", err, path)
		}
	})
	t.Run("a folder in its place", func(t *testing.T) {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, ConfigPath), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(root); err == nil {
			t.Error("Load gave no error")
		}
	})
}

func golden(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/basic.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLinesOfDefinitions(t *testing.T) {
	config := "{\"version\": 1,\n\"services\": {\n \"a\": {}, \"b\":\n {\n}},\n\n\"loader\": \"/x\", \"processCompose\": {\n},\n\"modularServices\": {}}"
	c, err := Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	for name, place := range map[string]struct {
		raw  json.RawMessage
		line int
		text string
	}{
		"a": {c.Services["a"], 3, "{}"}, "b": {c.Services["b"], 4, "{\n}"},
		"processCompose": {c.ProcessCompose, 7, "{\n}"}, "modularServices": {c.ModularServices, 9, "{}"},
	} {
		if got := Line(place.raw); got != place.line || string(bytes.TrimSpace(place.raw)) != place.text {
			t.Errorf("%s is %q on line %d, want %q on %d", name, place.raw, got, place.text, place.line)
		}
	}
}
