package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
	"github.com/fleek-platform/nix2vast/image/registry"
)

const pushedRoot = "/nix/store/00000000000000000000000000000000-rootfs"

// pushed runs the program with arguments of image push, for a small plan, in a folder of its own.
func pushed(t *testing.T, s settings, stdin string, args ...string) (stdout, stderr, plan string, err error) {
	t.Helper()
	return pushedTo(t, nil, s, stdin, args...)
}

// pushedTo is pushed, of a plan with registries.
func pushedTo(t *testing.T, registries []string, s settings, stdin string, args ...string) (stdout, stderr, plan string, err error) {
	t.Helper()
	places, err := json.Marshal(registries)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	etc := filepath.Join(dir, pushedRoot, "etc")
	if err := os.MkdirAll(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "hostname"), []byte("box\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	plan = filepath.Join(dir, "plan.json")
	if err := os.WriteFile(plan, []byte(`{"version": 1, "name": "sample", "tag": "t1", "tags": ["t2"], "registries": `+string(places)+`,
		"architecture": "amd64", "created": "1970-01-01T00:00:01Z", "config": {"Entrypoint": ["/init"]}, "closure": [],
		"rootfs": {"path": "`+pushedRoot+`", "narHash": "sha256:63ff151d714c2df3247d9786f7d36ad9aa4c820cc541b56636a71becc43f36d6", "narSize": 100}, "layers": {}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	s.cacheDir = filepath.Join(dir, "cache")
	var out, errs bytes.Buffer
	a := &app{settings: s}
	cmd := a.command()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(append([]string{"image", args[0], "--store", dir, plan}, args[1:]...))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), plan, err
}

func memoryRegistry(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(memory.New(memory.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestPush(t *testing.T) {
	host := memoryRegistry(t)
	stdout, stderr, plan, err := pushed(t, settings{}, "", "push", "--sbom", "--provenance", host+"/owner/sample")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.NewDigest(strings.TrimSpace(stdout))
	if err != nil || !strings.HasPrefix(stdout, host+"/owner/sample:t1@sha256:") || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("the output is %q (%v)", stdout, err)
	}
	if _, err := remote.Image(ref); err != nil {
		t.Error(err)
	}
	if !strings.Contains(stderr, "gzip: sent ") || !strings.Contains(stderr, "in 1 layers") {
		t.Errorf("the summary is missing: %s", stderr)
	}
	index, err := remote.Referrers(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 2 {
		t.Fatalf("%+v (%v)", m, err)
	}
	provenance, err := remote.Image(ref.Context().Digest(m.Manifests[1].Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	layers, err := provenance.Layers()
	if err != nil {
		t.Fatal(err)
	}
	r, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(strings.TrimPrefix(oci.Digest(b), "sha256:"))) {
		t.Errorf("the provenance does not have the plan's digest %s: %s", oci.Digest(b), text)
	}
}

// A plan with registries goes to those of one host alone, where that is asked for.
func TestPushOnly(t *testing.T) {
	host := memoryRegistry(t)
	for _, c := range []struct {
		only  string
		count int // of images that are pushed
		says  string
	}{
		{"", 2, ""},
		{host, 1, ""},
		{"ghcr.io", 0, "the plan names no registry"},
	} {
		t.Run(c.only, func(t *testing.T) {
			args := []string{"push", "--allow-http"}
			if c.only != "" {
				args = append(args, "--only", c.only)
			}
			other := memoryRegistry(t)
			stdout, _, _, err := pushedTo(t, []string{host + "/owner", other + "/owner"}, settings{}, "", args...)
			if n := strings.Count(stdout, "@sha256:"); n != c.count {
				t.Errorf("%d images are pushed, want %d: %s", n, c.count, stdout)
			}
			if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error is %v, want %q", err, c.says)
			}
		})
	}
}

func TestPushJSON(t *testing.T) {
	host := memoryRegistry(t)
	stdout, _, _, err := pushed(t, settings{}, "", "push", "--json", "--compression", "both", "--tag", "x", host+"/owner/sample")
	if err != nil {
		t.Fatal(err)
	}
	var r registry.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if len(r.Images) != 2 || r.Images[0].Tags[0] != "x" || r.Images[1].Tags[0] != "x-zstd" || r.Images[0].Digest == r.Images[1].Digest {
		t.Errorf("%+v", r)
	}
	if strings.Contains(stdout, `"level"`) {
		t.Errorf("there is a level that nobody chose: %s", stdout)
	}
}

// TestPushLevel has the level of the command line come to each layer that is pushed.
func TestPushLevel(t *testing.T) {
	host := memoryRegistry(t)
	seen := map[string]bool{}
	for _, c := range []struct {
		args  []string
		level int
	}{
		{[]string{"--compression", "both"}, 0},
		{[]string{"--compression", "both", "--compression-level", "1"}, 1},
		{[]string{"--compression", "both", "--compression-level", "9"}, 9},
	} {
		stdout, _, _, err := pushed(t, settings{}, "", append([]string{"push", "--json", host + "/owner/sample"}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		var r registry.Result
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%v: %s", err, stdout)
		}
		for n, format := range []layer.Compression{layer.Gzip, layer.Zstd} {
			if i := r.Images[n]; i.Compression != format || i.Level != c.level || seen[i.Digest] {
				t.Errorf("%v: %+v", c.args, i)
			}
			seen[r.Images[n].Digest] = true
		}
	}
}

// TestPushWrong is about what is refused before a registry is asked.
func TestPushWrong(t *testing.T) {
	for want, args := range map[string][]string{
		"names no registry":      {"push"},
		"has a scheme":           {"push", "https://ghcr.io/a/b"},
		"--compression lz4":      {"push", "--compression", "lz4", "ghcr.io/a/b"},
		"it is a number":         {"push", "--compression-level", "0", "ghcr.io/a/b"},
		"which has 1 to 9":       {"push", "--compression-level", "10", "ghcr.io/a/b"},
		"10 is no level of gzip": {"push", "--compression", "both", "--compression-level", "10", "ghcr.io/a/b"},
		"which has 1 to 22":      {"push", "--compression", "zstd", "--compression-level", "23", "ghcr.io/a/b"},
		"has no level":           {"push", "--compression", "none", "--compression-level", "1", "ghcr.io/a/b"},
		"holds no password":      {"push", "--username", "me", "--password-stdin", "ghcr.io/a/b"},
		"pass it with":           {"push", "--username", "me", "ghcr.io/a/b"},
		"no such file":           {"push", "--tls-ca", "/nowhere", "ghcr.io/a/b"},
		"REGISTRY_USER is not:":  {"push", "quay.io/a/b"},
	} {
		s := settings{}
		if strings.HasPrefix(want, "REGISTRY_USER") {
			s.logins.token = "secret"
		}
		stdout, _, _, err := pushed(t, s, "", args...)
		if err == nil || !strings.Contains(err.Error(), want) || stdout != "" {
			t.Errorf("%v: %v, want %q; output %q", args, err, want, stdout)
		}
	}
}

// TestPasswordFromStdin reads one line, whose end is no part of it.
func TestPasswordFromStdin(t *testing.T) {
	for _, in := range []string{"pass word", "pass word\n", "pass word\r\nmore"} {
		a := &app{}
		s, err := a.credentials(strings.NewReader(in), pushFlags{username: "me", passwordStdin: true})
		if err != nil || string(s.Password) != "pass word" {
			t.Errorf("%q is read as %q (%v)", in, string(s.Password), err)
		}
	}
}

func TestRegistrySettings(t *testing.T) {
	for _, v := range []string{"REGISTRY_USER", "REGISTRY_TOKEN", "GITHUB_TOKEN", "GITHUB_ACTOR"} {
		t.Setenv(v, "")
	}
	t.Setenv("GH_TOKEN", "gh")
	if l := readSettings().logins; l.githubToken != "gh" || l.githubFrom != "GH_TOKEN" {
		t.Errorf("%s from %q", string(l.githubToken), l.githubFrom)
	}
	t.Setenv("GITHUB_TOKEN", "github")
	t.Setenv("GITHUB_ACTOR", "me")
	t.Setenv("REGISTRY_USER", "u")
	t.Setenv("REGISTRY_TOKEN", "t")
	want := logins{user: "u", token: "t", githubUser: "me", githubFrom: "GITHUB_TOKEN", githubToken: "github"}
	if l := readSettings().logins; l != want {
		t.Errorf("%+v", l)
	}
}

func TestSBOM(t *testing.T) {
	stdout, _, _, err := pushed(t, settings{}, "", "sbom")
	if err != nil || !strings.Contains(stdout, `"spdxVersion": "SPDX-2.3"`) {
		t.Errorf("%s (%v)", stdout, err)
	}
}
