package services

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// quiet is a supervisor that nobody runs, with records of the test's own.
func quiet(list ...*record) *Supervisor {
	s := New(Options{Log: NewJournal(JournalOptions{Out: os.Stderr}).Logger(zap.FatalLevel)})
	s.order = list
	return s
}

func watched(at time.Time, span time.Duration) *record {
	r := &record{state: Ready, watchdogAt: at}
	r.Name, r.watchdog = "a", Duration(span)
	return r
}

// Run sleeps an eighth of a watchdog at most, and makes up for what it slept too long.
func TestShortPause(t *testing.T) {
	now := time.Now()
	r := watched(now.Add(time.Second), time.Second)
	s := quiet(r, &record{})
	if wait := s.untilNext(); wait != 125*time.Millisecond {
		t.Errorf("with a watchdog of 1s it sleeps for %v", wait)
	}
	r.deadline = now
	s.overslept(now, 525*time.Millisecond, 125*time.Millisecond)
	if lost := r.watchdogAt.Sub(now) - time.Second; lost != 400*time.Millisecond {
		t.Errorf("400ms were slept too long, and the watchdog got %v", lost)
	}
	if lost := r.deadline.Sub(now); lost != 400*time.Millisecond {
		t.Errorf("400ms were slept too long, and the deadline got %v", lost)
	}
	s.overslept(now, 134*time.Millisecond, 125*time.Millisecond)
	if lost := r.deadline.Sub(now); lost != 400*time.Millisecond {
		t.Errorf("no timer is exact, and the deadline got %v", lost)
	}
	s.overslept(now, 50*time.Millisecond, 125*time.Millisecond)
	if lost := r.watchdogAt.Sub(now) - time.Second; lost != 400*time.Millisecond {
		t.Errorf("a sleep that something ended early moved the watchdog to %v", lost)
	}
	if other := s.order[1]; !other.deadline.IsZero() || !other.watchdogAt.IsZero() {
		t.Errorf("%+v", other)
	}
	r.deadline, r.watchdog = time.Time{}, Duration(time.Millisecond)
	if wait := s.untilNext(); wait != 10*time.Millisecond {
		t.Errorf("with a watchdog of 1ms it sleeps for %v", wait)
	}
	r.watchdog, r.watchdogAt = Duration(time.Minute), now.Add(time.Minute)
	if wait := s.untilNext(); wait != sleepAwake {
		t.Errorf("with a watchdog of 1m it sleeps for %v", wait)
	}
}

// A watchdog of which a pause took half or more begins anew, however little was left of it,
// and that of another service, to which the same pause was short, does not.
func TestPauseOfHalfAWatchdog(t *testing.T) {
	now := time.Now()
	short, long := watched(now.Add(-2*time.Second), 2*time.Second), watched(now.Add(time.Second), time.Minute)
	s := quiet(short, long)
	s.overslept(now, 2500*time.Millisecond, 250*time.Millisecond)
	if left := short.watchdogAt.Sub(now); left != 2*time.Second {
		t.Errorf("a watchdog of 2s has %v behind a pause of 2.5s", left)
	}
	if left := long.watchdogAt.Sub(now); left != 3250*time.Millisecond {
		t.Errorf("a watchdog of 1m that had 1s has %v behind a pause of 2.5s", left)
	}
}

// On a machine on which each sleep is three times too long a watchdog comes all the same.
func TestWatchdogOfABusyMachine(t *testing.T) {
	now := time.Now()
	r := watched(now.Add(time.Second), time.Second)
	s := quiet(r)
	steps := 0
	for ; now.Before(r.watchdogAt); steps++ {
		wait := min(watchdogGrain(time.Second), r.watchdogAt.Sub(now))
		now = now.Add(3 * wait)
		s.overslept(now, 3*wait, wait)
		if steps > 100 {
			t.Fatal("it never does")
		}
	}
	if steps != 8 {
		t.Errorf("it comes after %d sleeps", steps)
	}
}

// A notification that arrived and was not looked at yet counts before the verdict.
func TestWatchdogListensFirst(t *testing.T) {
	now := time.Now()
	r := watched(now.Add(-time.Millisecond), time.Minute)
	r.access = NotifyAll
	r.notify = &notifySocket{path: filepath.Join(t.TempDir(), "notify")}
	var err error
	if r.notify.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(r.notify.fd)
	if err := unix.Bind(r.notify.fd, &unix.SockaddrUnix{Name: r.notify.path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(r.notify.fd, []byte("WATCHDOG=1"), 0, &unix.SockaddrUnix{Name: r.notify.path}); err != nil {
		t.Fatal(err)
	}
	s := quiet(r)
	s.expire(now)
	if r.state != Ready || r.watchdogAt.Sub(now) < time.Minute {
		t.Errorf("it is %v, its watchdog at %v", r.state, r.watchdogAt.Sub(now))
	}
	s.expire(now.Add(2 * time.Minute))
	if r.state != Failed || r.exit.Cause != Watchdog { // it has no process that would have to end
		t.Errorf("silent for two minutes, it is %v: %v", r.state, r.exit)
	}
}

// TestPauseInTheMiddle of what the supervisor does, not of its sleep, is a pause too.
func TestPauseInTheMiddle(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", "say READY=1; exec sleep 60")
	svc.WatchdogSec = Duration(16 * time.Second)
	b.add(svc)
	b.untilState("a", Ready)
	if err := b.ask(b.ctx, func() { <-time.After(thawed + 3*time.Second) }); err != nil {
		t.Fatal(err)
	}
	b.untilLine("init", "the container was paused for about ")
}

// TestWorkMovesNoDeadline: what the supervisor takes for its own work is no pause. A service that
// crashed would start later by all that was to be done about its end.
func TestWorkMovesNoDeadline(t *testing.T) {
	const work = 400 * time.Millisecond
	b := run(t, Options{})
	b.add(talker(t, "a", "say READY=1; exec sleep 60"))
	b.untilState("a", Ready)
	var at, due time.Time
	ask := func(do func(r *record)) {
		t.Helper()
		if err := b.ask(b.ctx, func() { do(b.records["a"]) }); err != nil {
			t.Fatal(err)
		}
	}
	ask(func(r *record) {
		at = time.Now().Add(work + 50*time.Millisecond)
		r.deadline = at
		<-time.After(work)
	})
	for due = at; !due.IsZero(); ask(func(r *record) { due = r.deadline }) {
		if moved := due.Sub(at); moved > work*3/4 {
			t.Fatalf("the deadline moved by %v", moved)
		}
	}
}
