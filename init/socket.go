package boot

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// openControl opens the control socket: in the run directory, or where it is wanted
// with a link to it in the run directory. So a client never has to know where that is.
func (c *Container) openControl(runDir string) (*net.UnixListener, error) {
	usual := filepath.Join(runDir, controlSocket)
	if c.Settings.Socket != "" {
		l, err := openElsewhere(c.Root, c.Settings.Socket, usual)
		if err == nil {
			return l, nil
		}
		c.Problems = append(c.Problems, fmt.Sprintf("NIX2VAST_SOCKET: %v; %s is used", err, usual))
	}
	return openSocket(usual)
}

// openElsewhere opens the socket at path and links usual to it. What is there and was not
// left by an init that has ended stays.
func openElsewhere(root, path, usual string) (*net.UnixListener, error) {
	full := filepath.Join(root, path)
	if _, err := makeDir(root, filepath.Dir(path), 0o755, false); err != nil {
		return nil, err
	}
	if st, err := os.Lstat(full); err == nil && (st.Mode()&os.ModeSocket == 0 || answers(full)) {
		return nil, &placeError{"opening", path, os.ErrExist}
	}
	l, err := openSocket(full)
	if err != nil {
		return nil, err
	}
	if err := linkTo(full, usual); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// openSocket listens for all users. A socket that an earlier run left is replaced.
func openSocket(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the control socket of an earlier run: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, fmt.Errorf("opening the control socket to all users: %w", err)
	}
	return l, nil
}

// linkTo makes link lead to the socket, unless it is the socket itself by another path.
func linkTo(socket, link string) error {
	one, err := os.Lstat(socket)
	if err != nil {
		return fmt.Errorf("looking at the control socket: %w", err)
	}
	if other, err := os.Lstat(link); err == nil && os.SameFile(one, other) {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the control socket of an earlier run: %w", err)
	}
	if err := os.Symlink(socket, link); err != nil {
		return fmt.Errorf("linking the control socket: %w", err)
	}
	return nil
}
