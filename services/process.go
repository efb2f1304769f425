package services

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// spawn starts the process of a service. It runs on the main thread alone: the
// reaper there sees that thread's children and nobody else's.
func (s *Supervisor) spawn(r *record) {
	pid, err := s.fork(r)
	if noRoom(err) {
		r.note = "waits for room: " + err.Error()
		if r.spawnAt.IsZero() {
			s.opts.Log.Warn(r.Name+": the kernel has no room for another process; trying on", zap.Error(err))
		}
		r.spawnAt = time.Now().Add(250 * time.Millisecond)
		return
	}
	r.waits = false
	r.started = time.Now()
	if err != nil {
		r.exit = Exit{Err: err}
		s.apply(r, event{kind: evExited, exit: r.exit})
		return
	}
	r.pid = pid
	s.pids[pid] = r
	if r.Nice != 0 {
		if err := unix.Setpriority(unix.PRIO_PGRP, pid, r.Nice); err != nil {
			s.opts.Log.Warn(fmt.Sprintf("%s: runs without Nice %d", r.Name, r.Nice), zap.Error(err))
		}
	}
	if r.TimeoutStartSec > 0 && (r.Probe != nil || r.Type == Oneshot) {
		r.deadline = r.started.Add(time.Duration(r.TimeoutStartSec))
	}
	switch {
	case r.Type == Oneshot:
	case r.Probe != nil:
		s.startProbe(r)
	default:
		s.becomeReady(r)
	}
}

func (s *Supervisor) becomeReady(r *record) {
	r.readyAt = time.Now()
	s.apply(r, event{kind: evReady})
}

// noRoom is true for the errors that pass when others give something back.
func noRoom(err error) bool {
	for _, e := range []error{unix.EAGAIN, unix.ENOMEM, unix.EMFILE, unix.ENFILE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (s *Supervisor) fork(r *record) (pid int, err error) {
	if r.Probe != nil {
		if err := r.Probe.portFree(); err != nil {
			return 0, err
		}
	}
	account, credential, err := r.account()
	if err != nil {
		return 0, err
	}
	env := r.env(s.environ, account)
	path, err := lookPath(r.ExecStart[0].Argv[0], env, r.WorkingDirectory)
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Dir: r.WorkingDirectory, Env: env, Sys: &syscall.SysProcAttr{Credential: credential}}
	if r.Foreground {
		attr.Files = []uintptr{0, 1, 2}
		foreground(attr.Sys)
	} else {
		if attr.Files, err = s.files(r); err != nil {
			return 0, err
		}
		attr.Sys.Setsid = true
	}
	pid, err = syscall.ForkExec(path, r.ExecStart[0].Argv, attr)
	if err != nil {
		return 0, &fs.PathError{Op: "exec", Path: path, Err: err}
	}
	return pid, nil
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

// files are a service's stdin, stdout and stderr. The pipe behind the latter two
// is kept over restarts: a grandchild that holds it open delays nothing, and no
// line is lost.
func (s *Supervisor) files(r *record) ([]uintptr, error) {
	if s.stdin == nil {
		var err error
		if s.stdin, err = emptyInput(); err != nil {
			return nil, fmt.Errorf("opening an empty standard input: %w", err)
		}
	}
	if r.pipe == nil {
		var err error
		if r.pipe, err = s.opts.Journal.open(r.Name); err != nil {
			return nil, fmt.Errorf("opening the pipe for the output: %w", err)
		}
	}
	return []uintptr{s.stdin.Fd(), r.pipe.w.Fd(), r.pipe.w.Fd()}, nil
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

// account looks User and Group up. Nothing is switched for init's own user.
func (r *record) account() (*user.User, *syscall.Credential, error) {
	self := strconv.Itoa(os.Getuid())
	if r.User == "" && r.Group == "" {
		u, err := user.LookupId(self)
		if err != nil {
			u = &user.User{Username: "root", HomeDir: "/root"}
		}
		return u, nil, nil
	}
	u, err := lookupUser(cmp.Or(r.User, self))
	if err != nil {
		return nil, nil, err
	}
	gid := u.Gid
	if r.Group != "" {
		if gid, err = lookupGroup(r.Group); err != nil {
			return nil, nil, err
		}
	}
	cred := &syscall.Credential{Uid: number(u.Uid), Gid: number(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		groups = nil // a numeric user without an entry has none
	}
	for _, g := range groups {
		cred.Groups = append(cred.Groups, number(g))
	}
	return u, cred, nil
}

func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32) // checked by the look-ups
	return uint32(n)
}

func lookupUser(name string) (*user.User, error) {
	if u, err := user.Lookup(name); err == nil {
		return u, nil
	}
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		return nil, fmt.Errorf("no user %s is in /etc/passwd", name)
	}
	if u, err := user.LookupId(name); err == nil {
		return u, nil
	}
	return &user.User{Uid: name, Gid: name, Username: name, HomeDir: "/"}, nil
}

func lookupGroup(name string) (string, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return g.Gid, nil
	}
	if _, err := strconv.ParseUint(name, 10, 32); err != nil {
		return "", fmt.Errorf("no group %s is in /etc/group", name)
	}
	return name, nil
}

// env is the environment of the process: the container's, the account's
// variables, then the service's own, less what it wants unset.
func (r *record) env(base []string, u *user.User) []string {
	env := slices.Clone(base)
	put := func(k, v string) {
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, k+"=") })
		env = append(env, k+"="+v)
	}
	put("HOME", u.HomeDir)
	put("USER", u.Username)
	put("LOGNAME", u.Username)
	for _, k := range slices.Sorted(maps.Keys(r.Environment)) {
		put(k, r.Environment[k])
	}
	return slices.DeleteFunc(env, func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains(r.UnsetEnvironment, k)
	})
}

// lookPath finds a program as execvp(3) would, in the PATH of env.
func lookPath(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, nil
	}
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v
		}
	}
	for _, d := range filepath.SplitList(path) {
		file := filepath.Join(d, name)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: %w in PATH %s", name, fs.ErrNotExist, path)
}

// kill sends a signal to the service, and a CONT after it since a stopped
// process would not see it.
func (r *record) kill(sig syscall.Signal) {
	target := -r.pid
	if r.KillMode == KillProcess {
		target = r.pid
	}
	// ESRCH is no error: the end is on its way to us.
	_ = unix.Kill(target, sig)
	_ = unix.Kill(target, unix.SIGCONT)
}

// killAll ends everything in the service's group.
func (r *record) killAll() {
	if r.pid != 0 {
		_ = unix.Kill(-r.pid, unix.SIGKILL)
	}
}

func (r *record) stopProbe() {
	if r.probe != nil {
		r.probe()
		r.probe = nil
	}
}

// startProbe asks the service in the background whether it can serve.
func (s *Supervisor) startProbe(r *record) {
	account, credential, err := r.account()
	if err != nil {
		return // fork has looked it up a moment ago
	}
	how := newAsker(r.WorkingDirectory, r.env(s.environ, account), credential)
	ctx, cancel := context.WithCancel(context.Background())
	r.probe = cancel
	pid, probe := r.pid, *r.Probe
	go func() {
		defer recovered(s.opts.Log, "probe of "+r.Name)
		if probe.wait(ctx, how) != nil {
			return // cancelled
		}
		_ = s.ask(ctx, func() {
			if r.pid == pid && r.state == Starting {
				s.becomeReady(r)
				s.settle()
			}
		})
	}()
}

// recovered is deferred at the root of every goroutine.
func recovered(log *zap.Logger, what string) {
	if p := recover(); p != nil {
		log.Error("BUG: panic in "+what, zap.Any("panic", p), zap.Stack("stack"))
	}
}
