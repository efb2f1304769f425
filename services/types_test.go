package services

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// talker is a service of type notify whose script may use the word say.
func talker(t *testing.T, name, script string) Service {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	svc := sh(name, strings.ReplaceAll(script, "say ", self+" say "))
	svc.Type = Notify
	return svc
}

func TestNotifyReady(t *testing.T) {
	b := run(t, Options{})
	gate := filepath.Join(b.dir, "gate")
	svc := talker(t, "a", "say 'STATUS=warming up'; while [ ! -e "+gate+" ]; do sleep 0.01; done; say 'READY=1|STATUS=serving'; exec sleep 60")
	after := sh("after", "exec sleep 60")
	after.After = []string{"a"}
	b.add(svc, after)
	b.until("a", func(s Status) bool { return s.Text == "warming up" && s.State == Starting })
	if s := b.service("after"); s.State != Starting || s.WaitsFor != "a" {
		t.Errorf("what is behind it is %+v", s)
	}
	touch(t, gate)
	b.until("a", func(s Status) bool { return s.Text == "serving" && s.State == Ready })
	b.untilState("after", Ready)
}

func TestNotifyEndsWithoutReady(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "exit 0")
	svc.Restart = RestartNo
	b.add(svc)
	if s := b.untilState("a", Failed); !strings.Contains(s.Note, "it ended without READY=1") {
		t.Errorf("%+v", s)
	}
}

func TestNotifyNeverReady(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "exec sleep 60")
	svc.TimeoutStartSec, svc.Restart = Duration(200*time.Millisecond), RestartNo
	b.add(svc)
	if s := b.untilState("a", Failed); !strings.Contains(s.Note, "was not ready in time") {
		t.Errorf("%+v", s)
	}
}

func TestExtendTimeout(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "say EXTEND_TIMEOUT_USEC=60000000; sleep 3.5; say READY=1; exec sleep 60")
	svc.TimeoutStartSec = Duration(3 * time.Second)
	b.add(svc)
	if s := b.until("a", func(s Status) bool { return s.State != Starting }); s.State != Ready {
		t.Errorf("it was not given the time that it asked for: %+v", s)
	}
}

// TestLastWords: a notification counts although its sender, and the whole service, is gone
// when it is read.
func TestLastWords(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "say 'STATUS=disk is full|ERRNO=28'; exit 1")
	svc.Restart = RestartNo
	for i := range 20 {
		svc.Name = fmt.Sprint("a", i)
		b.add(svc)
	}
	for i := range 20 {
		if s := b.untilState(fmt.Sprint("a", i), Failed); s.Text != "disk is full (no space left on device)" {
			t.Errorf("status text %q", s.Text)
		}
	}
}

func TestBarrier(t *testing.T) {
	b := run(t, Options{})
	// Real programs wait for the descriptor that came with BARRIER=1 to be closed;
	// systemd-notify does.
	svc := sh("a", "systemd-notify --ready --status='all told'; echo told; exec sleep 60")
	svc.Type = Notify
	b.add(svc)
	b.untilLine("a", "told")
	if s := b.untilState("a", Ready); s.Text != "all told" {
		t.Errorf("%+v", s)
	}
}

func TestNotifyAccessMain(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "say READY=1; echo said; exec sleep 60")
	svc.NotifyAccess = NotifyMain
	b.add(svc)
	b.untilLine("init", "NotifyAccess is main")
	if s := b.service("a"); s.State != Starting {
		t.Errorf("a child's word counted: %+v", s)
	}
}

func TestNotifyReload(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", `trap 'say RELOADING=1; echo reading; say READY=1' HUP; say READY=1; while :; do sleep 0.02; done`)
	svc.Type = NotifyReload
	b.add(svc)
	first := b.untilState("a", Ready)
	if err := b.Reload(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b.untilLine("a", "reading")
	b.untilLine("init", "a: reloaded")
	if s := b.until("a", func(s Status) bool { return s.Note == "" }); s.Pid != first.Pid || s.State != Ready {
		t.Errorf("%+v", s)
	}
	b.add(sh("plain", "exec sleep 60"))
	b.untilState("plain", Ready)
	if err := b.Reload(b.ctx, "plain"); err == nil || !strings.Contains(err.Error(), "restart it instead") {
		t.Errorf("reload of a service that cannot: %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "say READY=1; for i in 1 2 3 4 5 6; do say WATCHDOG=1; sleep 0.1; done; echo silent; exec sleep 60")
	svc.WatchdogSec, svc.Restart = Duration(400*time.Millisecond), RestartOnWatchdog
	b.add(svc)
	b.untilLine("a", "silent")
	if s := b.service("a"); s.Restarts != 0 {
		t.Errorf("it was restarted while it fed its watchdog: %+v", s)
	}
	b.until("a", func(s Status) bool { return s.Restarts == 1 })
	b.untilLine("init", "killed by SIGABRT, its watchdog was silent")
}

// TestPauseIsNoWatchdogFailure: deadlines move on by the time for which the whole container stood still.
func TestPauseIsNoWatchdogFailure(t *testing.T) {
	s := New(Options{Log: NewJournal(JournalOptions{Out: os.Stderr}).Logger(zap.ErrorLevel)})
	at := time.Now()
	now := at.Add(time.Minute)
	r := &record{watchdogAt: at, deadline: at}
	r.watchdog = Duration(time.Second)
	s.order = []*record{r, {}}
	s.overslept(now, time.Minute, 0)
	if !r.watchdogAt.Equal(now.Add(time.Second)) || !r.deadline.Equal(now) {
		t.Errorf("the watchdog is at %v and the deadline at %v, want 1s and 0s", r.watchdogAt.Sub(now), r.deadline.Sub(now))
	}
	if other := s.order[1]; !other.deadline.IsZero() || !other.watchdogAt.IsZero() {
		t.Errorf("%+v", other)
	}
}

func TestForking(t *testing.T) {
	b := run(t, Options{})
	pidFile := filepath.Join(b.dir, "pid")
	svc := sh("a", "setsid sh -c 'echo $$ > "+pidFile+"; exec sleep 60' & while [ ! -s "+pidFile+" ]; do sleep 0.01; done")
	svc.Type, svc.PIDFile = Forking, pidFile
	b.add(svc)
	s := b.untilState("a", Ready)
	if text, err := os.ReadFile(pidFile); err != nil || strings.TrimSpace(string(text)) != fmt.Sprint(s.Pid) {
		t.Errorf("main process %d, the file says %s, %v", s.Pid, text, err)
	}
	if err := unix.Kill(s.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := b.until("a", func(n Status) bool { return n.Restarts == 1 && n.State == Ready })
	if again.Pid == s.Pid {
		t.Error("the daemon's end was not noticed")
	}
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	if unix.Kill(again.Pid, 0) != unix.ESRCH {
		t.Error("the daemon outlived its stop")
	}
}

// A daemon such as nginx leaves its group and overwrites its environment.
func TestForkingUnknownDaemon(t *testing.T) {
	b := run(t, Options{})
	one, other := filepath.Join(b.dir, "one"), filepath.Join(b.dir, "other")
	svc := sh("one", "env -i setsid sh -c 'echo $$ > "+one+"; exec sleep 60' & while [ ! -s "+one+" ]; do sleep 0.01; done")
	svc.Type, svc.PIDFile = Forking, one
	b.add(svc)
	s := b.untilState("one", Ready)
	_ = b.Stop(b.ctx, "one")
	b.untilState("one", Stopped)
	if unix.Kill(s.Pid, 0) != unix.ESRCH {
		t.Error("the daemon outlived its stop")
	}

	// What is another service's is nobody else's.
	b.add(sh("other", "exec env -i sleep 60"))
	pid := b.untilState("other", Ready).Pid
	thief := sh("thief", fmt.Sprintf("echo %d > %s", pid, other))
	thief.Type, thief.PIDFile, thief.Restart = Forking, other, RestartNo
	b.add(thief)
	if s := b.untilState("thief", Failed); !strings.Contains(s.Note, "which is not the service's") {
		t.Errorf("%+v", s)
	}
}

// /run outlives a container that is killed, and started again.
func TestForkingStaleFile(t *testing.T) {
	b := run(t, Options{})
	gate, pidFile := filepath.Join(b.dir, "gate"), filepath.Join(b.dir, "pid")
	if err := os.WriteFile(pidFile, []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(pidFile, old, old); err != nil {
		t.Fatal(err)
	}
	svc := sh("a", "setsid sh -c 'while [ ! -e "+gate+" ]; do sleep 0.01; done; echo $$ > "+pidFile+"; exec sleep 60' & exit 0")
	svc.Type, svc.PIDFile = Forking, pidFile
	b.add(svc)
	b.until("a", func(s Status) bool { return s.Note == "waits for its daemon, "+pidFile })
	touch(t, gate)
	if s := b.untilState("a", Ready); s.Pid <= 1 {
		t.Errorf("%+v", s)
	}
}

func TestForkingWithoutFile(t *testing.T) {
	b := run(t, Options{})
	one := sh("one", "setsid sleep 60 & exit 0")
	none := sh("none", "exit 0")
	wrong := sh("wrong", "echo 1 > "+filepath.Join(b.dir, "pid"))
	wrong.PIDFile = filepath.Join(b.dir, "pid")
	for _, svc := range []*Service{&one, &none, &wrong} {
		svc.Type, svc.Restart = Forking, RestartNo
		b.add(*svc)
	}
	if s := b.untilState("one", Ready); s.Pid == 0 {
		t.Errorf("%+v", s)
	}
	if s := b.untilState("none", Failed); !strings.Contains(s.Note, "it left 0 processes behind") {
		t.Errorf("%+v", s)
	}
	if s := b.untilState("wrong", Failed); !strings.Contains(s.Note, "not the number of a process") {
		t.Errorf("%+v", s)
	}
}

func TestNotificationFd(t *testing.T) {
	b := run(t, Options{})
	gate := filepath.Join(b.dir, "gate")
	svc := sh("a", "while [ ! -e "+gate+" ]; do sleep 0.01; done; echo >&5; exec sleep 60")
	svc.NotificationFd = 5
	b.add(svc)
	b.until("a", func(s Status) bool { return s.Pid != 0 })
	if s := b.service("a"); s.State != Starting {
		t.Errorf("%+v", s)
	}
	touch(t, gate)
	b.untilState("a", Ready)
}

func TestReadyLine(t *testing.T) {
	b := run(t, Options{})
	at := sh("at", "echo 'listening on 80'; exec sleep 60") // before anybody could look
	at.ReadyLine = "listening on"
	never := sh("never", "echo 'listen'; echo 'ing on 80'; exec sleep 60")
	never.ReadyLine = "listening on"
	b.add(at, never)
	b.untilState("at", Ready)
	b.untilLine("never", "ing on 80")
	if s := b.service("never"); s.State != Starting {
		t.Errorf("%+v", s)
	}
}

func TestDescriptorStore(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", `if [ -n "$LISTEN_FDS" ]; then exec say fd READY=1 wait; else exec say 'fd:FDSTORE=1|FDNAME=mine' 'fd:FDSTORE=1|FDNAME=more' READY=1 wait; fi`)
	svc.FileDescriptorStoreMax = 1
	b.add(svc)
	first := b.untilState("a", Ready)
	b.untilLine("init", "1 descriptors are not kept: FileDescriptorStoreMax is 1")
	_ = b.Restart(b.ctx, "a")
	b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	b.untilLine("a", "fds=1 names=mine own=true")
	b.untilLine("a", `fd 3: "kept" <nil>`)
}

// TestDescriptors: a process finds what init has open for its service, at each of its starts
// and behind its sockets; to another definition the file still belongs.
func TestDescriptors(t *testing.T) {
	b := run(t, Options{})
	kept := filepath.Join(b.dir, "kept")
	if err := os.WriteFile(kept, []byte("orders"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	svc := talker(t, "a", `echo "$LISTEN_FDNAMES: $(tail -c +1 /proc/self/fd/4)"; exec say READY=1 wait`)
	svc.Sockets = []Socket{{Listen: filepath.Join(shortDir(t), "s")}}
	svc.Descriptors = []Descriptor{{"config", f}}
	b.add(svc)
	first := b.untilState("a", Ready)
	b.untilLine("a", "a:config: orders")
	if changes, err := b.Reconcile(b.ctx, []Service{svc}); err != nil || len(changes.Same) != 1 {
		t.Errorf("%+v %v", changes, err)
	}
	_ = b.Restart(b.ctx, "a")
	second := b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	svc.Description = "another"
	svc.Descriptors = []Descriptor{{"renamed", f}}
	if _, err := b.Reconcile(b.ctx, []Service{svc}); err != nil {
		t.Fatal(err)
	}
	b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != second.Pid })
	b.untilLine("a", "a:renamed: orders")
}

func TestMainPID(t *testing.T) {
	b := run(t, Options{})
	// The first process hands over to another and ends, as nginx does when it is upgraded.
	b.add(talker(t, "a", `sleep 60 & say "READY=1|MAINPID=$!"; echo "handed over to $!"; exit 0`))
	b.untilLine("a", "handed over")
	b.untilLine("init", "a: ready")
	s := b.until("a", func(s Status) bool { return s.State == Ready })
	// Between fork and execve it is still called sh.
	b.poll("the main process to be sleep", func() bool { return maybe(fmt.Sprintf("/proc/%d/comm", s.Pid)) == "sleep\n" })
	if err := unix.Kill(s.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.until("a", func(s Status) bool { return s.Restarts == 1 })
	b.add(talker(t, "foreign", `say "READY=1|MAINPID=$PPID"; exec sleep 60`))
	b.untilLine("init", "foreign: MAINPID=")
}
