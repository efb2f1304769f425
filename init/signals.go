package boot

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct of that name on amd64 and arm64; see
// rt_sigaction(2).
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// nothing is the address of a signal handler that does nothing: signals.s.
var nothing uintptr

// handleTheRest gives a handler to the two signals that os/signal cannot catch,
// since they are the C library's: 32 and 34. (33 has one: the runtime uses it.)
//
// The kernel drops a signal from inside for which PID 1 has no handler, but not
// where the main thread blocks signals at that moment and another thread does not.
// Each fork is such a moment, and a signal that came then would end the container.
// Ignoring them would do too, but what is ignored stays so in every service.
func handleTheRest() {
	var act sigaction
	if sigactionOf(unix.SIGTERM, nil, &act) != nil {
		return
	}
	act.handler = nothing // with the flags and the way back of the runtime's own
	for _, sig := range []syscall.Signal{32, 34} {
		_ = sigactionOf(sig, &act, nil) // without it they are as before
	}
}

// sigactionOf sets and reads how a signal is handled, where the pointers are not nil.
func sigactionOf(sig syscall.Signal, set, old *sigaction) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(sigaction{}.mask), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
