package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadyThenStopThenStart(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "echo hello; exec sleep 60"))
	first := b.untilState("a", Ready)
	b.untilLine("a", "hello")
	if err := b.Stop(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b.untilState("a", Stopped)
	if err := b.Start(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if again := b.untilState("a", Ready); again.Pid == first.Pid || again.Restarts != 0 {
		t.Errorf("after %+v came %+v", first, again)
	}
	if err := b.Restart(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	if err := b.Start(b.ctx, "a", "b"); err == nil || err.Error() != "no service is called b; there are: [a]" {
		t.Errorf("unknown name: %v", err)
	}
}

func TestCrashIsRestarted(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "exec sleep 60"))
	first := b.untilState("a", Ready)
	if err := unix.Kill(first.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	if s.Restarts != 1 {
		t.Errorf("restarts: %d", s.Restarts)
	}
	b.untilLine("init", "a: backoff: killed by SIGKILL")
}

func TestBackoffDoubles(t *testing.T) {
	r := &record{Service: Service{}.WithDefaults()}
	now := time.Now()
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
		want *= time.Millisecond
		if got := r.delay(now); got < want*9/10 || got > want*11/10 {
			t.Errorf("delay %d is %v, want about %v", i, got, want)
		}
	}
	r.readyAt = now.Add(-11 * time.Second)
	if got := r.delay(now); got != 0 {
		t.Errorf("after 11 s of work the delay is %v", got)
	}
	r.readyAt = now.Add(-2 * time.Second)
	if got := r.delay(now); got != 0 {
		t.Errorf("at the second end after 2 s of work the delay is %v", got)
	}
	r = &record{Service: Service{RestartSec: new(Duration(5 * time.Second))}.WithDefaults(), readyAt: now.Add(-time.Hour)}
	if got := r.delay(now); got < 4500*time.Millisecond || got > 5500*time.Millisecond {
		t.Errorf("RestartSec=5 gave %v", got)
	}
}

func TestOneshotAndOrder(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "made")
	late := sh("late", "test -e "+file+" && exec sleep 60; exit 125")
	late.After = []string{"make"}
	needs := sh("needs", "exec sleep 60")
	needs.Requires = []string{"broken"}
	make := sh("make", "sleep 0.1; touch "+file)
	make.Type = Oneshot
	broken := sh("broken", "test -e "+filepath.Join(b.dir, "mended")+" || exit 3")
	broken.Type = Oneshot
	b.add(late, needs, make, broken)
	b.untilState("make", Done)
	b.untilState("late", Ready)
	b.untilState("broken", Failed)
	if s := b.untilState("needs", Failed); s.Note != "a service that it requires failed: broken" {
		t.Errorf("needs is %+v", s)
	}
	touch(t, filepath.Join(b.dir, "mended"))
	if err := b.Start(b.ctx, "broken"); err != nil {
		t.Fatal(err)
	}
	b.untilState("needs", Ready) // it follows by itself
}

func TestWrongEdgesAreCut(t *testing.T) {
	b := run(t, Options{})
	a, c := sh("a", "exec sleep 60"), sh("c", "exec sleep 60")
	a.After, c.After = []string{"c", "nobody"}, []string{"a"}
	err := b.Add(b.ctx, a, c)
	for _, want := range []string{"starts without nobody, which After names", "circle"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	b.untilState("a", Ready)
	b.untilState("c", Ready)
}

func TestExit125IsNeverRetried(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "exit 125"))
	if s := b.untilState("a", Failed); s.Restarts != 0 || s.Note != "exit code 125" {
		t.Errorf("%+v", s)
	}
}

func TestMissingProgram(t *testing.T) {
	b := run(t, Options{})
	b.add(Service{Name: "a", ExecStart: Argv("/does/not/exist")}, Service{Name: "b", ExecStart: Argv("no-such-program")},
		Service{Name: "c", ExecStart: Argv("/etc/passwd")}, Service{Name: "d", ExecStart: Argv("true"), Execution: Execution{User: "nobody-here"}})
	for name, want := range map[string]string{
		"a": "exec /does/not/exist: no such file", "b": "no-such-program: file does not exist in PATH",
		"c": "exec /etc/passwd: permission denied", "d": "no user nobody-here is in /etc/passwd",
	} {
		if s := b.untilState(name, Backoff); !strings.Contains(s.Note, want) {
			t.Errorf("%s: note %q lacks %q", name, s.Note, want)
		}
	}
}

func TestGroupIsEndedBeforeRestart(t *testing.T) {
	b := run(t, Options{})
	// The first process leaves a child in its group that owns a directory until
	// it is told to end; a run beside it finds the directory taken.
	dir := filepath.Join(b.dir, "taken")
	b.add(sh("a", "mkdir "+dir+" || exit 125; "+
		"(trap 'rmdir "+dir+"; exit' TERM; : > "+dir+".on; while :; do sleep 0.02; done) & "+
		"while [ ! -e "+dir+".on ]; do sleep 0.01; done; rm "+dir+".on; exit 1"))
	s := b.until("a", func(s Status) bool { return s.Restarts >= 3 || s.State == Failed })
	if s.State == Failed {
		t.Errorf("something of the run before was left: %+v", s)
	}
}

func TestGrandchildHoldingThePipeDelaysNothing(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "setsid sleep 30 & exit 1"))
	b.until("a", func(s Status) bool { return s.Restarts >= 2 })
	_ = b.Stop(b.ctx, "a")
}

func TestStopEscalates(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "trap '' TERM; echo deaf; exec sleep 60")
	a.TimeoutStopSec = Duration(200 * time.Millisecond)
	b.add(a)
	b.untilLine("a", "deaf")
	began := time.Now()
	_ = b.Stop(b.ctx, "a")
	if s := b.untilState("a", Stopped); s.Note != "killed by SIGKILL" {
		t.Errorf("%+v", s)
	}
	if took := time.Since(began); took < 200*time.Millisecond || took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestHaltedIsNotDead(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "exec sleep 60"))
	pid := b.untilState("a", Ready).Pid
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if s := b.until("a", func(s Status) bool { return s.Note != "" }); s.Note != "halted by SIGSTOP, until a SIGCONT" || s.State != Ready || s.Pid != pid {
		t.Errorf("%+v", s)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := b.until("a", func(s Status) bool { return s.Note == "" }); s.State != Ready || s.Pid != pid {
		t.Errorf("%+v", s)
	}
}

func TestStoppedProcessIsStillStopped(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "echo up; kill -STOP $$; exec sleep 60"))
	b.untilLine("a", "up")
	began := time.Now()
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("a stopped process was not continued: %v", took)
	}
}

func TestShutdownInReverseOrder(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "order")
	list := []Service{}
	for i, name := range []string{"one", "two", "three"} {
		s := sh(name, "trap 'echo "+name+" >> "+file+"; exit' TERM; echo on; while :; do sleep 0.05; done")
		if i > 0 {
			s.After = []string{list[i-1].Name}
		}
		list = append(list, s)
	}
	b.add(list...)
	for _, s := range list {
		b.untilLine(s.Name, "on")
	}
	b.signals <- unix.SIGTERM
	if code := b.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if order, err := os.ReadFile(file); err != nil || string(order) != "three\ntwo\none\n" {
		t.Errorf("order %q, %v", order, err)
	}
	if err := b.Start(b.ctx, "one"); err != ErrOver {
		t.Errorf("a request after the end: %v", err)
	}
}

func TestShutdownKeepsItsBudget(t *testing.T) {
	b := run(t, Options{StopTimeout: time.Second})
	b.add(sh("a", "trap '' TERM; echo deaf; exec sleep 60"))
	b.untilLine("a", "deaf")
	began := time.Now()
	b.signals <- unix.SIGTERM
	b.exitCode()
	if took := time.Since(began); took < 400*time.Millisecond || took > 1100*time.Millisecond {
		t.Errorf("a budget of 1 s took %v", took)
	}
}

func TestSecondSignalKillsAtOnce(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "trap '' TERM; echo deaf; exec sleep 60"))
	b.untilLine("a", "deaf")
	began := time.Now()
	b.signals <- unix.SIGTERM
	b.signals <- unix.SIGINT
	b.exitCode()
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestEssentialEndsAll(t *testing.T) {
	for _, c := range []struct {
		script string
		code   int
	}{{"exit 42", 42}, {"exit 0", 0}, {"kill -SEGV $$", 139}} {
		b := run(t, Options{})
		main := sh("main", "sleep 0.05; "+c.script)
		main.Essential, main.Restart = true, RestartNo
		b.add(sh("other", "exec sleep 60"), main)
		if code := b.exitCode(); code != c.code {
			t.Errorf("%s: the container ended with %d", c.script, code)
		}
	}
}

func TestSignalBeforeAnythingStarted(t *testing.T) {
	b := run(t, Options{})
	b.signals <- unix.SIGTERM
	if code := b.exitCode(); code != 143 {
		t.Errorf("exit code %d, want 143", code)
	}
	if err := b.Add(b.ctx, sh("a", "true")); err == nil {
		t.Error("a service was taken after the end")
	}
}

func TestOtherSignalsEndNothing(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("a", "exec sleep 60"))
	pid := b.untilState("a", Ready).Pid
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGQUIT, unix.SIGSEGV, unix.SIGPIPE, unix.SIGUSR1, unix.SIGWINCH} {
		b.signals <- sig
	}
	b.untilLine("init", "ignored signal SIGUSR1")
	if s := b.service("a"); s.State != Ready || s.Pid != pid {
		t.Errorf("%+v", s)
	}
}

func TestEnvironment(t *testing.T) {
	b := run(t, Options{})
	long := strings.Repeat("x", 100<<10)
	if err := b.SetEnviron(b.ctx, []string{"A=base", "B=gone", "HOME=/wrong", "RAW=\xff", "LONG=" + long, "PATH=/usr/bin:/bin"}); err != nil {
		t.Fatal(err)
	}
	a := sh("a", `printf '%s.%s.%s.%s.%s\n' "$A" "$C" "${B-unset}" "${#LONG}" "$PWD"; printf %s "$RAW" | od -An -tx1; id -un; echo "$HOME"`)
	a.Environment = map[string]string{"A": "own", "C": "new line\nand $ and '"}
	a.UnsetEnvironment = []string{"B"}
	a.WorkingDirectory, a.User, a.Type = "/usr", "daemon", Oneshot
	nice := sh("nice", "exec sleep 60")
	nice.Nice = 7
	b.add(nice)
	if prio, err := unix.Getpriority(unix.PRIO_PROCESS, b.untilState("nice", Ready).Pid); err != nil || 20-prio != 7 {
		t.Errorf("the nice service runs at %d, %v", 20-prio, err)
	}
	b.add(a)
	b.untilState("a", Done)
	b.untilLine("a", "own.new line")
	b.untilLine("a", "and $ and '.unset.102400./usr")
	b.untilLine("a", "ff")
	b.untilLine("a", "daemon")
	b.untilLine("a", "/usr/sbin")
}

// TestReaperLeavesOthersAlone is the reason for __WNOTHREAD: os/exec elsewhere
// in the program loses no exit status to the reaper.
func TestReaperLeavesOthersAlone(t *testing.T) {
	b := run(t, Options{})
	churn := sh("churn", "while :; do /bin/true; done")
	b.add(churn)
	for i := range 300 {
		_, code, err := Capture(b.ctx, nil, "/bin/sh", "-c", "exit 7")
		if err != nil || code != 7 {
			t.Fatalf("command %d ended with %d, %v", i, code, err)
		}
	}
}

func TestPanicInARequestEndsNothing(t *testing.T) {
	b := run(t, Options{})
	b.requests <- func() { panic("on purpose") }
	b.add(sh("a", "exec sleep 60"))
	b.untilState("a", Ready)
	b.untilLine("init", "BUG: panic while handling a request")
}
