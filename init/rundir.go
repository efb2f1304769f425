package boot

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// runDirs are where the control socket and the reports may lie, the first that
// can be written. The others serve a read-only root without a tmpfs on /run:
// every engine gives a writable /dev/shm.
var runDirs = []string{"run/nix2vast", "tmp/nix2vast", "dev/shm/nix2vast"}

// controlSocket is the name of the control socket in the run directory.
const controlSocket = "control.sock"

// makeRunDir makes the run directory and returns it. A directory that another
// user made, which /tmp allows, is not taken.
func makeRunDir(root string) (string, error) {
	var why []string
	for _, d := range runDirs {
		dir := filepath.Join(root, d)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			why = append(why, err.Error())
			continue
		}
		if err := usable(dir); err != nil {
			why = append(why, err.Error())
			continue
		}
		return dir, nil
	}
	return "", fmt.Errorf("no directory for the control socket: %s", strings.Join(why, "; "))
}

// runDirOnce makes the run directory when it is first asked for, once.
func runDirOnce(root string) func() (string, error) {
	return sync.OnceValues(func() (string, error) { return makeRunDir(root) })
}

// usable checks that a directory is our own and can be written.
func usable(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("looking at %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return fmt.Errorf("%s belongs to somebody else", dir)
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("writing to %s: %w", dir, err)
	}
	return nil
}

// runDir is the run directory that this container uses: the one with the socket. An image
// that was made of a box has that box's: of several it is the first that is listened on.
func runDir(root string) (string, error) {
	var found []string
	for _, d := range runDirs {
		dir := filepath.Join(root, d)
		// A link leads to a socket that was wanted elsewhere; who may not look there is told so when it asks.
		if st, err := os.Lstat(filepath.Join(dir, controlSocket)); err == nil && st.Mode()&(os.ModeSocket|os.ModeSymlink) != 0 {
			found = append(found, dir)
		}
	}
	for i, dir := range found {
		if i == len(found)-1 || answers(filepath.Join(dir, controlSocket)) {
			return dir, nil
		}
	}
	return "", ErrNoInit
}

// answers says whether somebody listens on a socket.
func answers(path string) bool {
	conn, err := net.DialTimeout("unix", path, requestTimeout)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
