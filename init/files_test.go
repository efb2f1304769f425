package boot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// newRoot returns a root directory with the given files in it: path → content.
func newRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, content := range files {
		put(t, root, path, content, 0o644)
	}
	return root
}

func put(t *testing.T, root, path, content string, mode fs.FileMode) {
	t.Helper()
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(full, mode); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, root, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func symlink(t *testing.T, target, link string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

func wantMode(t *testing.T, root, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != want {
		t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
	}
}

func TestWriteFile(t *testing.T) {
	t.Run("new, then the same", func(t *testing.T) {
		root := t.TempDir()
		for _, want := range []string{"wrote /etc/a/b", ""} {
			if note, err := writeFile(root, "/etc/a/b", []byte("x"), 0o640); note != want || err != nil {
				t.Errorf("%q, %v, want %q", note, err, want)
			}
		}
		wantMode(t, root, "etc/a/b", 0o640)
	})
	t.Run("only the mode differs", func(t *testing.T) {
		root := newRoot(t, map[string]string{"/a": "x"})
		if note, err := writeFile(root, "/a", []byte("x"), 0o600); note == "" || err != nil {
			t.Errorf("%q, %v", note, err)
		}
		wantMode(t, root, "a", 0o600)
	})
	t.Run("through an absolute link and a relative one", func(t *testing.T) {
		root := newRoot(t, map[string]string{"/data/file": "old"})
		symlink(t, "/data/link", filepath.Join(root, "etc/file"))
		symlink(t, "file", filepath.Join(root, "data/link"))
		if _, err := writeFile(root, "/etc/file", []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := get(t, root, "data/file"); got != "new" {
			t.Errorf("the target holds %q", got)
		}
		if target, err := os.Readlink(filepath.Join(root, "etc/file")); target != "/data/link" {
			t.Errorf("the link is %q, %v", target, err)
		}
	})
	t.Run("a link into the store gives way", func(t *testing.T) {
		root := newRoot(t, map[string]string{"/nix/store/x-etc/file": "old"})
		symlink(t, "/nix/store/x-etc/file", filepath.Join(root, "etc/file"))
		if _, err := writeFile(root, "/etc/file", []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := get(t, root, "etc/file"); got != "new" {
			t.Errorf("the file holds %q", got)
		}
		if got := get(t, root, "nix/store/x-etc/file"); got != "old" {
			t.Errorf("the store holds %q", got)
		}
	})
	t.Run("a circle of links", func(t *testing.T) {
		root := t.TempDir()
		symlink(t, "b", filepath.Join(root, "a"))
		symlink(t, "a", filepath.Join(root, "b"))
		if _, err := writeFile(root, "/a", nil, 0o644); err == nil {
			t.Error("no error")
		}
	})
	t.Run("owners", func(t *testing.T) {
		root := newRoot(t, map[string]string{"/theirs": "old", "/secret": "old"})
		for path, want := range map[string]uint32{"theirs": 1, "secret": 0} {
			full := filepath.Join(root, path)
			if err := os.Chown(full, 1, 1); err != nil {
				t.Fatal(err)
			}
			mode := fs.FileMode(0o600)
			if path == "theirs" {
				mode = 0o640
			}
			if _, err := writeFile(root, "/"+path, []byte("new"), mode); err != nil {
				t.Fatal(err)
			}
			var stat unix.Stat_t
			if err := unix.Stat(full, &stat); err != nil || stat.Uid != want || path == "theirs" && stat.Gid != 1 {
				t.Errorf("%s belongs to %d:%d, %v", path, stat.Uid, stat.Gid, err)
			}
		}
	})
	t.Run("what a kill left behind", func(t *testing.T) {
		root := newRoot(t, map[string]string{"/a": "old", "/a.nix2vast": "half"})
		if _, err := writeFile(root, "/a", []byte("new"), 0o644); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(root)
		if len(entries) != 1 || get(t, root, "a") != "new" {
			t.Errorf("%v, %v", entries, err)
		}
	})
}

// Docker and Kubernetes mount single files, which no other can replace.
func TestWriteMountedFile(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	root := newRoot(t, map[string]string{"/outside": "a long old content", "/etc/environment": ""})
	bind(t, filepath.Join(root, "outside"), filepath.Join(root, "etc/environment"))
	note, err := writeFile(root, "/etc/environment", []byte("new"), 0o644)
	if got := get(t, root, "outside"); note == "" || err != nil || got != "new" {
		t.Errorf("%q, %v, the file holds %q", note, err, got)
	}
	if err := unix.Unmount(filepath.Join(root, "etc/environment"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestReadInput(t *testing.T) {
	root := newRoot(t, map[string]string{"/ok": "x", "/large": strings.Repeat("x", maxInput+1)})
	symlink(t, "/dev/zero", filepath.Join(root, "loop"))
	if err := os.Mkdir(filepath.Join(root, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/ok": "", "/large": "larger than", "/dir": "not a regular file", "/none": "there is no file", "/loop": "there is no file"} {
		_, err := readInput(root, path)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if _, err := readInput("/", "/dev/zero"); err == nil {
		t.Error("/dev/zero is an input")
	}
}

func TestSetBlock(t *testing.T) {
	const block = "# BEGIN nix2vast\nx\n# END nix2vast\n"
	for _, tt := range []struct {
		name, text, body string
		top              bool
		want             string
	}{
		{"into nothing", "", "x", false, block},
		{"at the top", "a\n", "x", true, block + "a\n"},
		{"at the bottom", "a\n", "x\n", false, "a\n" + block},
		{"at the bottom, no final newline", "a", "x", false, "a\n" + block},
		{"in its place", "a\n# BEGIN nix2vast\nold\nold\n# END nix2vast\nb", "x", true, "a\n" + block + "b"},
		{"the same", "a\n" + block + "b\n", "x", false, "a\n" + block + "b\n"},
		{"away", "a\n" + block + "b", "", false, "a\nb"},
		{"away, not there", "a\r\nb", "", false, "a\r\nb"},
		{"twice", block + "a\n" + block, "x", false, block + "a\n"},
		{"with CRLF", "# BEGIN nix2vast\r\nold\r\n# END nix2vast\r\na", "x", false, block + "a"},
		{"no end", "# BEGIN nix2vast\ntheirs\n", "x", false, "theirs\n" + block},
		{"no end, then a whole one", "# BEGIN nix2vast\ntheirs\n" + block, "x", false, "theirs\n" + block},
		{"no beginning", "theirs\n# END nix2vast\n", "x", false, "theirs\n" + block},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := setBlock(tt.text, tt.body, tt.top)
			if got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			if again := setBlock(got, tt.body, tt.top); again != got {
				t.Errorf("again it is\n%s", again)
			}
		})
	}
}

func TestOneForReadOnly(t *testing.T) {
	inner := oneForReadOnly([]error{&placeError{"writing", "/a", syscall.EROFS}, &placeError{"writing", "/b", syscall.EROFS}})
	other := &placeError{"writing", "/d", syscall.EACCES}
	err := oneForReadOnly([]error{inner, errors.Join(&placeError{"making", "/c", syscall.EROFS}, other), nil})
	const want = "writing /d: permission denied\nthe file system is read-only, but this would have to change: /a, /b, /c"
	if err == nil || err.Error() != want || !errors.Is(err, syscall.EROFS) {
		t.Errorf("%v, want %s", err, want)
	}
	if err := oneForReadOnly([]error{nil}); err != nil {
		t.Errorf("%v out of nothing", err)
	}
}
