package intercept

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenMemory opens the memory of the process of a thread, to be read and written at its
// addresses. Root without CAP_SYS_PTRACE may do this for processes whose capabilities are no more than
// its own, and where the host has Yama, as Ubuntu does, only if it is an ancestor.
func OpenMemory(tid int) (fd int, err error) {
	err = AsItself(tid, func() (err error) {
		fd, err = unix.Open("/proc/"+strconv.Itoa(tid)+"/mem", unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("opening the memory of process %d: %w", tid, err)
	}
	return fd, nil
}

// Denied says whether an error is that something is not allowed.
func Denied(err error) bool { return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) }

// AsItself does something that the kernel allows to a thread's own user, which root
// without CAP_SYS_PTRACE is not: where it is denied it is done once more as that user.
func AsItself(tid int, do func() error) error {
	err := do()
	if !Denied(err) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(tid), &st); err != nil {
		return err
	}
	runtime.LockOSThread() // the file-system user is the thread's
	defer runtime.UnlockOSThread()
	uid, gid := os.Geteuid(), os.Getegid()
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return err
	}
	if _, err := unix.SetfsgidRetGid(int(st.Gid)); err != nil {
		return err
	}
	_, _ = unix.SetfsuidRetUid(int(st.Uid)) // where it is refused what follows is too
	err = do()
	_, _ = unix.SetfsuidRetUid(uid)
	_, _ = unix.SetfsgidRetGid(gid)
	// The kernel takes a change of user for a reason to hide this process from its own.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	return err
}
