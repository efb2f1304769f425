package services

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// launch begins a start: conditions, directories, ExecCondition, ExecStartPre,
// then the main process.
func (s *Supervisor) launch(r *record) {
	r.begun = time.Now()
	r.countStart(r.begun)
	r.watchdog, r.access = r.WatchdogSec, r.NotifyAccess
	failed, err := holds(r.Conditions, s.opts.Root, s.environ)
	if failed != "" {
		s.ends(r, Exit{Cause: Skipped, Why: failed})
		return
	}
	r.invocation = newInvocation()
	if r.PIDFile != "" {
		// Of a run that could not tidy up, such as before a docker restart. By now its
		// number may be another's, and many a daemon takes it for one of its own.
		_ = unix.Unlink(r.PIDFile)
	}
	if err == nil {
		err = s.prepare(r)
	}
	if err != nil {
		s.ends(r, Exit{Err: err})
		return
	}
	if r.TimeoutStartSec > 0 && (r.Type != Simple || r.waitsForMore() ||
		len(r.ExecCondition)+len(r.ExecStartPre)+len(r.ExecStartPost) > 0) {
		r.deadline = r.begun.Add(time.Duration(r.TimeoutStartSec))
	}
	s.runCommands(r, "ExecCondition", r.ExecCondition, func(x Exit) {
		if x.Err == nil && x.Signal == 0 && x.Code >= 1 && x.Code <= 254 {
			s.ends(r, Exit{Cause: Skipped, Why: fmt.Sprintf("ExecCondition ended with %d", x.Code)})
			return
		}
		s.goOn(r, x, func() {
			s.runCommands(r, "ExecStartPre", r.ExecStartPre, func(x Exit) { s.goOn(r, x, func() { s.startMain(r) }) })
		})
	})
}

// goOn takes the next part of a start, unless the one before failed.
func (s *Supervisor) goOn(r *record, x Exit, next func()) {
	if !x.Success() {
		s.ends(r, x)
		return
	}
	next()
}

// startMain starts the main process, or the next command of a oneshot.
func (s *Supervisor) startMain(r *record) {
	if len(r.ExecStart) == 0 { // a oneshot that only has something to stop
		s.post(r)
		return
	}
	cmd := r.ExecStart[r.command]
	r.stopWatching()
	if err := s.watchReadyLine(r); err != nil { // before it can write it
		s.ends(r, Exit{Err: err})
		return
	}
	p, err := s.fork(r, cmd, true)
	if noRoom(err) {
		s.noRoom(r, err, func() { s.startMain(r) })
		return
	}
	if err != nil {
		s.ends(r, Exit{Err: err})
		return
	}
	s.own(r, p.pid)
	switch {
	case r.Type == Oneshot || r.Type == Forking:
	case r.waitsForMore():
		s.awaitReady(r, p)
	case p.failure == nil || r.Type == Simple:
		s.post(r)
	}
	if p.failure != nil {
		var then func()
		if r.Type == Exec && !r.waitsForMore() {
			then = func() { s.post(r) }
		}
		s.watchExec(r, p, then)
	}
	if r.watchdog > 0 {
		r.watchdogAt = time.Now().Add(time.Duration(r.watchdog))
	}
}

// waitsForMore says whether the service is ready later than its process runs.
func (r *record) waitsForMore() bool {
	return r.Type == Notify || r.Type == NotifyReload || r.NotificationFd != 0 || r.Probe != nil || r.ReadyLine != ""
}

// own makes a process the main one.
func (s *Supervisor) own(r *record, pid int) {
	r.pid = pid
	s.pids[pid] = r
	if pgid, err := unix.Getpgid(pid); err == nil && pgid != unix.Getpgrp() {
		r.addGroup(pgid)
	}
	s.tell()
}

func (r *record) addGroup(pgid int) {
	for _, g := range r.groups {
		if g == pgid {
			return
		}
	}
	r.groups = append(r.groups, pgid)
}

// awaitReady watches the run until something says that it can serve.
func (s *Supervisor) awaitReady(r *record, p started) {
	ctx, ready := s.watching(r), s.readyOf(r)
	if p.notification != nil {
		s.readNotificationFd(ctx, r.Name, p.notification, ready)
	}
	if r.Probe != nil {
		s.startProbe(ctx, r, ready)
	}
}

// readyOf is what makes this run of the service ready, on the goroutine of Run.
func (s *Supervisor) readyOf(r *record) func() {
	run := r.invocation
	return func() {
		if r.state == Starting && r.invocation == run && r.pid != 0 && r.job == nil {
			s.post(r)
			s.settle()
		}
	}
}

// watchReadyLine looks for ReadyLine in what the service is going to write.
func (s *Supervisor) watchReadyLine(r *record) error {
	if r.ReadyLine == "" {
		return nil
	}
	if err := s.openPipe(r); err != nil {
		return err
	}
	ready := s.readyOf(r)
	r.pipe.watch(r.ReadyLine, func() { go s.later(context.Background(), r.Name, ready) })
	return nil
}

// later runs do on the goroutine of Run, unless ctx ends first.
func (s *Supervisor) later(ctx context.Context, name string, do func()) {
	defer recovered(s.opts.Log, "a watch of "+name)
	_ = s.ask(ctx, do) // over: nobody needs to know
}

// watching returns a context that ends with this run of the service.
func (s *Supervisor) watching(r *record) context.Context {
	if r.watch != nil {
		r.watch()
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.watch = cancel
	return ctx
}

// post runs ExecStartPost; then the service is ready, or a oneshot done.
func (s *Supervisor) post(r *record) {
	s.runCommands(r, "ExecStartPost", r.ExecStartPost, func(x Exit) {
		if r.Type == Oneshot {
			r.started = x.Success()
			s.ends(r, x)
			return
		}
		if !x.Success() { // it runs, so it has to be ended first
			s.apply(r, event{kind: evFault, exit: Exit{Cause: Protocol, Why: "ExecStartPost: " + x.String()}})
			return
		}
		r.started, r.readyAt = true, time.Now()
		s.apply(r, event{kind: evReady})
		if r.Liveness != nil {
			s.startLiveness(r)
		}
	})
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

// noRoom tries something again in a moment, and says once that it waits.
func (s *Supervisor) noRoom(r *record, err error, again func()) {
	if r.spawnAt.IsZero() {
		s.opts.Log.Warn(r.Name+": the kernel has no room for another process; trying on", zap.Error(err))
	}
	r.note = "waits for room: " + err.Error()
	r.resume, r.spawnAt = again, time.Now().Add(250*time.Millisecond)
}

// adopt finds the daemon that the first process of a forking service left.
func (s *Supervisor) adopt(r *record) {
	pid, err := s.daemonOf(r)
	if err == nil {
		r.adopted, r.distant = true, parentOf(pid) != os.Getpid()
		s.own(r, pid)
		s.post(r)
		return
	}
	if !errors.Is(err, fs.ErrNotExist) || r.TimeoutStartSec == 0 {
		s.ends(r, Exit{Cause: Protocol, Why: err.Error()})
		return
	}
	// Some write the file a moment after their parent has ended.
	if r.note == "" {
		r.note = strings.TrimRight("waits for its daemon, "+r.PIDFile, ", ")
		s.tell()
	}
	r.resume, r.spawnAt = func() { s.adopt(r) }, time.Now().Add(10*time.Millisecond)
}

// daemonOf is the main process of a forking service: what PIDFile names, where
// that is one of its processes, or else the only one that is left.
func (s *Supervisor) daemonOf(r *record) (int, error) {
	if r.PIDFile == "" {
		left, perhaps := s.strays(r)
		if perhaps {
			return 0, fmt.Errorf("what it left behind is just being executed: %w", fs.ErrNotExist)
		}
		if len(left) != 1 {
			return 0, fmt.Errorf("it left %d processes behind and has no PIDFile to say which one is the main one", len(left))
		}
		return left[0], nil
	}
	pid, err := pidIn(r.PIDFile)
	if err == nil {
		yes, perhaps := s.belongs(r, pid)
		switch {
		case yes || !perhaps && s.unclaimed(pid) && r.wroteSinceStart(r.PIDFile):
			return pid, nil
		case perhaps:
			return 0, fmt.Errorf("process %d of PIDFile %s is just being executed: %w", pid, r.PIDFile, fs.ErrNotExist)
		}
		err = fmt.Errorf("PIDFile %s names process %d, which is not the service's", r.PIDFile, pid)
	}
	if err != nil && !r.wroteSinceStart(r.PIDFile) { // a run that was killed left it; the daemon is about to write it
		err = fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	return pid, err
}

// pidIn reads the number of a process that exists. fs.ErrNotExist is for what
// may be there in a moment.
func pidIn(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("reading PIDFile: %w", err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return 0, fmt.Errorf("reading PIDFile: it is empty: %w", fs.ErrNotExist)
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("PIDFile %s holds %q and not the number of a process", file, text)
	}
	if unix.Kill(pid, 0) == unix.ESRCH {
		return 0, fmt.Errorf("PIDFile %s names process %d, which does not exist: %w", file, pid, fs.ErrNotExist)
	}
	return pid, nil
}

// wroteSinceStart says whether a file has been written in this run of the service.
// The kernel's time for files lags by a tick of its clock, at most 10 ms.
func (r *record) wroteSinceStart(file string) bool {
	st, err := os.Stat(file)
	return err == nil && !st.ModTime().Before(r.begun.Add(-10*time.Millisecond))
}
