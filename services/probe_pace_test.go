package services

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeClock goes on when somebody pauses, or when a test says so.
type fakeClock struct {
	t      time.Time
	pauses []time.Duration
	late   map[int]time.Duration // by the number of the pause
}

func (c *fakeClock) now() time.Time { return c.t }

func (c *fakeClock) pause(ctx context.Context, d time.Duration) error {
	c.t = c.t.Add(d + c.late[len(c.pauses)])
	c.pauses = append(c.pauses, d)
	return ctx.Err()
}

// errEnough is the end of a script of answers.
var errEnough = errors.New("the script is at its end")

// scripted asks a command whose answers are the letters of script: + good, - bad,
// z bad after a minute's pause of the container, m no memory to ask. Behind the
// end ctx ends.
func scripted(t *testing.T, script string) (ctx context.Context, how asker, c *fakeClock) {
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	c = &fakeClock{t: time.Unix(1e9, 0), late: map[int]time.Duration{}}
	n := -1
	how = asker{clock: c, run: func(context.Context, []string) (int, string, error) {
		if n++; n >= len(script) {
			cancel(errEnough)
			return -1, "", errEnough
		}
		switch script[n] {
		case '+':
			return 0, "", nil
		case 'm':
			return -1, "", fmt.Errorf("running it: %w", unix.EAGAIN)
		case 'z':
			c.t = c.t.Add(time.Minute)
		}
		return n + 1, "", nil
	}}
	return ctx, how, c
}

func TestWaitThresholds(t *testing.T) {
	period := Duration(time.Second)
	for _, c := range []struct {
		script string
		probe  Probe
		err    string // "": ready
		asked  int
	}{
		{"+-", Probe{}, "", 1},
		{"---+-", Probe{}, "", 4},
		{"+-++-", Probe{SuccessThreshold: 2}, "", 4},
		{"----", Probe{FailureThreshold: 3, PeriodSec: period}, "not ready: x: exit code 3", 3},
		{"--+-", Probe{FailureThreshold: 3, PeriodSec: period}, "", 3},
		{"--+-+", Probe{FailureThreshold: 3, SuccessThreshold: 2, PeriodSec: period}, "not ready: x: exit code 4", 4},
		{"-z--+", Probe{FailureThreshold: 2, PeriodSec: period}, "not ready: x: exit code 4", 4},
		{"-mmm+-", Probe{FailureThreshold: 2, PeriodSec: period}, "", 5},
		{"----", Probe{}, "not ready: x: exit code 4", 5}, // ctx ended
	} {
		c.probe.Exec = []string{"x"}
		ctx, how, clock := scripted(t, c.script)
		got := ""
		if err := c.probe.wait(ctx, how); err != nil {
			got = err.Error()
		}
		if got != c.err || len(clock.pauses) != c.asked {
			t.Errorf("%q, %+v: %q after %d questions, want %q after %d", c.script, c.probe, got, len(clock.pauses), c.err, c.asked)
		}
	}
}

// TestWaitCountsOnceASecond: a service that is asked every few milliseconds is not
// given up within a few milliseconds.
func TestWaitCountsOnceASecond(t *testing.T) {
	_, how, clock := scripted(t, strings.Repeat("-", 1000))
	begin := clock.t
	p := Probe{Exec: []string{"x"}, FailureThreshold: 3, InitialDelaySec: Seconds(5)}
	err := p.wait(t.Context(), how)
	if took := clock.t.Sub(begin); err == nil || took < 8*time.Second || took > 12*time.Second || len(clock.pauses) < 10 {
		t.Errorf("%v after %v and %d questions", err, took, len(clock.pauses))
	}
}

func TestWaitPauses(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		probe Probe
		want  []time.Duration
		last  time.Duration
	}{
		{Probe{}, []time.Duration{0, 50 * ms, 62500 * time.Microsecond}, time.Second},
		{Probe{InitialDelaySec: Seconds(2)}, []time.Duration{2000 * ms, 50 * ms}, time.Second},
		{Probe{PeriodSec: Seconds(7)}, []time.Duration{0, 7000 * ms, 7000 * ms}, 7000 * ms},
	} {
		c.probe.Exec = []string{"x"}
		ctx, how, clock := scripted(t, strings.Repeat("-", 30))
		_ = c.probe.wait(ctx, how)
		if got := clock.pauses; !reflect.DeepEqual(got[:len(c.want)], c.want) || got[len(got)-1] != c.last {
			t.Errorf("%+v: %v", c.probe, got)
		}
	}
	if first, most := (&Probe{TCP: "127.0.0.1:1"}).pace(); first != 2*ms || most != 250*ms {
		t.Errorf("TCP: %v to %v", first, most)
	}
}

func TestWatch(t *testing.T) {
	for _, c := range []struct {
		script string
		probe  Probe
		err    string // "": it works to the end of the script
		asked  int
	}{
		{"++--+--", Probe{}, "", 7},
		{"+---+", Probe{}, "3 bad answers in a row, the last: x: exit code 4", 4},
		{"+-", Probe{FailureThreshold: 1}, "1 bad answers in a row, the last: x: exit code 2", 2},
		{"--+-", Probe{SuccessThreshold: 2}, "3 bad answers in a row, the last: x: exit code 4", 4},
		{"--++--", Probe{SuccessThreshold: 2}, "", 6},
		{"--z--", Probe{}, "", 5},
		{"z-", Probe{FailureThreshold: 1}, "1 bad answers in a row, the last: x: exit code 2", 2},
		{"--mm+", Probe{}, "", 5},
		{"--mm-", Probe{}, "3 bad answers in a row, the last: x: exit code 5", 5},
	} {
		c.probe.Exec = []string{"x"}
		ctx, how, clock := scripted(t, c.script)
		err := c.probe.watch(ctx, how, nil)
		if asked := min(len(clock.pauses), len(c.script)); asked != c.asked {
			t.Errorf("%q: %d questions, want %d", c.script, asked, c.asked)
		}
		if c.err == "" && !errors.Is(err, context.Canceled) || c.err != "" && err.Error() != c.err {
			t.Errorf("%q, %+v: %v, want %q", c.script, c.probe, err, c.err)
		}
	}
}

// TestWatchLateTimer: the container was paused between two questions. The first
// answer thereafter is not held against the service, nor are those before.
func TestWatchLateTimer(t *testing.T) {
	ctx, how, clock := scripted(t, "----")
	clock.late[2] = time.Minute
	var lost []time.Duration
	p := Probe{Exec: []string{"x"}}
	err := p.watch(ctx, how, func(d time.Duration) { lost = append(lost, d) })
	if !errors.Is(err, context.Canceled) || !reflect.DeepEqual(lost, []time.Duration{time.Minute}) {
		t.Errorf("%v, told of %v", err, lost)
	}
	// A busy machine is no pause.
	ctx, how, clock = scripted(t, "---")
	clock.late[1], clock.late[2] = time.Second, time.Second
	if err := p.watch(ctx, how, nil); errors.Is(err, context.Canceled) {
		t.Error("three bad answers passed, since timers were a second late")
	}
}

func TestWatchPauses(t *testing.T) {
	for _, c := range []struct {
		probe       Probe
		first, then time.Duration
	}{
		{Probe{}, 10 * time.Second, 10 * time.Second},
		{Probe{PeriodSec: Seconds(4)}, 4 * time.Second, 4 * time.Second},
		{Probe{PeriodSec: Seconds(4), InitialDelaySec: Seconds(60)}, time.Minute, 4 * time.Second},
	} {
		c.probe.Exec = []string{"x"}
		ctx, how, clock := scripted(t, "++")
		_ = c.probe.watch(ctx, how, nil)
		if clock.pauses[0] != c.first || clock.pauses[1] != c.then {
			t.Errorf("%+v: %v", c.probe, clock.pauses)
		}
	}
}

// TestToldNews: who waits learns why, and each thing once.
func TestToldNews(t *testing.T) {
	_, how, _ := scripted(t, "")
	answers := []string{"a", "a", "b", "", "b", "a"}
	n := -1
	how.run = func(context.Context, []string) (int, string, error) {
		n++
		if answers[n] == "" {
			return 0, "", nil
		}
		return 1, answers[n] + "\n", nil
	}
	var told []string
	how.told = func(err error) { told = append(told, err.Error()) }
	p := Probe{Exec: []string{"x"}, PeriodSec: Seconds(1), FailureThreshold: 5, SuccessThreshold: 2}
	err := p.wait(t.Context(), how)
	if want := []string{"x: exit code 1: a", "x: exit code 1: b", "x: exit code 1: a"}; err == nil || !reflect.DeepEqual(told, want) {
		t.Errorf("%v: %q", err, told)
	}
}
