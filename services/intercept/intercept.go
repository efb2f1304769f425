// Package intercept puts a program under a seccomp filter that asks somebody else about
// the calls by which it reaches the network: connect, bind, getsockname, getpeername,
// and what sends to an address. It is both ends of the kernel's interface for that, see
// seccomp_unotify(2): Install on the side of the program, Receive, Valid and Send on
// the side that answers.
//
// The filter is kept by everything that the program starts, static programs, threads and
// other users' processes included, and cannot be taken off. While somebody holds the listener
// and nobody answers, calls wait; when the last holder is gone they fail with ENOSYS.
//
// io_uring reaches the network without a system call that a filter sees. So it does not exist for
// these programs, as engines have it since 2023. Nor does x32.
package intercept

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Op is one of the calls that are asked about.
type Op uint8

// The calls; the arguments are those of the system call of that name. Socketcall is how
// 32-bit x86 makes all of them: a number, and the address of the arguments, 32 bits each.
const (
	None Op = iota
	Connect
	Bind
	Getsockname
	Getpeername
	Sendto
	Sendmsg
	Sendmmsg
	Socketcall
)

// ioUringSetup has one number on every architecture.
const ioUringSetup = 425

// An ABI is one way to make system calls.
type ABI struct {
	arch  uint32 // AUDIT_ARCH_*, see linux/audit.h
	Calls map[int32]Op
	// Wide says that pointers have 64 bits.
	Wide bool
	x32  bool // numbers with that bit are calls too
}

// Of finds the call of a notification. ok is false for an architecture that no filter of ours lets ask.
func Of(n *Notification) (op Op, abi ABI, ok bool) {
	for _, abi := range abis {
		if abi.arch == n.Arch {
			return abi.Calls[n.Nr], abi, true
		}
	}
	return None, ABI{}, false
}

// Socketcalls are the numbers of net.h, by which socketcall(2) goes.
var Socketcalls = map[uint32]Op{2: Bind, 3: Connect, 6: Getsockname, 7: Getpeername, 11: Sendto, 16: Sendmsg, 20: Sendmmsg}

// Supported says why a filter of this kind is not to be had from this kernel. It looks at the
// version, since one older than 5.5 takes the filter and then knows no way to let a call go on.
func Supported() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("asking for the kernel's version: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	major, rest, _ := strings.Cut(release, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(strings.TrimRight(minor, "-+abcdefghijklmnopqrstuvwxyz"))
	if errA != nil || errB != nil || a > 5 || a == 5 && b >= 5 {
		return nil // the kernel itself decides
	}
	return fmt.Errorf("the kernel calls itself %s, and letting a call go on needs 5.5: %w", release, unix.ENOSYS)
}

// Install puts the filter on the calling thread, which the goroutine never leaves again, and
// gives its listener to send, which runs on a thread without it. The caller then executes the
// program. NoNewPrivs is set where the kernel wants that: sudo and the like work no more
// then. unix.EBUSY is for a thread that somebody else watches already.
func Install(send func(listener int) error) error {
	if err := Supported(); err != nil {
		return err
	}
	runtime.LockOSThread()
	listener, sent := make(chan int), make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		defer func() {
			if p := recover(); p != nil {
				sent <- fmt.Errorf("BUG: panic while passing the listener on: %v", p)
			}
		}()
		runtime.LockOSThread() // so that this thread is there before the filter is
		close(ready)
		fd, ok := <-listener
		if !ok {
			return
		}
		sent <- send(fd)
	}()
	<-ready
	fd, err := install()
	if err != nil {
		close(listener)
		return err
	}
	listener <- fd
	err = <-sent
	return errors.Join(err, unix.Close(fd))
}

func install() (int, error) {
	program := filter(abis)
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	set := func() (int, unix.Errno) {
		fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
			unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
		return int(fd), errno
	}
	fd, errno := set()
	if errno == unix.EACCES { // without CAP_SYS_ADMIN
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return -1, fmt.Errorf("setting NoNewPrivs: %w", err)
		}
		fd, errno = set()
	}
	switch errno {
	case 0:
		unix.CloseOnExec(fd)
		return fd, nil
	case unix.EBUSY:
		return -1, fmt.Errorf("its calls are watched by another filter already: %w", errno)
	}
	return -1, fmt.Errorf("the kernel or the host does not allow a seccomp filter with a listener: %w", errno)
}
