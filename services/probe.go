package services

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
	"unicode"
)

// How often a service that starts is asked where PeriodSec is not given: often at
// first, since most are ready within milliseconds and somebody waits for it. A
// command costs a process each time.
const (
	askFirst, askMost         = 2 * time.Millisecond, 250 * time.Millisecond
	askFirstExec, askMostExec = 50 * time.Millisecond, time.Second
)

const (
	askTimeout   = 3 * time.Second  // the default of TimeoutSec
	livePeriod   = 10 * time.Second // the default of PeriodSec for Liveness
	liveFailures = 3                // the default of FailureThreshold for Liveness

	// bookEvery is how often a bad answer counts towards FailureThreshold where
	// PeriodSec is not given: three refusals within 7 ms are no verdict.
	bookEvery = time.Second

	// paused is how late a timer is at least when the container did not run. Less is
	// a busy machine.
	paused = 2 * time.Second
)

// asker is what a probe needs of its surroundings.
type asker struct {
	// run runs a command as the service's processes are run, and ends it with ctx.
	run func(ctx context.Context, argv []string) (code int, output string, err error)
	// told gets each bad answer that says something else than the one before; it
	// may be nil.
	told func(error)
	// clock is the machine's, where it is nil.
	clock clock
}

// A clock is what tests replace.
type clock interface {
	now() time.Time
	// pause returns once d has passed, or the error of ctx.
	pause(ctx context.Context, d time.Duration) error
}

// monotonic is CLOCK_MONOTONIC, which goes on while a container is paused.
type monotonic struct{}

func (monotonic) now() time.Time { return time.Now() }

func (monotonic) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// wait asks until the service is ready, ctx ends, or FailureThreshold is
// reached. The error says what was answered last. The deadline is the service's
// TimeoutStartSec, which cancels ctx.
func (p *Probe) wait(ctx context.Context, how asker) error {
	s := p.series(how, nil)
	if p.PeriodSec == 0 {
		s.every = bookEvery
	}
	pause, most := p.pace()
	for before := time.Duration(p.InitialDelaySec); ; {
		if err := s.next(ctx, before); err != nil {
			return fmt.Errorf("not ready: %w", cmp.Or(s.last, err))
		}
		switch {
		case s.good >= max(1, p.SuccessThreshold):
			return nil
		case p.FailureThreshold > 0 && s.bad >= p.FailureThreshold:
			return fmt.Errorf("not ready: %w", s.last)
		}
		before, pause = pause, min(pause+pause/4, most)
	}
}

// watch asks a service that is ready until it has failed FailureThreshold times
// in a row, which is the error, or ctx ends. thawed, which may be nil, is told
// that the container was paused and for how long about.
func (p *Probe) watch(ctx context.Context, how asker, thawed func(time.Duration)) error {
	s := p.series(how, thawed)
	period := max(askFirst, time.Duration(cmp.Or(p.PeriodSec, Duration(livePeriod))))
	failures := cmp.Or(p.FailureThreshold, liveFailures)
	for before := cmp.Or(time.Duration(p.InitialDelaySec), period); ; before = period {
		if err := s.next(ctx, before); err != nil {
			return err
		}
		if s.bad >= failures {
			return fmt.Errorf("%d bad answers in a row, the last: %w", s.bad, s.last)
		}
	}
}

// pace is the first and the longest pause between two questions about readiness.
func (p *Probe) pace() (first, most time.Duration) {
	switch {
	case p.PeriodSec > 0:
		period := max(askFirst, time.Duration(p.PeriodSec))
		return period, period
	case len(p.Exec) > 0:
		return askFirstExec, askMostExec
	}
	return askFirst, askMost
}

func (p *Probe) timeout() time.Duration {
	return time.Duration(cmp.Or(p.TimeoutSec, Duration(askTimeout)))
}

// series is one run of questions, and what it found.
type series struct {
	*Probe
	how    asker
	thawed func(time.Duration)

	good, bad int           // answers in a row
	last      error         // the latest bad one
	every     time.Duration // so often a bad answer counts
	counted   time.Time     // when one did
}

func (p *Probe) series(how asker, thawed func(time.Duration)) *series {
	if how.clock == nil {
		how.clock = monotonic{}
	}
	return &series{Probe: p, how: how, thawed: thawed}
}

// next pauses, asks, and counts the answer. Its error is that of ctx.
//
// A paused container finds all its timers expired when it goes on, among them
// that of a question. So where one came late the count begins anew, and a bad
// answer is not held against the service: the next question tells. Nor is one
// that was never put, for want of memory, processes or descriptors.
func (s *series) next(ctx context.Context, pause time.Duration) error {
	began := s.how.clock.now()
	if err := s.how.clock.pause(ctx, pause); err != nil {
		return err
	}
	asked := s.how.clock.now()
	if s.counted.IsZero() {
		s.counted = asked
	}
	answer := s.ask(ctx, s.how)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ended := s.how.clock.now()
	s.tell(answer)
	lost := max(asked.Sub(began)-pause, ended.Sub(asked)-s.timeout()-killGrace)
	if lost > paused {
		s.good, s.bad = 0, 0
		if s.thawed != nil {
			s.thawed(lost)
		}
	}
	switch {
	case answer == nil:
		if s.good++; s.good >= s.SuccessThreshold {
			s.bad = 0
		}
	case lost > paused || noRoom(answer):
		s.good = 0
	default:
		s.good = 0
		if ended.Sub(s.counted) >= s.every {
			s.bad++
			s.counted = ended
		}
	}
	return nil
}

// tell keeps a bad answer, and passes it on where it is news.
func (s *series) tell(answer error) {
	if answer == nil {
		return
	}
	news := s.last == nil || s.last.Error() != answer.Error()
	s.last = answer
	if news && s.how.told != nil {
		s.how.told(answer)
	}
}

// ask puts the question once. The error is the bad answer, in words for a person.
func (p *Probe) ask(ctx context.Context, how asker) error {
	ctx, cancel := patiently(ctx, p.timeout())
	defer cancel()
	switch {
	case len(p.Exec) > 0:
		return p.askExec(ctx, how)
	case p.HTTP != "":
		return p.askHTTP(ctx)
	}
	if err := p.askTCP(ctx); err != nil {
		return fmt.Errorf("%s: %w", p.TCP, p.explain(err))
	}
	return nil
}

// askTCP connects and reads what the service says first.
func (p *Probe) askTCP(ctx context.Context) error {
	conn, hangUp, err := dial(ctx, p.TCP)
	if err != nil {
		return err
	}
	defer hangUp()
	if p.Expect == "" {
		return nil
	}
	if _, err := io.WriteString(conn, p.Send); err != nil {
		return err
	}
	// To the end of the line: closing with bytes unread would reset the
	// connection, which servers log as an error.
	line, err := bufio.NewReader(io.LimitReader(conn, 512)).ReadString('\n')
	switch {
	case strings.HasPrefix(line, p.Expect):
		return nil
	case line == "" && err != nil && !errors.Is(err, io.EOF):
		return err
	}
	return fmt.Errorf("another service answers there: it says %q and not %q", line, p.Expect)
}

// dial opens a connection on which nothing waits beyond the end of ctx.
func dial(ctx context.Context, address string) (conn net.Conn, hangUp func(), err error) {
	conn, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // it may be closed by then
	return conn, func() { stop(); conn.Close() }, nil
}

// explain turns an error of a connection into what a person wants to know.
func (p *Probe) explain(err error) error {
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return fmt.Errorf("no answer within %v", p.timeout())
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err // without the addresses, which the caller has named
	}
	return err
}

// printable makes one line of what a program said.
func printable(text string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, " "), func(c rune) bool {
		return unicode.IsSpace(c) || !unicode.IsPrint(c)
	}), " ")
}
