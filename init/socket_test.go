package boot

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSocketElsewhere: clients find it by the run directory; where it cannot be, that is said.
func TestSocketElsewhere(t *testing.T) {
	for name, tt := range map[string]struct {
		socket  string
		before  func(t *testing.T, root string)
		at      string // where it is
		problem string // part of it; "" for none
	}{
		"made with its directory": {"/shared/init/s", func(*testing.T, string) {}, "/shared/init/s", ""},
		"left by an earlier run": {"/shared/control.sock", func(t *testing.T, root string) {
			listen(t, filepath.Join(root, "shared"), true)
			listen(t, filepath.Join(root, runPath), true)
		}, "/shared/control.sock", ""},
		"somebody else's": {"/shared/control.sock", func(t *testing.T, root string) {
			listen(t, filepath.Join(root, "shared"), false)
		}, defaultSocket, "opening /shared/control.sock: file already exists; "},
		"a file": {"/shared/file", func(t *testing.T, root string) {
			put(t, root, "shared/file", "theirs", 0o644)
		}, defaultSocket, "opening /shared/file: file already exists; "},
		"no directory": {"/shared/file/s", func(t *testing.T, root string) {
			put(t, root, "shared/file", "theirs", 0o644)
		}, defaultSocket, "making /shared/file: not a directory; "},
		"the usual by another path": {"/var/run/nix2vast/control.sock", func(t *testing.T, root string) {
			listen(t, filepath.Join(root, runPath), true)
			put(t, root, "var/x", "", 0o644)
			if err := os.Symlink("../run", filepath.Join(root, "var/run")); err != nil {
				t.Fatal(err)
			}
		}, "/var/run/nix2vast/control.sock", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			tt.before(t, root)
			c := &Container{Root: root, Settings: Settings{Socket: tt.socket}}
			dir, err := makeRunDir(root)
			if err != nil {
				t.Fatal(err)
			}
			l, err := c.openControl(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if at := l.Addr().String(); at != filepath.Join(root, tt.at) {
				t.Errorf("it is at %s", at)
			}
			if found, err := runDir(root); found != dir || err != nil {
				t.Errorf("a client finds %s, %v", found, err)
			}
			conn, err := net.Dial("unix", filepath.Join(dir, controlSocket))
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if text := strings.Join(c.Problems, ""); (text == "") != (tt.problem == "") || !strings.Contains(text, tt.problem) {
				t.Errorf("the problem is %q, want %q", text, tt.problem)
			}
		})
	}
}
