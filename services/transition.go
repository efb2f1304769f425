package services

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// apply gives one event to one service and does what next asks for.
func (s *Supervisor) apply(r *record, e event) {
	before := r.state
	state, act := next(r.state, e, &r.Service)
	switch e.kind {
	case evStart:
		if before == Stopping {
			r.again = true // next cannot start what has not ended
		}
		r.failures = 0
	case evTimeout:
		if before == Starting {
			r.exit.TimedOut = true
		}
	}
	if state != before {
		r.state, r.since, r.deadline = state, time.Now(), time.Time{}
	}
	s.describe(r, before, e)
	s.act(r, act)
	if state != before {
		s.announce(r, e)
	}
}

// describe sets the note that status shows beside the state.
func (s *Supervisor) describe(r *record, before State, e event) {
	switch {
	case e.kind == evExited && !e.exit.Success() && !(r.state == Stopped && e.exit.Signal == r.KillSignal.number()):
		r.note = e.exit.String()
	case r.state != before:
		r.note = ""
	}
}

func (s *Supervisor) act(r *record, act action) {
	switch act {
	case actSpawn:
		r.waits, r.exit, r.readyAt, r.spawnAt = true, Exit{}, time.Time{}, time.Time{}
		r.again = false
	case actTerminate:
		r.stopProbe()
		r.waits = false
		if r.pid == 0 && !r.lingers {
			s.apply(r, event{kind: evExited, exit: r.exit, again: r.again})
			return
		}
		r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
		r.kill(r.KillSignal.number())
	case actKill:
		r.deadline = time.Now().Add(time.Second)
		r.killAll()
	case actDelay:
		delay := r.delay(time.Now())
		r.deadline = time.Now().Add(delay)
		if delay >= time.Second {
			r.note += fmt.Sprintf("; next try in %v", delay.Round(100*time.Millisecond))
		}
	}
}

// How long a process must have run to be taken for one that works.
const (
	steady = time.Second      // its end is followed by a start at once
	proven = 10 * time.Second // and its earlier ends are forgotten
	least  = 100 * time.Millisecond
)

// delay is the wait before the next start: none after a process that worked,
// else doubling, with a tenth of jitter so that services which fail together do
// not come back together.
func (r *record) delay(now time.Time) time.Duration {
	worked := time.Duration(0)
	if !r.readyAt.IsZero() {
		worked = now.Sub(r.readyAt)
	}
	if worked >= proven {
		r.failures = 0
	}
	r.failures++
	r.restarts++
	first := least
	if r.RestartSec != nil {
		first = time.Duration(*r.RestartSec)
	} else {
		if worked >= steady && r.failures == 1 {
			return 0
		}
	}
	wait := first << min(r.failures-1, 20)
	if most := time.Duration(r.RestartMaxDelaySec); wait > most || wait <= 0 {
		wait = max(most, first)
	}
	return wait + time.Duration((rand.Float64()-0.5)*0.2*float64(wait))
}

// announce logs a change, tells whoever waits for one, and ends the container
// when an essential service has ended for good.
func (s *Supervisor) announce(r *record, e event) {
	close(s.changed)
	s.changed = make(chan struct{})
	log := s.opts.Log.Info
	if r.state == Failed || r.state == Backoff {
		log = s.opts.Log.Warn
	}
	if r.state == Starting || r.state == Stopping || r.tiresome() {
		log = s.opts.Log.Debug
	}
	text := r.Name + ": " + r.state.String()
	if r.state == Ready || r.state == Done {
		text += " in " + Round(time.Since(r.started)).String()
	}
	if r.note != "" {
		text += ": " + r.note
	}
	log(text)
	if r.Essential && s.end == nil && (r.state == Failed || r.state == Done) {
		s.beginEnd(r.Name+" ended", e.exit.ContainerCode())
	}
}

// tiresome thins out what a service that never works says: each end at first,
// then the 8th, 16th, 32nd …
func (r *record) tiresome() bool { return r.failures > 4 && r.failures&(r.failures-1) != 0 }

// Round shortens a time span to what a person reads: two or three digits.
func Round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// settle starts every service whose time has come: what it is After has settled.
func (s *Supervisor) settle() {
	for progress := true; progress; {
		progress = false
		for _, r := range s.order {
			if !r.waits || time.Now().Before(r.spawnAt) {
				continue
			}
			if on := s.blockedBy(r); on != "" {
				r.note = "waits for " + on
				continue
			}
			s.spawn(r)
			progress = progress || !r.waits
		}
	}
	s.continueEnd()
}

// blockedBy names the service that r has to wait for, or "".
func (s *Supervisor) blockedBy(r *record) string {
	for _, name := range r.Requires {
		if dep := s.records[name]; dep != nil && dep.state != Ready && dep.state != Done {
			return name
		}
	}
	for _, name := range r.After {
		if dep := s.records[name]; dep != nil && dep.state == Starting {
			return name
		}
	}
	return ""
}

// expire gives evTimeout to every service whose deadline has passed.
func (s *Supervisor) expire(now time.Time) {
	for _, r := range s.order {
		switch {
		case r.deadline.IsZero() || now.Before(r.deadline):
		case r.lingers && r.state != Stopping:
			r.deadline = now.Add(time.Second)
			r.killAll()
		default:
			s.apply(r, event{kind: evTimeout})
		}
	}
	s.settle()
}

// untilNext is how long Run may sleep: to the nearest deadline, a second at most.
func (s *Supervisor) untilNext() time.Duration {
	now, wait := time.Now(), time.Second
	earlier := func(t time.Time) {
		if !t.IsZero() {
			wait = min(wait, t.Sub(now))
		}
	}
	for _, r := range s.order {
		earlier(r.deadline)
		if r.waits {
			earlier(r.spawnAt)
		}
	}
	if s.end != nil {
		earlier(s.end.deadline)
	}
	return max(wait, 0)
}
