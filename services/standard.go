package services

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// standard gives the descriptors that become stdin, stdout and stderr: journal
// and null, which stay the caller's, or files, which close closes. null may be
// open for reading alone.
func (x *Execution) standard(journal int, null *os.File) (in, out, err uintptr, close func(), e error) {
	var opened []int
	close = func() {
		for _, fd := range opened {
			unix.Close(fd)
		}
	}
	open := func(field, value string, flags int) uintptr {
		if e != nil {
			return 0
		}
		fd, failed := openStandard(value, flags)
		if failed != nil {
			close()
			opened, e = nil, fmt.Errorf("%s: %w", field, failed)
			return 0
		}
		opened = append(opened, fd)
		return uintptr(fd)
	}
	in = null.Fd()
	if x.StandardInput != "" && x.StandardInput != "null" {
		in = open("StandardInput", x.StandardInput, unix.O_RDONLY)
	}
	output := func(field, value string) uintptr {
		if value == "" || value == "journal" || value == "inherit" {
			return uintptr(journal)
		}
		return open(field, value, unix.O_WRONLY|unix.O_CREAT)
	}
	out = output("StandardOutput", x.StandardOutput)
	switch x.StandardError {
	case "", "inherit", x.StandardOutput: // two openings of one file would write over each other
		err = out
	default:
		err = output("StandardError", x.StandardError)
	}
	return in, out, err, close, e
}

// openStandard opens null, file:PATH, append:PATH or truncate:PATH.
func openStandard(value string, flags int) (int, error) {
	how, path, _ := strings.Cut(value, ":")
	switch how {
	case "null":
		path, flags = os.DevNull, flags&^unix.O_CREAT
	case "append":
		flags |= unix.O_APPEND
	case "truncate":
		flags |= unix.O_TRUNC
	}
	// A FIFO without a reader must not stop init; to the service it is to block.
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o644)
	if err == unix.ENXIO {
		return -1, fmt.Errorf("%s has no reader yet: %w", path, err)
	}
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}
