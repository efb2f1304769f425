package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// nixStore is a store of its own, in which the real Nix builds with its sandbox.
type nixStore struct {
	t       *testing.T
	dir     string
	program string
}

func newNixStore(t *testing.T) nixStore {
	t.Helper()
	s := nixStore{t: t, dir: t.TempDir()}
	s.program = filepath.Join(s.dir, "nix2vast")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", s.program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { // the store is read-only
		err := filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	return s
}

// build evaluates testdata/plan.nix in the store called name, and returns its folder and
// the path of the plan in it.
func (s nixStore) build(name, greeting string, more ...string) (store, path string) {
	s.t.Helper()
	busybox, err := filepath.Abs("../../build/debs/busybox")
	if err == nil {
		_, err = os.Stat(busybox)
	}
	if err != nil {
		s.t.Fatalf("make setup first: %v", err)
	}
	store = filepath.Join(s.dir, name)
	args := []string{"--store", store, "--no-out-link", "testdata/plan.nix",
		"--arg", "nix2vast", s.program, "--arg", "busybox", busybox, "--argstr", "greeting", greeting}
	build := exec.Command("nix-build", append(args, more...)...)
	build.Env = append(os.Environ(), "NIX_REMOTE=",
		"NIX_CONFIG=build-users-group =\nsandbox = true\nsubstituters =\nmax-jobs = 1\n")
	var log bytes.Buffer
	build.Stderr = &log
	out, err := build.Output()
	if err != nil {
		s.t.Fatalf("nix-build: %v\n%s", err, &log)
	}
	return store, strings.TrimSpace(string(out))
}

func (s nixStore) query(store string, args ...string) []string {
	s.t.Helper()
	out, err := exec.Command("nix-store", append([]string{"--store", store}, args...)...).Output()
	if err != nil {
		s.t.Fatalf("nix-store %s: %v", args, err)
	}
	return strings.Fields(string(out))
}

// TestPlanOfARealBuild holds that the plan that Nix' own sandbox makes is right and whole,
// the same when it is built again, and the same in another store.
func TestPlanOfARealBuild(t *testing.T) {
	s := newNixStore(t)
	store, path := s.build("one", "hello")
	first, err := os.ReadFile(store + path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Parse(first)
	if err != nil {
		t.Fatal(err)
	}
	if p.Rootfs.Modes["/tmp"] != "1777" || len(p.Files) != 1 || p.Files[0].Target != "/init" || len(p.Closure) != 2 {
		t.Errorf("the plan is\n%s", first)
	}
	// What Nix knows of each path, asked by other means.
	for _, c := range append([]plan.Path{p.Rootfs.Path, p.Files[0].Path}, p.Closure...) {
		hash := s.query(store, "--query", "--hash", c.Path)
		normal, err := plan.NormalHash(hash[0])
		if err != nil || normal != c.NarHash {
			t.Errorf("%s: the plan says %s, Nix %s, %v", c.Path, c.NarHash, hash, err)
		}
		refs := s.query(store, "--query", "--references", c.Path)
		slices.Sort(refs)
		if !slices.Equal(refs, c.References) {
			t.Errorf("%s refers to %v, says Nix, and %v the plan", c.Path, refs, c.References)
		}
	}
	// The plan keeps all that is in the image from the garbage collector.
	kept := s.query(store, "--query", "--requisites", path)
	for _, c := range append([]plan.Path{p.Rootfs.Path, p.Files[0].Path}, p.Closure...) {
		if !slices.Contains(kept, c.Path) {
			t.Errorf("the plan does not keep %s", c.Path)
		}
	}

	// --check builds again, and fails where the output differs.
	s.build("one", "hello", "--check")
	other, again := s.build("two", "hello")
	second, err := os.ReadFile(other + again)
	if err != nil || again != path || !bytes.Equal(first, second) {
		t.Errorf("in another store it is %s: %v\n%s", again, err, second)
	}
}
