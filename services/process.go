package services

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// started is a process that has been forked. Where failure is set its program has
// not been executed yet; it ends without a byte when it has.
type started struct {
	pid          int
	failure      *os.File
	notification *os.File // the read end behind NotificationFd
}

// newInvocation is a name for one run of a service: 32 hexadecimal digits. The kernel is
// asked at once: it names no secret, and the set-up of package rand is on the way to the
// first service.
func newInvocation() string {
	var b [16]byte
	if n, err := unix.Getrandom(b[:], unix.GRND_INSECURE); n < len(b) || err != nil { // before Linux 5.6
		_, _ = rand.Read(b[:]) // never fails
	}
	return hex.EncodeToString(b[:])
}

// prepare makes what a run needs beside its processes.
func (s *Supervisor) prepare(r *record) error {
	_, cred, err := r.account()
	if err != nil {
		return err
	}
	if r.given, err = r.makeDirectories(s.opts.Root, cred); err != nil {
		return err
	}
	if len(r.LoadCredential) > 0 {
		dir, err := s.opts.Run()
		if err != nil {
			return fmt.Errorf("LoadCredential: %w", err)
		}
		env, err := r.loadCredentials(filepath.Join(dir, "credentials", r.Name), cred)
		if err != nil {
			return err
		}
		r.given = append(r.given, env...)
	}
	if len(r.Sockets) > 0 && r.sockets == nil {
		files, names, err := r.openSockets(s.opts.Root)
		if err != nil {
			return err
		}
		r.sockets = &listeners{files, names}
	}
	if r.NotifyAccess != NotifyNone {
		return s.openNotify(r, cred)
	}
	return nil
}

// listeners are the sockets of a service, open over all its runs.
type listeners struct {
	files []*os.File
	names []string
}

// tidy removes what prepare made and a stopped service has no use for.
func (s *Supervisor) tidy(r *record) {
	restarting := r.again || r.state != Stopping
	for _, err := range []error{r.removeDirectories(s.opts.Root, restarting), s.removeCredentials(r)} {
		if err != nil {
			s.opts.Log.Warn(r.Name+": what it does not need any more stays", zap.Error(err))
		}
	}
}

func (s *Supervisor) removeCredentials(r *record) error {
	if len(r.LoadCredential) == 0 {
		return nil
	}
	dir, err := s.opts.Run()
	if err != nil {
		return nil // there never were any
	}
	return removeCredentials(filepath.Join(dir, "credentials", r.Name))
}

// fork starts a command of a service. It runs on the main thread alone: the
// reaper there sees that thread's children and nobody else's.
func (s *Supervisor) fork(r *record, cmd Command, main bool) (p started, err error) {
	if main && r.Probe != nil && len(r.Sockets) == 0 { // its own sockets are open already
		if err := r.Probe.portFree(); err != nil {
			return p, err
		}
	}
	x := r.Execution
	if cmd.Privileged {
		x.User, x.Group, x.SupplementaryGroups = "", "", nil
	}
	account, credential, err := x.account()
	if err != nil {
		return p, err
	}
	env, err := r.env(s.environ, account, s.variables(r, main)...)
	if err != nil {
		return p, err
	}
	argv := cmd.expand(env)
	if len(argv) == 0 {
		return p, errors.New("nothing is left of the command once its variables are replaced")
	}
	dir := r.directory(account)
	if dir != "/" {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return p, fmt.Errorf("WorkingDirectory %s cannot be entered: %w", dir, errOr(err, syscall.ENOTDIR))
		}
	}
	path, err := lookPath(argv[0], env, dir)
	if err != nil {
		return p, err
	}
	if cmd.Argv0 != "" {
		argv[0] = cmd.Argv0
	}
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Sys: &syscall.SysProcAttr{Credential: credential}}
	return s.exec(r, path, argv, attr, main)
}

// exec forks and executes, through the shim where that is needed.
func (s *Supervisor) exec(r *record, path string, argv []string, attr *syscall.ProcAttr, main bool) (p started, err error) {
	listen := 0
	if r.Foreground && main {
		attr.Files = []uintptr{0, 1, 2}
		foreground(attr.Sys)
	} else {
		done, err := s.files(r, attr, main, &p)
		if err != nil {
			return p, err
		}
		defer done()
		attr.Sys.Setsid = true
		if main {
			listen = len(r.passed())
		}
	}
	filter := s.intercepts(r)
	if needsShim(&r.Service, listen, filter) {
		var spec shim
		var listener *os.File
		if spec, err = r.shim(path, argv, attr.Env, attr.Dir, attr.Sys.Credential, listen); err == nil {
			spec.filter = filter
			p.pid, p.failure, listener, err = startShim(s.opts.Program, spec, attr)
		}
		if listener != nil {
			go s.takeListener(r, r.invocation, listener)
		}
	} else {
		p.pid, err = syscall.ForkExec(path, argv, attr)
		err = execError(path, argv, attr.Env, err)
	}
	if err != nil {
		if p.notification != nil {
			p.notification.Close()
		}
		return p, err
	}
	s.learnMemory()
	if r.OOMScoreAdjust == nil {
		s.expend(p.pid)
	}
	if r.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, p.pid, r.Nice); err != nil {
			s.opts.Log.Warn(fmt.Sprintf("%s: runs without Nice %d", r.Name, r.Nice), zap.Error(err))
		}
	}
	return p, nil
}

// variables are what tells a process about its run.
func (s *Supervisor) variables(r *record, main bool) []string {
	env := append([]string{invocationName + "=" + r.invocation}, r.given...)
	if r.notify != nil {
		env = append(env, "NOTIFY_SOCKET="+r.notify.path)
	}
	if main && r.WatchdogSec > 0 {
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(time.Duration(r.WatchdogSec).Microseconds(), 10))
	}
	if files := r.passed(); main && len(files) > 0 {
		names := make([]string, len(files))
		for i, f := range files {
			names[i] = f.name
		}
		env = append(env, "LISTEN_FDS="+strconv.Itoa(len(files)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	if !main && r.pid != 0 {
		env = append(env, "MAINPID="+strconv.Itoa(r.pid))
	}
	if r.ending {
		env = append(env, r.endVariables(r.exit)...)
	}
	return env
}

// endVariables are what systemd.exec(5) tells ExecStop and ExecStopPost of the end.
func (svc *Service) endVariables(x Exit) []string {
	code, status := "exited", strconv.Itoa(x.Code)
	if x.Signal != 0 {
		code, status = "killed", strings.TrimPrefix(signalName(x.Signal), "SIG")
	}
	return []string{"SERVICE_RESULT=" + svc.result(x), "EXIT_CODE=" + code, "EXIT_STATUS=" + status}
}

// passed are the descriptors that the main process is given from 3 on.
func (r *record) passed() []storedFile {
	var list []storedFile
	if r.sockets != nil {
		for i, f := range r.sockets.files {
			list = append(list, storedFile{r.sockets.names[i], f})
		}
	}
	for _, d := range r.Descriptors {
		list = append(list, storedFile{d.Name, d.File})
	}
	return append(list, r.store...)
}

// foreground makes the child the terminal's foreground process group, so that
// Ctrl-C, Ctrl-Z and job control reach it and not init. Without a terminal it
// only gets a group of its own.
func foreground(sys *syscall.SysProcAttr) {
	sys.Setpgid = true
	sys.Foreground = hasTerminal()
}

// hasTerminal is true where stdin is the terminal of init's own session: of
// another session's the foreground group cannot be set.
func hasTerminal() bool {
	_, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err == nil
}

// files sets a process's descriptors. The pipe behind stdout and stderr is kept
// over restarts: a grandchild that holds it open delays nothing, and no line is
// lost. done closes our copies of what only the child needs.
func (s *Supervisor) files(r *record, attr *syscall.ProcAttr, main bool, p *started) (done func(), err error) {
	if s.stdin == nil {
		if s.stdin, err = emptyInput(); err != nil {
			return nil, fmt.Errorf("opening an empty standard input: %w", err)
		}
	}
	if err := s.openPipe(r); err != nil {
		return nil, err
	}
	w, release, err := r.pipe.writer()
	if err != nil {
		return nil, err
	}
	in, out, errOut, closeStandard, err := r.standard(w, s.stdin)
	if err != nil {
		release()
		return nil, err
	}
	done = func() { closeStandard(); release() }
	attr.Files = []uintptr{in, out, errOut}
	if !main {
		return done, nil
	}
	for _, f := range r.passed() {
		attr.Files = append(attr.Files, f.file.Fd())
	}
	if r.NotificationFd == 0 {
		return done, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		done()
		return nil, fmt.Errorf("opening the pipe for NotificationFd: %w", err)
	}
	for len(attr.Files) <= r.NotificationFd {
		attr.Files = append(attr.Files, ^uintptr(0))
	}
	attr.Files[r.NotificationFd] = writer.Fd()
	p.notification = reader
	closeFiles := done
	return func() { writer.Close(); closeFiles() }, nil
}

// openPipe makes the pipe for what a service writes, the first time.
func (s *Supervisor) openPipe(r *record) (err error) {
	if r.pipe == nil {
		if r.pipe, err = s.opts.Journal.open(r.Name, r.LogLocation); err != nil {
			return fmt.Errorf("opening the pipe for the output: %w", err)
		}
	}
	return nil
}

// emptyInput is /dev/null, or the read end of a closed pipe in a container
// without one.
func emptyInput() (*os.File, error) {
	if f, err := os.Open(os.DevNull); err == nil {
		return f, nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	unix.Close(p[1])
	return os.NewFile(uintptr(p[0]), "empty input"), nil
}

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// watchExec reads in the background what the shim has to say; then, unless it is
// nil, runs once the program has been executed.
func (s *Supervisor) watchExec(r *record, p started, then func()) {
	told := make(chan error, 1)
	r.told = told
	go func() {
		defer recovered(s.opts.Log, "start of "+r.Name)
		defer p.failure.Close()
		b, _ := io.ReadAll(io.LimitReader(p.failure, 64<<10)) // cut short by an error it says less
		err := readFailure(b)
		told <- err
		if err != nil || then == nil {
			return
		}
		_ = s.ask(context.Background(), func() {
			if r.pid == p.pid && r.state == Starting {
				then()
				s.settle()
			}
		})
	}()
}

// execFailure completes the exit of a shim that could not execute the program.
func (r *record) execFailure(x Exit) Exit {
	if r.told == nil {
		return x
	}
	select {
	case err := <-r.told:
		if err != nil {
			x = Exit{Err: err}
		}
	case <-time.After(time.Second): // the pipe ended with the process: this is a bug, and no reason to hang
	}
	r.told = nil
	return x
}
