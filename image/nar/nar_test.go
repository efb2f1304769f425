package nar

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// odd makes a tree of all that may be in a store path, and of names that only a test has.
func odd(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	for _, dir := range []string{"", "empty", "a", "A", "a.b", "deep/er/still"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int{
		"a/file": 1, "A/file": 7, "a.b/file": 8, "a-b": 9, "a0": 0, "README": 100, "readme": 101,
		"Grüße 世界": 3, "new\nline": 4, "tab\t'\"\\": 5, "\xff\xfe": 6, strings.Repeat("n", 250): 16,
		"deep/er/still/" + strings.Repeat("x", 255): 15,
		"piece": pieceSize, "piece-1": pieceSize - 1, "piece+1": pieceSize + 1, "pieces": 3*pieceSize + 5,
	} {
		if err := os.WriteFile(filepath.Join(root, name), bytes.Repeat([]byte("z"), size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"a/run": 0o755, "a/read": 0o400, "a/owner": 0o700, "a/others": 0o655} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"link": "a/file", "dangling": strings.Repeat("/nowhere", 400), "a/dir": ".."} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestNix compares with what Nix itself makes of a tree.
func TestNix(t *testing.T) {
	root := odd(t)
	hollow(t, root+"/deep/hollow")
	for _, path := range []string{root, filepath.Join(root, "a/run"), filepath.Join(root, "README"),
		filepath.Join(root, "link"), filepath.Join(root, "empty"), "../../cmd"} {
		want, err := exec.Command("nix-store", "--dump", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		a := NewArchive(&got)
		if err := Walk(context.Background(), path, a); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) || a.Size() != int64(len(want)) {
			t.Errorf("%s: %d bytes that differ from Nix' %d", path, got.Len(), len(want))
		}
		sum, err := exec.Command("nix-hash", "--type", "sha256", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		hash, size, err := Hash(context.Background(), path)
		if err != nil || hash != "sha256:"+strings.TrimSpace(string(sum)) || size != int64(len(want)) {
			t.Errorf("%s: %s, %d bytes, %v, want %s, %d bytes", path, hash, size, err, sum, len(want))
		}
	}
}

// during is a visitor that does something when the first piece of a file comes.
type during func()

func (d during) Begin(*Entry) (bool, error)  { return true, nil }
func (d during) End(*Entry) error            { return nil }
func (d during) Write(p []byte) (int, error) { d(); return len(p), nil }

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	resize := func(path string, size int64) during {
		return func() {
			if err := os.Truncate(path, size); err != nil {
				t.Error(err)
			}
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(context.Background())
	small, large, grown := file("small", 10), file("large", 4*pieceSize), file("grown", 4*pieceSize)
	holes, more := hollow(t, dir+"/holes"), hollow(t, dir+"/more")
	for _, test := range []struct {
		path string
		ctx  context.Context
		v    Visitor
		want []string
	}{
		{large, t.Context(), resize(large, pieceSize), []string{large, "shrunk", "1048576 bytes were announced, 262144 came"}},
		{grown, t.Context(), resize(grown, 4*pieceSize+1), []string{grown, "grown"}},
		{holes, t.Context(), resize(holes, 100), []string{holes, "shrunk"}},
		{more, t.Context(), resize(more, 100<<20), []string{more, "grown"}},
		{fifo, t.Context(), NewSum(), []string{fifo, "neither"}},
		{dir + "/none", t.Context(), NewSum(), []string{dir + "/none", "no such file"}},
		{small, t.Context(), NewArchive(full{}), []string{"no room"}},
		{file("stopped", 2*pieceSize), stopped, during(stop), []string{"context canceled"}},
	} {
		err := Walk(test.ctx, test.path, test.v)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", test.path, err, want)
			}
		}
	}
}

// hollow makes a file with data between holes.
func hollow(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, at := range []int64{pieceSize - 100, 7 * pieceSize, 9<<20 + 1} {
		if _, err := f.WriteAt(bytes.Repeat([]byte("data"), 5000), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(20<<20 + 7); err != nil {
		t.Fatal(err)
	}
	return path
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

// counts is a visitor that wants some files only.
type counts struct{ entries, bytes int }

func (c *counts) Begin(e *Entry) (bool, error) { c.entries++; return e.Name == "README", nil }
func (c *counts) End(*Entry) error             { return nil }
func (c *counts) Write(p []byte) (int, error)  { c.bytes += len(p); return len(p), nil }

// TestVisitors walks once for two, of whom each gets what it wants.
func TestVisitors(t *testing.T) {
	root := odd(t)
	want, size, err := Hash(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	var some, more counts
	sum := NewSum()
	if err := Walk(t.Context(), root, &some, sum, &more); err != nil {
		t.Fatal(err)
	}
	if sum.Hash() != want || sum.Size() != size || some.bytes != 100 || some != more || some.entries != 32 {
		t.Errorf("%s %d %+v %+v", sum.Hash(), sum.Size(), some, more)
	}
}
