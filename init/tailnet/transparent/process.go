package transparent

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// thread is the one that made a call. What is asked of it by its number is of this thread only
// where the call still waits afterwards.
type thread struct {
	id     int
	memory int // a descriptor; -1: not open
	open   func(tid int) (int, error)
}

func (t *thread) close() {
	if t.memory >= 0 {
		unix.Close(t.memory)
		t.memory = -1
	}
}

// path is a file below /proc of the thread.
func (t *thread) path(name string) string { return "/proc/" + strconv.Itoa(t.id) + "/" + name }

// openMemory opens the memory of the process, once.
func (t *thread) openMemory() (err error) {
	if t.memory >= 0 {
		return nil
	}
	if t.memory, err = intercept.OpenMemory(t.id); intercept.Denied(err) && t.open != nil {
		var other error
		if t.memory, other = t.open(t.id); other != nil {
			return fmt.Errorf("%w; and by init: %w", err, other)
		}
		return nil
	}
	return err
}

// read fills b from an address of the process.
func (t *thread) read(b []byte, at uint64) error {
	if err := t.openMemory(); err != nil {
		return err
	}
	n, err := unix.Pread(t.memory, b, int64(at))
	if err == nil && n < len(b) {
		err = unix.EFAULT
	}
	return err
}

// write puts b at an address of the process, in read-only memory too.
func (t *thread) write(b []byte, at uint64) error {
	if err := t.openMemory(); err != nil {
		return err
	}
	n, err := unix.Pwrite(t.memory, b, int64(at))
	if err == nil && n < len(b) {
		err = unix.EFAULT
	}
	return err
}

func (t *thread) asItself(do func() error) error { return intercept.AsItself(t.id, do) }

// inode is the number of a socket, which no other has as long as the kernel runs.
func (t *thread) inode(fd int) (n uint64, ok bool) {
	var link [64]byte
	err := t.asItself(func() error {
		size, err := unix.Readlink(t.path("fd/"+strconv.Itoa(fd)), link[:])
		if err != nil {
			return err
		}
		digits, found := bytes.CutPrefix(link[:size], []byte("socket:["))
		if !found {
			return unix.ENOTSOCK
		}
		n, err = strconv.ParseUint(string(bytes.TrimSuffix(digits, []byte("]"))), 10, 64)
		return err
	})
	return n, err == nil
}

// streams says whether a socket is one of TCP. Where that cannot be told it is taken for one: what
// datagrams it sends to the relay then, nobody gets.
func (t *thread) streams(fd int) bool {
	var name [32]byte
	size := 0
	err := t.asItself(func() (err error) {
		size, err = unix.Getxattr(t.path("fd/"+strconv.Itoa(fd)), "system.sockprotoname", name[:])
		return err
	})
	// The kernel's names are TCP, TCPv6, MPTCP and so on.
	return err != nil || strings.Contains(unix.ByteSliceToString(name[:size]), "TCP")
}

// blocking says whether calls on a descriptor wait; where that cannot be told they do.
func (t *thread) blocking(fd int) bool {
	var b []byte
	err := t.asItself(func() (err error) {
		b, err = os.ReadFile(t.path("fdinfo/" + strconv.Itoa(fd)))
		return err
	})
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseUint(strings.TrimSpace(octal), 8, 32)
			return err != nil || flags&syscall.O_NONBLOCK == 0
		}
	}
	return true
}
