package services

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// readProc reads a file that the kernel makes up, of /proc or of a control group. Package os
// would ask its poller to watch it, which takes six more system calls, and that of a control
// group can be watched: another thread would be woken each time.
func readProc(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 2048)
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return b, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return b, nil
		default:
			b = b[:len(b)+n]
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}
