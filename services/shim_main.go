package services

import (
	"bytes"
	"errors"
	"fmt"
	"os"
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
	if err == nil && spec.filter {
		passListener(report + 1) // before a switch of users: with privileges NoNewPrivs is not needed
	}
	if err == nil {
		err = spec.become(report)
	}
	quit(report, reportOf(err), errnoOf(err))
}

// reportOf is what the parent reads of an error, with readFailure.
func reportOf(err error) []byte {
	return fmt.Appendf(nil, "%d %v", int(errnoOf(err)), err)
}

func errnoOf(err error) (errno syscall.Errno) {
	errors.As(err, &errno)
	return errno
}

// quit allocates nothing.
func quit(report int, text []byte, errno syscall.Errno) {
	_, _ = unix.Write(report, text) // where the parent has gone nobody wants to know
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
func (s *shim) become(report int) error {
	for _, l := range s.limits {
		set := l.set
		if l.hitsUs() {
			set = l.raise
		}
		if err := set(); err != nil {
			return fmt.Errorf("setting Limit%s: %w", limitName(l.resource), err)
		}
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
	if slices.ContainsFunc(s.limits, limit.hitsUs) {
		return s.executeWithin(report)
	}
	return execError(s.path, s.argv, s.env, syscall.Exec(s.path, s.argv, s.env))
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
	s.filter = f.text() == "true"
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
