package services

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// IsShim says whether this process was started by startShim, to become a
// service's. It must be the first question of main.
func IsShim() bool { return len(os.Args) == 2 && os.Args[0] == shimName }

// Exit codes of a process whose program could not be executed; see env(1).
const (
	exitNotFound   = 127
	exitCannotExec = 126
)

// ShimMain sets what the specification asks for and becomes the service's
// program. It never returns. The caller is the main goroutine, locked to its
// thread: what is set is partly the thread's, and that thread executes the program.
func ShimMain() {
	err := errors.New("it is not to be started by hand")
	number, e := strconv.Atoi(os.Args[1])
	report := number + 1
	if e == nil {
		// The report's end is how the parent learns that the program was executed.
		_, err = unix.FcntlInt(uintptr(report), unix.F_SETFD, unix.FD_CLOEXEC)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, shimName+":", err)
		os.Exit(exitCannotExec)
	}
	spec, err := readSpec(number)
	if err == nil {
		err = spec.become()
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	// Where the parent has gone nobody wants to know.
	_, _ = unix.Write(report, fmt.Appendf(nil, "%d %v", int(errno), err))
	if errno == unix.ENOENT {
		os.Exit(exitNotFound)
	}
	os.Exit(exitCannotExec)
}

func readSpec(fd int) (shim, error) {
	defer unix.Close(fd)
	var b []byte
	if st := (unix.Stat_t{}); unix.Fstat(fd, &st) == nil && st.Size > 0 {
		b = make([]byte, 0, st.Size+1)
	}
	b, err := readAll(fd, b)
	if err != nil {
		return shim{}, fmt.Errorf("reading the command: %w", err)
	}
	spec, ok := decodeShim(b)
	if !ok {
		return shim{}, errors.New("reading the command: it is incomplete")
	}
	return spec, nil
}

func readAll(fd int, b []byte) ([]byte, error) {
	for {
		b = slices.Grow(b, 512)
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return b, err
		}
		b = b[:len(b)+n]
	}
}

// become does all that can fail and, at last, executes the program.
func (s *shim) become() error {
	if err := s.setLimits(false); err != nil {
		return err
	}
	if s.umask >= 0 {
		unix.Umask(s.umask)
	}
	if s.oomScore != nil {
		if err := setOOMScore(*s.oomScore); err != nil {
			return fmt.Errorf("setting OOMScoreAdjust: %w", err)
		}
	}
	if err := switchTo(s.credential); err != nil {
		return err
	}
	if s.noNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("setting NoNewPrivileges: %w", err)
		}
	}
	if s.dir != "" {
		if err := unix.Chdir(s.dir); err != nil {
			return fmt.Errorf("entering WorkingDirectory %s: %w", s.dir, err)
		}
	}
	if s.listenFds > 0 {
		s.env = append(s.env, "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	}
	if err := s.setLimits(true); err != nil {
		return err
	}
	return execError(s.path, s.argv, s.env, syscall.Exec(s.path, s.argv, s.env))
}

// setLimits is called twice. Limits that would hit the Go runtime, which ends a
// program that gets no memory or thread, are only raised before a switch of
// users, and lowered at the very end, with room made for what Exec allocates.
func (s *shim) setLimits(last bool) error {
	tight := false
	for _, l := range s.limits {
		var err error
		switch {
		case !l.hitsUs() && !last:
			err = l.set()
		case l.hitsUs() && last:
			if !tight && l.resource != unix.RLIMIT_NPROC { // a collection would want threads
				s.makeRoom()
				tight = true
			}
			err = l.set()
		case l.hitsUs():
			err = l.raise()
		}
		if err != nil {
			return fmt.Errorf("setting Limit%s: %w", limitName(l.resource), err)
		}
	}
	return nil
}

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

// makeRoom leaves free memory in the heap for copies of arguments and environment:
// it makes them as Exec will, twice, and drops them, so that what the runtime
// needs to keep books of them is there too.
func (s *shim) makeRoom() {
	var copies [][]*byte
	for range 2 {
		for _, list := range [][]string{s.argv, s.env} {
			pointers, err := syscall.SlicePtrFromStrings(list)
			if err != nil {
				return // Exec will say so
			}
			copies = append(copies, pointers)
		}
	}
	room := make([]byte, 1<<20)
	runtime.KeepAlive(room)
	runtime.KeepAlive(copies)
	runtime.GC()
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

// setOOMScore leaves it where this container may not lower it, as systemd does:
// half of the units that ask for that would not run otherwise.
func setOOMScore(score int) error {
	err := os.WriteFile("/proc/self/oom_score_adj", strconv.AppendInt(nil, int64(score), 10), 0)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

// switchTo takes another user's identity, on all threads.
func switchTo(c *syscall.Credential) error {
	if c == nil {
		return nil
	}
	if !c.NoSetGroups {
		groups := make([]int, len(c.Groups))
		for i, gid := range c.Groups {
			groups[i] = int(gid)
		}
		if err := syscall.Setgroups(groups); err != nil {
			return fmt.Errorf("switching to groups %v: %w", groups, err)
		}
	}
	if err := syscall.Setgid(int(c.Gid)); err != nil {
		return fmt.Errorf("switching to group %d: %w", c.Gid, err)
	}
	if err := syscall.Setuid(int(c.Uid)); err != nil {
		return fmt.Errorf("switching to user %d: %w", c.Uid, err)
	}
	return nil
}

// fields reads what encode wrote.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) text() string {
	end := bytes.IndexByte(f.rest, 0)
	if end < 0 {
		f.bad = true
		return ""
	}
	text := string(f.rest[:end])
	f.rest = f.rest[end+1:]
	return text
}

func (f *fields) number() int { return int(f.long()) }

func (f *fields) long() uint64 {
	text := f.text()
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return uint64(n)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	f.bad = f.bad || err != nil
	return n
}

func (f *fields) list() []string {
	var list []string
	for range f.number() {
		if f.bad {
			return nil
		}
		list = append(list, f.text())
	}
	return list
}

func decodeShim(b []byte) (s shim, ok bool) {
	f := fields{rest: b}
	s.path, s.dir = f.text(), f.text()
	s.argv, s.env = f.list(), f.list()
	if score := f.text(); score != "" {
		n, err := strconv.Atoi(score)
		s.oomScore, f.bad = &n, f.bad || err != nil
	}
	s.umask = f.number()
	s.noNewPrivs = f.text() == "true"
	s.listenFds = f.number()
	for range f.number() {
		s.limits = append(s.limits, limit{f.number(), f.long(), f.long()})
	}
	if n := f.number(); n > 0 && !f.bad {
		s.credential = &syscall.Credential{Uid: uint32(f.long()), Gid: uint32(f.long())}
		for range n - 3 {
			s.credential.Groups = append(s.credential.Groups, uint32(f.long()))
		}
		s.credential.NoSetGroups = f.text() == "true"
	}
	return s, !f.bad && len(f.rest) == 0
}
