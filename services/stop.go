package services

import (
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// ending is the way out: the services in reverse order, then whatever else runs.
type ending struct {
	code     int
	signal   syscall.Signal // that the main command gets; 0: its KillSignal
	phase    endPhase
	deadline time.Time // of the phase
	finished bool
}

type endPhase uint8

const (
	endServices endPhase = iota // KillSignal to those that nothing running is After
	endKill                     // SIGKILL to all services
	endTerm                     // SIGTERM to every other process of the container
	endSweep                    // SIGKILL to these
)

// reserve is what is kept of StopTimeout for the last, certain SIGKILL.
const reserve = 500 * time.Millisecond

// beginEnd begins the end of all services, and then of Run, which returns code; a second
// call kills at once. toMain is the signal for the main command, 0 for its KillSignal.
func (s *Supervisor) beginEnd(reason string, code int, toMain syscall.Signal) {
	if s.end != nil {
		s.opts.Log.Warn("killing everything now: " + reason)
		s.killServices()
		s.continueEnd()
		return
	}
	s.opts.Log.Info("stopping: "+reason, zap.Duration("within", s.opts.StopTimeout))
	if s.opts.Ending != nil {
		s.opts.Ending()
	}
	s.end = &ending{code: code, signal: toMain, deadline: time.Now().Add(max(s.opts.StopTimeout-reserve, 0))}
	s.continueEnd()
}

// signal is what a signal to init means. All are caught: a Go program that is
// PID 1 dies of a dozen of them otherwise, which C programs there do not.
func (s *Supervisor) signal(sig syscall.Signal) {
	passed := sig
	if other, ok := s.opts.Instead[sig]; ok && s.main() != nil {
		passed = other
	}
	if passed == 0 {
		s.opts.Log.Info("dropped signal " + signalName(sig) + ", as it is set up")
		return
	}
	switch sig {
	case unix.SIGTERM, unix.SIGINT, unix.SIGPWR, SIGRTMIN3:
		if passed == SIGRTMIN3 { // it says to a manager what TERM says to a program
			passed = unix.SIGTERM
		}
		s.beginEnd("got "+signalName(sig), s.stopCode(sig), passed)
	case unix.SIGPIPE: // the kernel's: whoever read our log is gone
	default:
		s.forward(passed)
	}
}

// forward passes a signal on to the main command and its group. No CONT follows
// it, as in kill: it may be a TSTP.
func (s *Supervisor) forward(sig syscall.Signal) {
	if main := s.main(); main != nil && main.pid != 0 {
		to := -main.pid
		if s.opts.MainAlone {
			to = main.pid
		}
		_ = unix.Kill(to, sig) // ESRCH: its end is on its way to us
		return
	}
	switch sig {
	case unix.SIGWINCH, unix.SIGTTIN, unix.SIGTTOU, unix.SIGTSTP, unix.SIGCONT: // from a terminal; nothing to tell
	default:
		s.opts.Log.Info("ignored signal " + signalName(sig))
	}
}

// SIGRTMIN3 asks systemd, and those that imitate it, to halt; podman and lxc send it.
const SIGRTMIN3 = syscall.Signal(34 + 3)

func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return "signal " + sig.String()
}

// main is the main command, or nil.
func (s *Supervisor) main() *record {
	for _, r := range s.order {
		if r.Foreground {
			return r
		}
	}
	return nil
}

// stopCode is the container's exit code for a stop that was asked for: the main
// command's own, once it has one; 143 while nothing has been started yet; else 0.
func (s *Supervisor) stopCode(sig syscall.Signal) int {
	if len(s.order) == 0 {
		return 128 + int(sig)
	}
	return 0
}

// continueEnd takes the shutdown as far as it goes now.
func (s *Supervisor) continueEnd() {
	if s.end == nil || s.end.finished {
		return
	}
	now := time.Now()
	if s.end.phase == endServices && !now.Before(s.end.deadline) {
		s.killServices()
	}
	if s.end.phase == endServices {
		s.stopFree()
	}
	if s.end.phase <= endKill && !s.anyActive() {
		s.end.phase, s.end.deadline = endTerm, now.Add(300*time.Millisecond)
		s.end.finished = !s.sweep(unix.SIGTERM)
		return
	}
	late := !now.Before(s.end.deadline)
	switch s.end.phase {
	case endKill:
		s.end.finished = late // something hangs in the kernel; the container ends it
	case endTerm:
		s.end.finished = !s.sweep(0)
		if late && !s.end.finished {
			s.sweep(unix.SIGKILL)
			s.end.phase, s.end.deadline = endSweep, now.Add(reserve/2)
		}
	case endSweep:
		s.end.finished = late || !s.sweep(0)
	}
}

// stopFree stops every service that nothing running is behind, main commands first.
func (s *Supervisor) stopFree() {
	for _, r := range slices.Backward(s.order) {
		if !r.ends() || r.state == Stopping || slices.ContainsFunc(r.behind, (*record).ends) {
			continue
		}
		r.again, r.toStop = false, false
		s.apply(r, event{kind: evStop})
	}
}

// ends says whether something of the service has to end before the container can.
func (r *record) ends() bool {
	return r.active() || r.lingers || r.state == Done && r.RemainAfterExit && len(r.ExecStop)+len(r.ExecStopPost) > 0
}

func (s *Supervisor) anyActive() bool { return slices.ContainsFunc(s.order, (*record).ends) }

func (s *Supervisor) killServices() {
	s.end.phase, s.end.deadline = endKill, time.Now().Add(reserve/2)
	for _, r := range s.order {
		if !r.ends() {
			continue
		}
		r.again, r.toStop = false, false
		s.apply(r, event{kind: evStop})
		if r.ends() {
			s.escalate(r)
			s.signalTo(r, unix.SIGKILL, r.KillMode != KillProcess)
		}
	}
}

// sweep signals every process of the container but this one, and says whether
// there is any. Only PID 1 may: for others -1 is the whole machine.
func (s *Supervisor) sweep(sig syscall.Signal) bool {
	if !s.opts.Alone {
		return false
	}
	return unix.Kill(-1, sig) == nil
}
