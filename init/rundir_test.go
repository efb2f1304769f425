package boot

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// listen makes the control socket of a run directory; a stale one is what is left of it.
func listen(t *testing.T, dir string, stale bool) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, controlSocket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if stale {
		l.SetUnlinkOnClose(false)
		l.Close()
		return
	}
	t.Cleanup(func() { l.Close() })
}

// TestRunDirIsTheOneThatIsUsed where an image brings sockets of the box that it was made of.
func TestRunDirIsTheOneThatIsUsed(t *testing.T) {
	root := t.TempDir()
	if _, err := runDir(root); err != ErrNoInit {
		t.Errorf("where there is none: %v", err)
	}
	dirs := make([]string, len(runDirs))
	for i, d := range runDirs {
		dirs[i] = filepath.Join(root, d)
	}
	listen(t, dirs[0], true)
	if dir, err := runDir(root); dir != dirs[0] || err != nil {
		t.Errorf("the only one: %s, %v", dir, err)
	}
	listen(t, dirs[2], false)
	if dir, err := runDir(root); dir != dirs[2] || err != nil {
		t.Errorf("behind a stale one: %s, %v", dir, err)
	}
	listen(t, dirs[1], false)
	if dir, err := runDir(root); dir != dirs[1] || err != nil {
		t.Errorf("two that are used: %s, %v", dir, err)
	}
}
