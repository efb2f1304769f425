package intercept

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Notification is struct seccomp_notif of linux/seccomp.h: one call that waits for an answer.
type Notification struct {
	ID    uint64
	Pid   uint32 // of the thread, as the receiver sees it; 0 where it does not
	Flags uint32
	Nr    int32
	Arch  uint32
	IP    uint64
	Args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// Requests of ioctl(2); see linux/seccomp.h.
const (
	ioctlReceive  = 0xc0502100
	ioctlSend     = 0xc0182101
	ioctlValid    = 0x40082102
	ioctlSetFlags = 0x40082104

	flagContinue = 1
	syncWakeUp   = 1
)

// Answer is what becomes of a call: Go lets it go on, an Errno fails it, and Done is a
// success that the kernel never hears of.
type Answer int32

// The answers that are no error.
const (
	Done Answer = 0
	Go   Answer = -1
)

// Fail is the answer that a call fails with an error.
func Fail(errno unix.Errno) Answer { return Answer(errno) }

// Receive waits for a call and writes it to n, which must be all zero. unix.ENOENT is for a call
// that was given up meanwhile.
func Receive(listener int, n *Notification) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), ioctlReceive, uintptr(unsafe.Pointer(n)))
	if errno != 0 {
		return fmt.Errorf("receiving a notification: %w", errno)
	}
	return nil
}

// Valid says whether a call still waits. What was read of a process by its number belongs to the
// call only if this is true afterwards.
func Valid(listener int, id uint64) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), ioctlValid, uintptr(unsafe.Pointer(&id)))
	return errno == 0
}

// Send answers a call. unix.ENOENT is for one that does not wait any more: the process
// has died, or got a signal.
func Send(listener int, id uint64, a Answer) error {
	r := response{id: id}
	if a == Go {
		r.flags = flagContinue
	} else {
		r.err = -int32(a)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), ioctlSend, uintptr(unsafe.Pointer(&r)))
	if errno != 0 {
		return fmt.Errorf("answering a notification: %w", errno)
	}
	return nil
}

// Quicken has the two sides take turns on one processor, which halves the time of an answer.
// Kernels before 6.6 do not know it.
func Quicken(listener int) {
	_, _, _ = unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), ioctlSetFlags, syncWakeUp)
}

// Check says whether a descriptor is a listener: everything else would be harmed by our requests.
func Check(fd int) error {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return fmt.Errorf("looking at the listener: %w", err)
	}
	if !strings.HasPrefix(name, "anon_inode:seccomp notify") {
		return fmt.Errorf("%s is no listener of a seccomp filter", name)
	}
	return nil
}
