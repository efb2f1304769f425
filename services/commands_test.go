package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func shell(script string) Command { return Command{Argv: []string{"/bin/sh", "-c", script}} }

// TestCommandsInOrder follows one service through its whole life by what each of
// its commands writes.
func TestCommandsInOrder(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "log")
	write := func(word string) Command { return shell("echo " + word + " >> " + file) }
	a := sh("a", "echo start >> "+file+"; exec sleep 60")
	a.ExecCondition = Commands{write("condition")}
	a.ExecStartPre = Commands{write("pre1"), {Argv: []string{"/bin/false"}, IgnoreFailure: true}, {Argv: []string{"/not/there"}, IgnoreFailure: true}, write("pre2")}
	a.ExecStartPost = Commands{shell("while ! grep -q start " + file + "; do sleep 0.01; done; echo post >> " + file)}
	a.ExecReload = Commands{shell(`kill -0 $MAINPID && echo reload >> ` + file)}
	a.ExecStop = Commands{shell(`kill -0 $MAINPID && echo stop >> ` + file)}
	a.ExecStopPost = Commands{shell(`echo "stoppost $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS [$MAINPID]" >> ` + file)}
	b.add(a)
	b.untilState("a", Ready)
	if got := contents(t, file); got != "condition pre1 pre2 start post" {
		t.Errorf("the start was %s", got)
	}
	if err := b.Reload(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b.poll("the reload", func() bool { return strings.Contains(maybe(file), "reload") && b.service("a").Note == "" })
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	if got := contents(t, file); !strings.HasSuffix(got, "post reload stop stoppost success killed TERM []") {
		t.Errorf("all of it was %s", got)
	}
}

func TestStartPreThatFails(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "echo never; exec sleep 60")
	a.ExecStartPre, a.ExecStopPost, a.Restart = Commands{shell("exit 4")}, Commands{shell("echo tidied")}, RestartNo
	b.add(a)
	if s := b.untilState("a", Failed); s.Note != "exit code 4" {
		t.Errorf("%+v", s)
	}
	b.untilLine("a", "tidied")
	b.untilLine("init", "a: ExecStartPre: /bin/sh: exit code 4")
	if lines, _, _ := b.journal.Lines("a", 0, time.Time{}, 0); len(lines) != 1 {
		t.Errorf("it wrote %v", lines)
	}
}

func TestSkipped(t *testing.T) {
	b := run(t, Options{})
	file, exec := sh("file", "exec sleep 60"), sh("exec", "exec sleep 60")
	file.Conditions = []string{"ConditionPathExists=!/etc"}
	exec.ExecCondition = Commands{shell("exit 1")}
	b.add(file, exec)
	if s := b.untilState("file", Done); !strings.Contains(s.Note, "skipped: ConditionPathExists=!/etc") {
		t.Errorf("%+v", s)
	}
	if s := b.untilState("exec", Done); s.Note != "skipped: ExecCondition ended with 1" {
		t.Errorf("%+v", s)
	}
}

func TestOneshotOfSeveralCommands(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "log")
	a := Service{Name: "a", Type: Oneshot, RemainAfterExit: true, ExecStart: Commands{shell("echo one >> " + file), shell("echo two >> " + file)},
		ExecStop: Commands{shell("echo undone >> " + file)}}
	bad := Service{Name: "bad", Type: Oneshot, ExecStart: Commands{shell("exit 3"), shell("echo never >> " + file)}}
	b.add(a, bad)
	b.untilState("a", Done)
	b.untilState("bad", Failed)
	_ = b.Start(b.ctx, "a") // it counts as running
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	if got := contents(t, file); got != "one two undone" {
		t.Errorf("it did %s", got)
	}
}

// TestStopDuringAStart: the command that runs gets the signal, and no other follows.
func TestStopDuringAStart(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "echo never; exec sleep 60")
	a.ExecStartPre = Commands{shell("trap 'echo told; exit' TERM; echo busy; while :; do sleep 0.02; done"), shell("echo never")}
	b.add(a)
	b.untilLine("a", "busy")
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	b.untilLine("a", "told")
	for _, l := range first(b.journal.Lines("a", 0, time.Time{}, 0)) {
		if l.Text == "never" {
			t.Error("the start went on")
		}
	}
}

func first[A, B, C any](a A, _ B, _ C) A { return a }

func TestStartPreThatHangs(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "exec sleep 60")
	a.ExecStartPre, a.TimeoutStartSec, a.Restart = Commands{shell("exec sleep 60")}, Duration(100*time.Millisecond), RestartNo
	b.add(a)
	if s := b.untilState("a", Failed); !strings.Contains(s.Note, "was not ready in time") {
		t.Errorf("%+v", s)
	}
}

func TestStopThatHangs(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "trap 'echo told; exit' TERM; echo up; while :; do sleep 0.02; done")
	a.ExecStop, a.TimeoutStopSec = Commands{shell("exec sleep 60")}, Duration(200*time.Millisecond)
	b.add(a)
	b.untilLine("a", "up")
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	b.untilLine("a", "told") // KillSignal came after ExecStop had its time
}

// TestStrays: what leaves the group of its service, and changes its user, ends with it.
func TestStrays(t *testing.T) {
	b := run(t, Options{})
	pid := filepath.Join(b.dir, "pid")
	script := "setsid sh -c 'echo $$ > " + pid + "; exec sleep 300' & while [ ! -s " + pid + " ]; do sleep 0.01; done; sleep 0.05; "
	crash, stopped := sh("crash", script+"exit 1"), sh("stopped", script+"exec sleep 60")
	crash.Restart = RestartNo
	stopped.User, stopped.Disabled = "nobody", true
	unix.Chmod(b.dir, 0o777)
	unix.Chmod(filepath.Dir(b.dir), 0o755)
	b.add(crash, stopped)
	b.untilState("crash", Failed)
	gone := func(when string) {
		t.Helper()
		var n int
		for _, c := range contents(t, pid) {
			n = n*10 + int(c-'0')
		}
		if unix.Kill(n, 0) != unix.ESRCH {
			t.Errorf("after %s process %d is still there", when, n)
		}
		unix.Unlink(pid)
	}
	gone("a crash")
	_ = b.Start(b.ctx, "stopped")
	b.until("stopped", func(s Status) bool { return s.Pid != 0 })
	b.untilLine("init", "stopped: ready")
	b.poll("the number of the stray", func() bool { return maybe(pid) != "" })
	_ = b.Stop(b.ctx, "stopped")
	b.untilState("stopped", Stopped)
	gone("a stop")
}

func TestKillModes(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "log")
	child := "(trap 'echo child-told >> " + file + "; exit' TERM; echo child >> " + file + "; while :; do sleep 0.02; done) & "
	mixed := sh("mixed", child+"trap 'echo main-told >> "+file+"; exit' TERM; echo main >> "+file+"; while :; do sleep 0.02; done")
	mixed.KillMode = KillMixed
	b.add(mixed)
	b.untilState("mixed", Ready)
	b.poll("both processes", func() bool { return len(strings.Fields(maybe(file))) == 2 })
	_ = b.Stop(b.ctx, "mixed")
	b.untilState("mixed", Stopped)
	if got := contents(t, file); strings.Contains(got, "child-told") || !strings.Contains(got, "main-told") {
		t.Errorf("mixed: %s", got)
	}
}

// A stop in the middle of a reload ends that, and runs ExecStop all the same.
func TestStopDuringReload(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "order")
	a := sh("a", "trap '' TERM; while :; do sleep 0.01; done")
	a.ExecReload = Commands{shell("echo reload >> " + file + "; exec sleep 60")}
	a.ExecStop = Commands{shell("echo stop >> " + file + "; kill -KILL $MAINPID")}
	b.add(a)
	b.untilState("a", Ready)
	if err := b.Reload(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for text := []byte(nil); string(text) != "reload\n"; <-tick.C {
		text, _ = os.ReadFile(file)
		if b.ctx.Err() != nil {
			t.Fatal("the reload did not begin")
		}
	}
	_ = b.Stop(b.ctx, "a")
	b.until("a", func(s Status) bool { return s.State == Stopped || s.State == Failed })
	if text, err := os.ReadFile(file); err != nil || string(text) != "reload\nstop\n" {
		t.Errorf("%q, %v", text, err)
	}
}
