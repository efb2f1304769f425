package services

import (
	"slices"
	"strings"
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
			r.exit.Cause = Timeout
		}
	case evFault:
		r.exit.Cause, r.exit.Why = e.exit.Cause, e.exit.Why
	}
	if state != before {
		if r.reloads {
			s.reloadEnds(r, "the service is "+state.String())
		}
		r.state, r.since, r.deadline = state, time.Now(), time.Time{}
		if state == Failed || state == Done && !r.RemainAfterExit || state == Stopped && !r.again {
			r.closeStore() // as systemd's FileDescriptorStorePreserve=restart
		}
	}
	s.describe(r, before, e)
	s.act(r, act)
	if state != before {
		s.announce(r, e)
		s.spread(r)
	}
}

// describe sets the note that status shows beside the state.
func (s *Supervisor) describe(r *record, before State, e event) {
	switch {
	case e.kind == evExited && e.exit.Cause == Skipped:
		r.note = e.exit.String()
	case e.kind == evExited && r.state == Stopped && (r.success(e.exit) || e.exit.Signal == r.KillSignal.number()):
		r.note = ""
	case e.kind == evExited && !e.exit.Success():
		r.note = e.exit.String()
		if r.state == Failed && e.limit {
			r.note += "; started as often as it may be"
		}
	case r.state != before:
		r.note = ""
	}
}

func (s *Supervisor) act(r *record, act action) {
	switch act {
	case actSpawn:
		r.waits, r.again, r.started, r.stopped = true, false, false, false
		r.exit, r.readyAt, r.spawnAt, r.resume = Exit{}, time.Time{}, time.Time{}, nil
		r.said, r.command, r.reloadFailure = "", 0, ""
		r.ending, r.adopted, r.distant, r.claimed, r.groups, r.invocation = false, false, false, 0, nil, ""
	case actTerminate:
		s.terminate(r)
	case actKill:
		s.escalate(r)
	case actDelay:
		s.delayStart(r)
	}
}

// spread carries a change to the services that depend on it.
func (s *Supervisor) spread(r *record) {
	if s.end != nil {
		return
	}
	for _, other := range r.drags {
		switch {
		case (r.state == Ready || r.state == Done) && other.orphaned:
			s.start(other)
		case (r.state == Backoff || r.state == Failed || r.state == Stopping || r.state == Stopped || r.state == Done) &&
			slices.Contains(other.BindsTo, r.Name) && (other.state == Starting && !other.waits || other.state == Ready):
			other.again = r.state != Failed
			s.apply(other, event{kind: evFault, exit: Exit{Cause: Bound, Why: r.Name}})
		}
	}
}

// announce logs a change, tells whoever waits for one, and ends the container
// when a service has ended for good whose end is to do that.
func (s *Supervisor) announce(r *record, e event) {
	s.tell()
	log := s.opts.Log.Info
	if r.state == Failed || r.state == Backoff {
		log = s.opts.Log.Warn
	}
	if r.state == Starting || r.state == Stopping || r.tiresome() {
		log = s.opts.Log.Debug
	}
	text := r.Name + ": " + r.state.String()
	if (r.state == Ready || r.state == Done) && !r.begun.IsZero() {
		text += " in " + Round(time.Since(r.begun)).String()
	}
	if r.note != "" {
		text += ": " + r.note
	}
	log(text)
	if s.end != nil {
		return
	}
	s.lastEnded = s.lastEnded || r.counts() && (r.state == Done || r.state == Failed)
	switch code := e.exit.ContainerCode(); {
	case r.state == Failed && r.FailureAction == ActionExit:
		s.beginEnd(r.Name+" ended", either(r.FailureActionExitStatus, code), 0)
	case r.state == Done && r.SuccessAction == ActionExit && e.exit.Cause != Skipped:
		s.beginEnd(r.Name+" ended", either(r.SuccessActionExitStatus, code), 0)
	}
}

func either(configured *int, otherwise int) int {
	if configured != nil {
		return *configured
	}
	return otherwise
}

// tell wakes whoever waits for a change.
func (s *Supervisor) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
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

// waitsNote begins the note of a service that is started after others.
const waitsNote = "waits for "

// settle starts every service whose time has come: what it is After has settled.
func (s *Supervisor) settle() {
	s.stopMarked()
	if s.replacing {
		s.replace()
	}
	for progress := true; progress; {
		progress = false
		for _, r := range s.order {
			if time.Now().Before(r.spawnAt) {
				continue
			}
			if again := r.resume; again != nil {
				r.resume = nil
				again()
				progress = progress || r.resume == nil
			}
			if !r.waits || r.toStop {
				continue
			}
			on, hopeless := r.blockedBy()
			if hopeless {
				r.waits, r.orphaned, progress = false, true, true
				s.apply(r, event{kind: evExited, exit: Exit{Cause: Dependency, Why: on}})
				continue
			}
			if on != "" {
				r.note = waitsNote + on
				continue
			}
			if strings.HasPrefix(r.note, waitsNote) { // else it is of the run before
				r.note = ""
			}
			r.waits, progress = false, true
			s.launch(r)
		}
	}
	s.endWithLast()
	s.continueEnd()
}

// expire gives evTimeout to every service whose deadline has passed.
func (s *Supervisor) expire(now time.Time) {
	for _, r := range s.order {
		if !r.deadline.IsZero() && !now.Before(r.deadline) {
			r.deadline = time.Time{}
			s.late(r)
		}
		if !r.watchdogAt.IsZero() && !now.Before(r.watchdogAt) {
			s.receive(r) // it may have spoken, and we not have listened yet
		}
		if !r.watchdogAt.IsZero() && !now.Before(r.watchdogAt) {
			r.watchdogAt = time.Time{}
			s.apply(r, event{kind: evFault, exit: Exit{Cause: Watchdog}})
		}
	}
	s.settle()
}

// late is what a passed deadline means: of the state, or of the end of what a
// process left behind, which has no state of its own.
func (s *Supervisor) late(r *record) {
	if r.state == Ready && !r.ending {
		s.reloadLate(r) // nothing else of a ready service has a deadline
		return
	}
	if r.ending && r.state != Stopping && r.state != Backoff {
		s.escalate(r)
		return
	}
	s.apply(r, event{kind: evTimeout})
}

// overslept makes up for a sleep of Run that was longer than it was to be. A long
// one is a pause of the container. A short one may be, or the machine is busy: only
// what it took too long is given back, so that a watchdog comes in the end where
// each sleep is too long; but see isPause. What of a pause fell into the sleep itself
// is lost, and so a sleep is short beside the watchdogs; see watchdogGrain.
func (s *Supervisor) overslept(now time.Time, slept, wanted time.Duration) {
	late := slept - wanted
	if late <= exact {
		return // or something else woke it
	}
	if late > thawed {
		s.opts.Log.Info("the container was paused for about " + Round(slept).String())
	}
	for _, r := range s.order {
		if !r.deadline.IsZero() {
			r.deadline = r.deadline.Add(late)
		}
		switch span := time.Duration(r.watchdog); {
		case r.watchdogAt.IsZero():
		case isPause(late, span):
			r.watchdogAt = now.Add(span)
		default:
			r.watchdogAt = r.watchdogAt.Add(late)
		}
	}
}

// isPause says whether a watchdog of span begins anew where Run overslept by late: its
// process too has to run for a while before it can speak, and a busy machine on which
// half the span is lost at once allows no verdict.
func isPause(late, span time.Duration) bool {
	return late >= min(max(span/2, shortestPause), thawed)
}

// How long Run sleeps at most: short where a pause of the container has to be
// noticed, since a deadline is set, or the end of a process that is not our child.
const (
	sleepAwake = time.Second
	sleepIdle  = 5 * time.Second
)

// watchdogGrain is how long Run sleeps at most where a service has a watchdog of
// span: no more of a pause can go unnoticed. A service speaks twice in the span, as
// sd_watchdog_enabled(3) has it, so that an eighth is little beside what it has left.
func watchdogGrain(span time.Duration) time.Duration {
	return min(sleepAwake, max(span/8, 10*time.Millisecond))
}

// untilNext is how long Run may sleep: to the nearest deadline.
func (s *Supervisor) untilNext() time.Duration {
	now, wait := time.Now(), sleepIdle
	earlier := func(t time.Time) {
		if !t.IsZero() {
			wait = min(wait, t.Sub(now))
		}
	}
	if s.end != nil {
		wait = sleepAwake
	}
	for _, r := range s.order {
		if r.distant || r.lingers || !r.deadline.IsZero() {
			wait = min(wait, sleepAwake)
		}
		if !r.watchdogAt.IsZero() {
			wait = min(wait, watchdogGrain(time.Duration(r.watchdog)))
		}
		earlier(r.deadline)
		earlier(r.watchdogAt)
		if r.waits || r.resume != nil {
			earlier(r.spawnAt)
		}
	}
	earlier(s.askAt)
	earlier(s.reapAt)
	if s.end != nil {
		earlier(s.end.deadline)
	}
	return max(wait, 0)
}
