package services

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// shim is what a process does between fork and execve that Go's fork cannot.
// Our own program, started under another name, does it: see ShimMain.
type shim struct {
	path       string // of the program; absolute
	argv       []string
	env        []string
	dir        string
	credential *syscall.Credential // nil: nothing is switched
	umask      int                 // -1: as it is
	limits     []limit
	oomScore   *int
	noNewPrivs bool
	listenFds  int  // so many sockets from descriptor 3 on: LISTEN_PID is set
	filter     bool // its network calls are asked about: see intercepted.go
}

type limit struct {
	resource  int
	soft, max uint64
}

// needsShim says whether the processes of a service need the detour, which costs
// them some 3 ms.
func needsShim(svc *Service, listenFds int, filter bool) bool {
	return filter || svc.UMask.Set || len(svc.Limit) > 0 || svc.OOMScoreAdjust != nil || svc.NoNewPrivileges || listenFds > 0
}

// shim fills in what the definition says.
func (x *Execution) shim(path string, argv, env []string, dir string, cred *syscall.Credential, listenFds int) (shim, error) {
	spec := shim{path: path, argv: argv, env: env, dir: dir, credential: cred, umask: -1,
		oomScore: x.OOMScoreAdjust, noNewPrivs: x.NoNewPrivileges, listenFds: listenFds}
	if x.UMask.Set {
		spec.umask = int(x.UMask.FileMode & 0o777)
	}
	for name, value := range x.Limit {
		resource, l, err := parseLimit(name, value)
		if err != nil {
			return shim{}, err
		}
		spec.limits = append(spec.limits, limit{resource, l.Cur, l.Max})
	}
	return spec, nil
}

// shimName is the program's name, argv[0], when it is to be a shim.
const shimName = "init-exec"

// startShim starts program, which is our own, as a shim with the Files of attr,
// and its Sys but for the credential; all else is in spec. failure is at its end when the service's program runs;
// before that it may yield an error: see readFailure. The caller closes it.
//
// With a filter in spec, listener is what receiveListener reads.
//
// The specification goes by a descriptor: what is in an environment may be
// secret, and arguments are for all to see.
func startShim(program string, spec shim, attr *syscall.ProcAttr) (pid int, failure, listener *os.File, err error) {
	in, err := specFile(spec.encode())
	if err != nil {
		return 0, nil, nil, fmt.Errorf("passing the command on: %w", err)
	}
	defer unix.Close(in)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return 0, nil, nil, fmt.Errorf("making a pipe: %w", err)
	}
	defer unix.Close(p[1])
	n := len(attr.Files)
	child := syscall.ProcAttr{
		// Of the service's environment only what tells its processes from others':
		// the rest, such as GODEBUG, is not for us.
		Env:   append(invocation(spec.env), "GOGC=off"),
		Files: append(slices.Clone(attr.Files), uintptr(in), uintptr(p[1])),
	}
	if attr.Sys != nil {
		sys := *attr.Sys
		sys.Credential = nil
		child.Sys = &sys
	}
	if spec.filter {
		var theirs *os.File
		if listener, theirs, err = listenerSocket(); err != nil {
			unix.Close(p[0])
			return 0, nil, nil, err
		}
		defer theirs.Close()
		child.Files = append(child.Files, theirs.Fd())
	}
	if err = unix.SetNonblock(p[0], true); err == nil { // ours alone: the other end stays as it is
		pid, err = syscall.ForkExec(program, []string{shimName, strconv.Itoa(n)}, &child)
	}
	if err != nil {
		unix.Close(p[0])
		listener.Close() // of nil it does nothing
		return 0, nil, nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return pid, os.NewFile(uintptr(p[0]), "failure of "+spec.path), listener, nil
}

func invocation(env []string) []string {
	for _, entry := range env {
		if strings.HasPrefix(entry, "INVOCATION_ID=") {
			return []string{entry}
		}
	}
	return nil
}

// specFile is a file in memory with these bytes, to be read from the start.
func specFile(b []byte) (fd int, err error) {
	if fd, err = unix.MemfdCreate("command", unix.MFD_CLOEXEC); err != nil {
		return specPipe(b)
	}
	for at := 0; at < len(b) && err == nil; {
		var n int
		n, err = unix.Pwrite(fd, b[at:], int64(at))
		at += n
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// specPipe is for where there is no memfd; a pipe holds a megabyte at most.
func specPipe(b []byte) (fd int, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, err
	}
	defer unix.Close(p[1])
	if _, err = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, len(b)); err == nil || len(b) <= 64<<10 {
		var n int
		if n, err = unix.Write(p[1], b); err == nil && n < len(b) {
			err = unix.E2BIG
		}
	}
	if err = errors.Join(err, unix.SetNonblock(p[0], false)); err != nil {
		unix.Close(p[0])
		return -1, err
	}
	return p[0], nil
}

// encode writes fields, each of which ends with the NUL that no argument or
// variable can hold. (JSON would change bytes that are not UTF-8.)
func (s *shim) encode() []byte {
	var b []byte
	put := func(text string) { b = append(append(b, text...), 0) }
	number := func(n int) { put(strconv.Itoa(n)) }
	put(s.path)
	put(s.dir)
	for _, list := range [][]string{s.argv, s.env} {
		number(len(list))
		for _, text := range list {
			put(text)
		}
	}
	if s.oomScore == nil {
		put("")
	} else {
		number(*s.oomScore)
	}
	number(s.umask)
	put(strconv.FormatBool(s.noNewPrivs))
	number(s.listenFds)
	put(strconv.FormatBool(s.filter))
	number(len(s.limits))
	for _, l := range s.limits {
		number(l.resource)
		put(strconv.FormatUint(l.soft, 10))
		put(strconv.FormatUint(l.max, 10))
	}
	if c := s.credential; c == nil {
		number(0)
	} else {
		number(3 + len(c.Groups))
		for _, id := range append([]uint32{c.Uid, c.Gid}, c.Groups...) {
			put(strconv.FormatUint(uint64(id), 10))
		}
		put(strconv.FormatBool(c.NoSetGroups))
	}
	return b
}

// readFailure reads what a shim wrote before it gave up; it is nil at the end of
// a file without anything. The error is, by errors.Is, the kernel's.
func readFailure(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	number, text, _ := strings.Cut(string(b), " ")
	errno, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("a start failed, and said %q", b)
	}
	return &startError{errno: syscall.Errno(errno), text: text}
}

// startError is an error of another process.
type startError struct {
	errno syscall.Errno
	text  string
}

func (e *startError) Error() string { return e.text }
func (e *startError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}
