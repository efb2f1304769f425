package boot

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image"
)

// nixBox is a root with a store of two paths, as an image brings it: Nix knows neither.
type nixBox struct {
	t     *testing.T
	root  string
	paths []string
}

func newNixBox(t *testing.T) nixBox {
	t.Helper()
	b := nixBox{t: t, root: t.TempDir()}
	t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", b.root).Run() }) // the store is read-only
	for _, name := range []string{"one", "two"} {
		b.paths = append(b.paths, strings.TrimSpace(b.nix("--add", filepath.Join(newRoot(t, map[string]string{name: name}), name))))
	}
	b.register(2)
	b.bare()
	b.program(`exec nix-store "$@"`)
	return b
}

// bare makes the state of Nix what an image brings.
func (b nixBox) bare() {
	b.t.Helper()
	remove(b.t, b.root+nixState)
	put(b.t, b.root, nixState+"/db/schema", "10", 0o644)
}

// program makes a shell script the nix-store of the box.
func (b nixBox) program(script string) {
	b.t.Helper()
	put(b.t, b.root, "bin/nix-store", "#!/bin/sh\nPATH=/usr/bin:/bin\n"+script+"\n", 0o755)
}

// nix runs the machine's nix-store on the box's store.
func (b nixBox) nix(args ...string) string {
	b.t.Helper()
	cmd := exec.Command("nix-store", append(args, "--store", b.root)...)
	cmd.Env = append(os.Environ(), "NIX_CONFIG=build-users-group =")
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("nix-store %q: %v", args, err)
	}
	return string(out)
}

// register writes the registration of the first n paths, as Nix writes it.
func (b nixBox) register(n int) {
	b.t.Helper()
	text := ""
	for _, path := range b.paths[:n] {
		text += strings.Join([]string{path, strings.TrimPrefix(strings.TrimSpace(b.nix("-q", "--hash", path)), "sha256:"), strings.TrimSpace(b.nix("-q", "--size", path)), "", "0", ""}, "\n")
	}
	put(b.t, b.root, registrationPath, text, 0o644)
}

// load is what the service does. It returns its exit code and what it says.
func (b nixBox) load() (int, string) {
	var out bytes.Buffer
	c := &Container{Root: b.root, Config: image.Config{NixStore: "/bin/nix-store"}}
	return LoadNixDatabase(context.Background(), c, &out), out.String()
}

func (b nixBox) valid(path string) bool {
	return exec.Command("nix-store", "--check-validity", path, "--store", b.root).Run() == nil
}

func TestNixDatabase(t *testing.T) {
	b := newNixBox(t)
	if b.valid(b.paths[0]) {
		t.Fatal("Nix knows the paths already")
	}
	if code, says := b.load(); code != 0 || says != "Nix knows what the image's store holds\n" {
		t.Errorf("the first time it ends with %d and says %q", code, says)
	}
	for _, path := range b.paths {
		if !b.valid(path) {
			t.Errorf("Nix does not know %s", path)
		}
	}
	b.nix("--verify", "--check-contents")

	b.program("exit 3")
	if code, says := b.load(); code != 0 || says != "" {
		t.Errorf("the second time it ends with %d and says %q", code, says)
	}
}

// A kill in the middle, a database that is lost and another registration all make it load.
func TestNixDatabaseAgain(t *testing.T) {
	b := newNixBox(t)
	b.program("head -c 20 >/dev/null; kill -9 $$")
	if code, says := b.load(); code != 1 || !strings.Contains(says, "telling Nix what the image's store holds: ") {
		t.Errorf("killed, it ends with %d and says %q", code, says)
	}
	b.program(`head -n 6 | nix-store "$@"; kill -9 $$`) // a part of it is in the database
	if code, _ := b.load(); code != 1 {
		t.Errorf("killed later, it ends with %d", code)
	}
	b.keepsAll()
	b.program(`echo broken database >&2; exit 1`)
	if code, says := b.load(); code != 1 || !strings.Contains(says, "ends with 1: broken database") {
		t.Errorf("where Nix fails it ends with %d and says %q", code, says)
	}
	b.program(`exec nix-store "$@"`)
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"after that", func() {}},
		{"another registration", func() { b.register(1) }},
		{"the database is lost", b.bare},
		{"half a database is left", func() { b.bare(); put(t, b.root, nixNew+"/db/db.sqlite", "SQLite format 3", 0o644) }},
		{"a kill before the stamp", func() { remove(t, b.root+nixStamp) }},
	} {
		step.change()
		if code, says := b.load(); code != 0 || says == "" || !b.valid(b.paths[0]) {
			t.Errorf("%s: it ends with %d and says %q", step.name, code, says)
		}
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// keepsAll checks that the garbage collector does nothing as long as Nix does not know all
// of the store: to it everything would be garbage.
func (b nixBox) keepsAll() {
	b.t.Helper()
	out, err := exec.Command("nix-store", "--gc", "--store", b.root).CombinedOutput()
	if err == nil {
		b.t.Errorf("the garbage collector works on a store that Nix does not know:\n%s", out)
	}
	for _, path := range b.paths {
		if _, err := os.Stat(b.root + path); err != nil {
			b.t.Errorf("the garbage collector ate the system: %v", err)
		}
	}
}

func TestNixCollectsNothingBefore(t *testing.T) { newNixBox(t).keepsAll() }

func TestNixDatabaseOfNothing(t *testing.T) {
	b := newNixBox(t)
	remove(t, b.root+registrationPath)
	if code, says := b.load(); code != 0 || !strings.Contains(says, "has no /nix-path-registration") {
		t.Errorf("without a registration it ends with %d and says %q", code, says)
	}
	var out bytes.Buffer
	if code := LoadNixDatabase(context.Background(), &Container{Root: b.root}, &out); code != 0 || out.Len() > 0 {
		t.Errorf("without a Nix it ends with %d and says %q", code, &out)
	}
}

// The service waits for sshd where there is one, and is absent where there is no Nix.
func TestNixService(t *testing.T) {
	for _, test := range []struct {
		store string
		sshd  bool
		want  string
	}{
		{"/bin/nix-store", true, "[sshd]"}, {"/bin/nix-store", false, "[]"}, {"", true, "absent"},
	} {
		c := &Container{Root: t.TempDir(), Config: image.Config{NixStore: test.store}}
		if test.sshd {
			put(t, c.Root, sshdProgram, "", 0o755)
		}
		list, _ := c.builtin() // an image without sshd has an error of its own
		got := "absent"
		for _, svc := range list {
			if svc.Name == nixName {
				got = "[" + strings.Join(svc.After, " ") + "]"
			}
		}
		if got != test.want {
			t.Errorf("with %q, and sshd %v, it is after %s, want %s", test.store, test.sshd, got, test.want)
		}
	}
}
