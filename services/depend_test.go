package services

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// keeper writes its name to a file when it starts and when it is told to end.
func keeper(name, file string) Service {
	return sh(name, "trap 'echo -"+name+" >> "+file+"; exit' TERM; echo +"+name+" >> "+file+"; while :; do sleep 0.02; done")
}

// poll waits for what no event tells.
func (b *box) poll(what string, is func() bool) {
	b.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func maybe(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

func contents(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", " ")
}

// TestWaitingIsOver: a service that runs does not say any more what it has waited for.
func TestWaitingIsOver(t *testing.T) {
	b := run(t, Options{})
	gate := filepath.Join(b.dir, "gate")
	first, second := talker(t, "first", "while [ ! -e "+gate+" ]; do sleep 0.01; done; say READY=1; exec sleep 60"), sh("second", "exec sleep 60")
	second.Type, second.After = Oneshot, []string{"first"}
	b.add(first, second)
	b.poll("the note", func() bool { return b.service("second").Note == "waits for first" })
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var s Status
	b.poll("the process", func() bool { s = b.service("second"); return s.Pid != 0 })
	if s.State != Starting || s.Note != "" {
		t.Errorf("it runs and is %+v", s)
	}
}

func TestStopTakesWhatRequiresItFirst(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "log")
	db, app, part, other := keeper("db", file), keeper("app", file), keeper("part", file), keeper("other", file)
	app.Requires, part.PartOf, part.After, other.Wants = []string{"db"}, []string{"app"}, []string{"app"}, []string{"db"}
	b.add(db, app, part, other)
	for _, name := range []string{"db", "app", "part", "other"} {
		b.untilState(name, Ready)
	}
	b.poll("four starts", func() bool { return strings.Count(maybe(file), "+") == 4 })
	_ = b.Stop(b.ctx, "db")
	b.untilState("db", Stopped)
	if got := contents(t, file); !strings.HasSuffix(got, "-part -app -db") {
		t.Errorf("the order was %s", got)
	}
	if s := b.service("other"); s.State != Ready {
		t.Errorf("a service that only wants it: %+v", s)
	}
	_ = b.Start(b.ctx, "app")
	b.untilState("db", Ready) // pulled in
	b.untilState("app", Ready)
	if s := b.service("part"); s.State != Stopped {
		t.Errorf("nobody started part: %+v", s)
	}
}

func TestRestartTakesThemAlong(t *testing.T) {
	b := run(t, Options{})
	db, app := sh("db", "exec sleep 60"), sh("app", "exec sleep 60")
	app.BindsTo = []string{"db"}
	b.add(db, app)
	first := b.untilState("app", Ready)
	_ = b.Restart(b.ctx, "db")
	again := b.until("app", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	dbPid := b.untilState("db", Ready).Pid
	// BindsTo also follows an end that nobody asked for.
	if err := unix.Kill(dbPid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.until("app", func(s Status) bool { return s.State == Ready && s.Pid != again.Pid })
	b.untilState("db", Ready)
}

func TestConflicts(t *testing.T) {
	b := run(t, Options{})
	one, two := sh("one", "exec sleep 60"), sh("two", "exec sleep 60")
	two.Conflicts = []string{"one"}
	err := b.Add(b.ctx, one, two)
	if err == nil || err.Error() != "service two: not started, since it conflicts with one" {
		t.Errorf("adding both: %v", err)
	}
	b.untilState("one", Ready)
	_ = b.Start(b.ctx, "two")
	b.untilState("two", Ready)
	if s := b.service("one"); s.State != Stopped {
		t.Errorf("%+v", s)
	}
	_ = b.Start(b.ctx, "one")
	b.untilState("one", Ready)
	b.untilState("two", Stopped)
}

func TestBefore(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "log")
	late, early := sh("late", "echo late >> "+file+"; exec sleep 60"), sh("early", "sleep 0.1; echo early >> "+file)
	early.Type, early.Before = Oneshot, []string{"late"}
	b.add(late, early)
	b.poll("both", func() bool { return strings.Contains(maybe(file), "late") })
	if got := contents(t, file); got != "early late" {
		t.Errorf("the order was %s", got)
	}
}

func TestDisabledAndAfterStart(t *testing.T) {
	b := run(t, Options{})
	slow := talker(t, "slow", "exec sleep 60") // runs, and is never ready
	soon, off := sh("soon", "exec sleep 60"), sh("off", "exec sleep 60")
	soon.AfterStart = []string{"slow"}
	off.Disabled = true
	b.add(slow, soon, off)
	b.untilState("soon", Ready)
	if s := b.service("slow"); s.State != Starting || s.Pid == 0 {
		t.Errorf("%+v", s)
	}
	if s := b.service("off"); s.State != Stopped {
		t.Errorf("a disabled service is %+v", s)
	}
}

func TestStartLimit(t *testing.T) {
	b := run(t, Options{})
	burst := sh("burst", "exit 1")
	burst.RestartSec, burst.RestartMaxDelaySec = new(Duration(10*time.Millisecond)), Duration(10*time.Millisecond)
	most := burst
	most.Name, most.MaxRestarts = "most", 2
	burst.StartLimitBurst, burst.StartLimitIntervalSec = 3, Duration(time.Minute)
	b.add(burst, most)
	if s := b.untilState("burst", Failed); s.Restarts != 2 || s.Note != "exit code 1; started as often as it may be" {
		t.Errorf("%+v", s)
	}
	if s := b.untilState("most", Failed); s.Restarts != 2 {
		t.Errorf("%+v", s)
	}
	_ = b.Start(b.ctx, "burst") // a person may try again
	b.until("burst", func(s Status) bool { return s.Restarts == 1 })
}

func TestRestartSteps(t *testing.T) {
	r := &record{Service: Service{RestartSec: new(Duration(time.Second)), RestartSteps: 2, RestartMaxDelaySec: Duration(100 * time.Second)}.WithDefaults()}
	for i, want := range []time.Duration{1, 10, 100, 100} {
		want *= time.Second
		if got := r.delay(time.Now()); got < want*9/10 || got > want*11/10 {
			t.Errorf("delay %d is %v, want about %v", i, got, want)
		}
	}
}

func TestFailureActionWithAStatus(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "exit 3")
	a.Restart, a.FailureAction, a.FailureActionExitStatus = RestartNo, ActionExit, new(77)
	b.add(a)
	if code := b.exitCode(); code != 77 {
		t.Errorf("the container ended with %d", code)
	}
}

func TestAnEssentialServiceThatGivesUpEndsAll(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "exit 3")
	a.Essential, a.StartLimitBurst, a.RestartSec = true, 2, new(Duration(10*time.Millisecond))
	b.add(a)
	if code := b.exitCode(); code != 3 {
		t.Errorf("the container ended with %d", code)
	}
}

// What a service is ordered by is taken over without ending it.
func TestReconcileKeepsWhatIsOrderedAnew(t *testing.T) {
	b := run(t, Options{})
	part, meta := sh("part", "exec sleep 60"), sh("meta", "exec sleep 60")
	b.add(part)
	first := b.untilState("part", Ready).Pid
	part.PartOf, part.After, part.Wants = []string{"meta"}, []string{"meta"}, []string{"meta"}
	changes, err := b.Reconcile(b.ctx, []Service{part, meta})
	if err != nil || len(changes.Changed) > 0 || len(changes.Added) != 1 {
		t.Errorf("%+v, %v", changes, err)
	}
	b.untilState("meta", Ready)
	if s := b.service("part"); s.State != Ready || s.Pid != first {
		t.Errorf("%+v", s)
	}
	_ = b.Stop(b.ctx, "meta")
	b.untilState("part", Stopped)
}
