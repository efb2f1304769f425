package services

import (
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hitsUs says whether the Go runtime, which ends a program that gets no memory or no
// thread, would not live under the limit. It is only raised before a switch of users,
// and lowered at the very end.
func (l limit) hitsUs() bool {
	return l.resource == unix.RLIMIT_AS || l.resource == unix.RLIMIT_DATA || l.resource == unix.RLIMIT_NPROC
}

// raise makes sure that the limit can be set later, without privileges.
func (l limit) raise() error {
	var now syscall.Rlimit
	if err := syscall.Getrlimit(l.resource, &now); err != nil || l.max <= now.Max {
		return err
	}
	return limit{l.resource, now.Cur, l.max}.set()
}

// set sets a limit, or what comes nearest to it: above its own hard limit a
// container without CAP_SYS_RESOURCE may not go, and systemd takes the same way.
// syscall's Setrlimit, as the runtime would otherwise put back what LimitNOFILE was.
func (l limit) set() error {
	want := syscall.Rlimit{Cur: l.soft, Max: l.max}
	err := syscall.Setrlimit(l.resource, &want)
	if err != syscall.EPERM {
		return err
	}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(l.resource, &now); err != nil {
		return err
	}
	want.Max = min(want.Max, now.Max)
	want.Cur = min(want.Cur, want.Max)
	return syscall.Setrlimit(l.resource, &want)
}

func limitName(resource int) string {
	for name, n := range limits {
		if n == resource {
			return name
		}
	}
	return strconv.Itoa(resource)
}

// executeWithin sets the limits that the Go runtime would not live under, and executes
// the program. From the first of them on nothing is allocated and no collection runs:
// syscall.Exec, which copies arguments and environment, must not be what executes it.
func (s *shim) executeWithin(report int) error {
	debug.SetGCPercent(-1) // returns when none runs
	path, err := syscall.BytePtrFromString(s.path)
	if err != nil {
		return execError(s.path, s.argv, s.env, err)
	}
	argv, err := syscall.SlicePtrFromStrings(s.argv)
	if err != nil {
		return execError(s.path, s.argv, s.env, err)
	}
	env, err := syscall.SlicePtrFromStrings(s.env)
	if err != nil {
		return execError(s.path, s.argv, s.env, err)
	}
	explained := make(map[syscall.Errno][]byte)
	for _, errno := range []syscall.Errno{unix.E2BIG, unix.ENOENT, unix.ENOEXEC, unix.EACCES} {
		explained[errno] = reportOf(execError(s.path, s.argv, s.env, errno))
	}
	room := make([]byte, 0, len(s.path)+200)
	// No program has an empty name. What this leaves is the soft limit of open files as it
	// was before the Go runtime had raised it for itself.
	_ = syscall.Exec("", nil, nil)

	for _, l := range s.limits {
		if !l.hitsUs() {
			continue
		}
		if err := l.set(); err != nil {
			errno, _ := err.(syscall.Errno) // errors.As would allocate
			quit(report, appendReport(room, errno, "setting Limit", limitName(l.resource)), errno)
		}
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)),
		uintptr(unsafe.Pointer(unsafe.SliceData(argv))), uintptr(unsafe.Pointer(unsafe.SliceData(env))))
	text := explained[errno]
	if text == nil {
		text = appendReport(room, errno, "exec ", s.path)
	}
	quit(report, text, errno)
	return errno // it has not come here
}

// appendReport is reportOf for an error of a system call, and leaves it to the caller
// that there is room.
func appendReport(text []byte, errno syscall.Errno, doing ...string) []byte {
	text = append(strconv.AppendInt(text, int64(errno), 10), ' ')
	for _, word := range doing {
		text = append(text, word...)
	}
	return append(append(text, ": "...), errno.Error()...)
}
