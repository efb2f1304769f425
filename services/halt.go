package services

import (
	"time"

	"golang.org/x/sys/unix"
)

// terminate begins a stop: ExecStop where the service had been started and is not
// at fault, then the signals.
func (s *Supervisor) terminate(r *record) {
	r.stopWatching()
	r.waits, r.resume = false, nil
	r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
	if r.ending && r.job != nil { // ExecStop or ExecStopPost, after an end of its own
		return
	}
	if r.job != nil && r.job.field == "ExecReload" { // no reason to leave ExecStop out
		r.job.abandon, r.job.then = true, func(Exit) { s.terminate(r) }
		s.killJob(r, r.KillSignal.number())
		return
	}
	if s.abandonJob(r, func(Exit) { s.collect(r) }) {
		return
	}
	if r.started && !r.ending && r.exit.Cause == "" && len(r.ExecStop) > 0 {
		s.runCommands(r, "ExecStop", r.ExecStop, func(Exit) { s.quit(r) })
		return
	}
	s.quit(r)
}

// quit sends the service the signal to end, and a CONT after it since a stopped
// process would not see it.
func (s *Supervisor) quit(r *record) {
	r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
	if s.collect(r) || r.KillMode == KillNone {
		return
	}
	sig, all := r.KillSignal.number(), r.KillMode == KillGroup
	switch {
	case r.exit.Cause == Watchdog:
		sig = unix.SIGABRT
	case r.Foreground:
		all = !s.opts.MainAlone
		if s.end != nil && s.end.signal != 0 {
			sig = s.end.signal
		}
	}
	s.signalTo(r, sig, all)
	if !r.Foreground || isHalted(r.pid) { // a main command may count its signals
		s.signalTo(r, unix.SIGCONT, all)
	}
	if r.SendSIGHUP {
		s.signalTo(r, unix.SIGHUP, all)
	}
}

// escalate is what follows when a stop takes too long: ExecStop gives way to
// KillSignal, and that to SIGKILL.
func (s *Supervisor) escalate(r *record) {
	r.deadline = time.Now().Add(time.Second)
	switch {
	case r.job != nil && r.job.field == "ExecStop" && !r.job.abandon:
		r.job.abandon, r.job.then = true, func(Exit) { s.quit(r) }
		s.killJob(r, unix.SIGKILL)
	case r.job != nil:
		s.killJob(r, unix.SIGKILL)
		s.signalTo(r, unix.SIGKILL, r.KillMode != KillProcess)
	case r.KeepAlive || r.KillMode == KillNone:
		s.opts.Log.Warn(r.Name + ": left running after TimeoutStopSec, as it is set up")
		r.pid, r.groups, r.invocation = 0, nil, ""
		s.collect(r)
	default:
		s.signalTo(r, unix.SIGKILL, r.KillMode != KillProcess)
	}
}

// collect ends the run where nothing of the service is left, and says whether
// that is so. What a process left behind would keep its ports and files.
func (s *Supervisor) collect(r *record) bool {
	if r.pid != 0 || r.job != nil {
		return false
	}
	if s.leftBehind(r) {
		sig := r.KillSignal.number()
		if r.KillMode == KillMixed {
			sig = unix.SIGKILL
		}
		switch {
		case r.lingers:
		case r.state != Stopping:
			r.note = r.exit.String() + "; ending what it left behind"
			r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
			s.signalTo(r, sig, true)
			s.signalTo(r, unix.SIGCONT, true)
		case r.KillMode == KillMixed:
			s.signalTo(r, sig, true)
		}
		if !r.lingers {
			r.lingers = true
			s.tell() // it has no main process any more, and perhaps a note
		}
		s.tellStrays(r, sig)
		return false
	}
	r.lingers = false
	s.ends(r, r.exit)
	return true
}

// ends books the end of a run: ExecStopPost, then the event.
func (s *Supervisor) ends(r *record, x Exit) {
	r.exit, r.ending, r.resume = x, true, nil
	r.stopWatching()
	if s.leftBehind(r) {
		s.collect(r)
		return
	}
	if r.RemainAfterExit && r.state != Stopping && r.success(x) { // it counts as running; its stop comes later
		r.ending = false
		s.apply(r, event{kind: evExited, exit: x})
		return
	}
	if !r.stopped && x.Cause != Skipped && x.Cause != Dependency && len(r.ExecStopPost) > 0 {
		r.stopped = true
		r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
		s.runCommands(r, "ExecStopPost", r.ExecStopPost, func(Exit) { s.collect(r) })
		return
	}
	s.tidy(r)
	if s.end != nil && r.Foreground {
		s.end.code = x.ContainerCode()
	}
	s.apply(r, event{kind: evExited, exit: x, again: r.again, limit: r.limited(time.Now())})
}
