package services

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// TestGroupsThatEndedAreForgotten: the kernel may give their numbers to others.
func TestGroupsThatEndedAreForgotten(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "exec sleep 60")
	a.ExecStartPre, a.ExecReload = Commands{shell("true")}, Commands{shell("true")}
	process := sh("process", "exec sleep 60")
	process.KillMode, process.ExecStartPost = KillProcess, Commands{shell("true")}
	b.add(a, process)
	for _, name := range []string{"a", "process"} {
		if s := b.untilState(name, Ready); !slices.Equal(s.Pids, []int{s.Pid}) {
			t.Errorf("%s runs as %d, its groups are %v", name, s.Pid, s.Pids)
		}
	}
	if err := b.Reload(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if s := b.until("a", func(s Status) bool { return !s.Reloading }); !slices.Equal(s.Pids, []int{s.Pid}) {
		t.Errorf("it runs as %d, its groups are %v", s.Pid, s.Pids)
	}
	pid := b.service("process").Pid
	_ = b.Stop(b.ctx, "process")
	if s := b.untilState("process", Stopped); len(s.Pids) > 0 {
		t.Errorf("process %d is gone, the groups are %v", pid, s.Pids)
	}
}

// TestNothingResumesAfterTheEnd: what waited for room in the kernel belongs to the
// run that is over.
func TestNothingResumesAfterTheEnd(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "exec sleep 60")
	a.Restart = RestartNo
	b.add(a)
	pid := b.untilState("a", Ready).Pid
	resumed := make(chan bool, 1)
	err := b.ask(b.ctx, func() { b.noRoom(b.records["a"], unix.EAGAIN, func() { resumed <- true }) })
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.untilState("a", Failed)
	left := false
	if err := b.ask(b.ctx, func() { left = b.records["a"].resume != nil }); err != nil || left || len(resumed) > 0 {
		t.Errorf("something of the run that is over would go on (%v)", err)
	}
}

// TestStopTakesWhatIsDoneAndRemains along: it counts as running.
func TestStopTakesWhatIsDoneAndRemains(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "undone")
	mount := sh("mount", "true")
	mount.Type, mount.RemainAfterExit, mount.Requires = Oneshot, true, []string{"disk"}
	mount.ExecStop = Commands{shell("touch " + file)}
	b.add(sh("disk", "exec sleep 60"), mount)
	b.untilState("mount", Done)
	_ = b.Stop(b.ctx, "disk")
	b.untilState("mount", Stopped)
	b.untilState("disk", Stopped)
	if _, err := os.Stat(file); err != nil {
		t.Errorf("ExecStop was not run: %v", err)
	}
	_ = b.Start(b.ctx, "mount")
	first := b.untilState("mount", Done)
	_ = b.Restart(b.ctx, "disk")
	b.until("mount", func(s Status) bool { return s.State == Done && s.Since.After(first.Since) })
}

// TestRemovedServiceLeavesNothing: descriptors, goroutines, files.
func TestRemovedServiceLeavesNothing(t *testing.T) {
	b := run(t, Options{})
	keep := sh("keep", "exec sleep 60")
	b.add(keep)
	b.untilState("keep", Ready)
	round := func() {
		a := talker(t, "a", "say READY=1 'fd:FDSTORE=1|FDNAME=x'; echo hello; exec sleep 60")
		a.FileDescriptorStoreMax = 2
		a.Sockets = []Socket{{Listen: filepath.Join(shortDir(t), "s")}}
		if _, err := b.Reconcile(b.ctx, []Service{keep, a}); err != nil {
			t.Fatal(err)
		}
		b.untilState("a", Ready)
		b.untilLine("a", "hello")
		if _, err := b.Reconcile(b.ctx, []Service{keep}); err != nil {
			t.Fatal(err)
		}
		b.until("keep", func(Status) bool {
			snap, err := b.Snapshot(b.ctx)
			return err == nil && len(snap.Services) == 1
		})
	}
	round() // what the first makes for good: a poller, an empty input
	runtime.GC()
	runtime.GC() // with it go the files of the tests before
	before := descriptors(t)
	for range 10 {
		round()
	}
	// The pipe's goroutine closes what is its own a moment later.
	b.poll(fmt.Sprintf("the descriptors to be %d again", before), func() bool { return descriptors(t) <= before })
	if list, err := os.ReadDir(filepath.Join(b.dir, "run/notify")); err != nil || len(list) > 0 {
		t.Errorf("of the notification sockets %v are left, %v", list, err)
	}
}

// TestNewDefinitionGetsItsOwnSocket: the user that may write to it is another.
func TestNewDefinitionGetsItsOwnSocket(t *testing.T) {
	b := run(t, Options{})
	for _, dir := range []string{b.dir, filepath.Dir(b.dir)} { // made for root alone
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a := sh("a", "systemd-notify --ready; exec sleep 60")
	a.Type = Notify
	b.add(a)
	first := b.untilState("a", Ready)
	a.User = "daemon"
	if _, err := b.Reconcile(b.ctx, []Service{a}); err != nil {
		t.Fatal(err)
	}
	s := b.until("a", func(s Status) bool { return s.Pid != 0 && s.Pid != first.Pid && s.State == Ready })
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(b.dir, "run/notify/a"), &st); err != nil || st.Uid == 0 {
		t.Errorf("the socket is of user %d (%v): %+v", st.Uid, err, s)
	}
}

// TestOnlyARestartKeepsTheDescriptorStore, as with systemd.
func TestOnlyARestartKeepsTheDescriptorStore(t *testing.T) {
	kill := func(pid int) { _ = unix.Kill(pid, unix.SIGKILL) }
	for _, c := range []struct {
		name, want string
		restart    Restart
		between    func(b *box, pid int)
	}{
		{"stop and start", "none", RestartAlways, func(b *box, _ int) { _ = b.Stop(b.ctx, "a"); b.untilState("a", Stopped); _ = b.Start(b.ctx, "a") }},
		{"failure and start", "none", RestartNo, func(b *box, pid int) { kill(pid); b.untilState("a", Failed); _ = b.Start(b.ctx, "a") }},
		{"restart", "mine", RestartAlways, func(b *box, _ int) { _ = b.Restart(b.ctx, "a") }},
		{"crash", "mine", RestartAlways, func(_ *box, pid int) { kill(pid) }},
	} {
		b := run(t, Options{})
		a := talker(t, "a", `echo "got ${LISTEN_FDNAMES:-none}"; exec say fd:FDSTORE=1\|FDNAME=mine READY=1 wait`)
		a.FileDescriptorStoreMax, a.Restart = 1, c.restart
		b.add(a)
		first := b.untilState("a", Ready)
		c.between(b, first.Pid)
		b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
		if second := b.line("a", 2); second != "got "+c.want {
			t.Errorf("%s: %q", c.name, second)
		}
		b.end() // before the next case
	}
}

// TestAsker: a probe that runs no program has no use for the service's user and
// environment, and where these cannot be had one that does says so.
func TestAsker(t *testing.T) {
	s := New(Options{Log: NewJournal(JournalOptions{Out: os.Stderr}).Logger(zap.ErrorLevel)})
	r := &record{Service: Service{Name: "a", Execution: Execution{User: "nobody-here"}}}
	if how, err := s.askerOf(r, &Probe{TCP: "127.0.0.1:1"}); err != nil || how.run != nil {
		t.Errorf("%+v, %v", how, err)
	}
	if _, err := s.askerOf(r, &Probe{Exec: []string{"/bin/true"}}); err == nil || !strings.Contains(err.Error(), "no user nobody-here") {
		t.Errorf("%v", err)
	}
}
