package services

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// reap collects every child that has ended, or stopped.
//
// __WNOTHREAD makes wait4 look only at children of the calling thread. The
// supervisor forks on the locked main thread, and orphans are given to the
// thread-group leader, which is that same thread; children that os/exec makes
// elsewhere in the process belong to other threads, so this never takes a status
// from them. Without the flag one in seven of their statuses is lost.
func (s *Supervisor) reap() {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED|unix.WNOTHREAD, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		switch r := s.pids[pid]; {
		case ws.Stopped():
			if r != nil && r.Foreground && ws.StopSignal() == unix.SIGTSTP && hasTerminal() {
				// A Ctrl-Z where no shell could take it back: go on.
				_ = unix.Kill(-pid, unix.SIGCONT)
			}
		case r != nil:
			delete(s.pids, pid)
			s.exited(r, exitOf(ws))
		default:
			s.orphans++
		}
	}
	s.checkLingering()
	s.settle()
}

// exited books the end of a service's own process. The service has ended when
// its group has: what it left behind would keep its ports and files.
func (s *Supervisor) exited(r *record, x Exit) {
	r.stopProbe()
	timedOut := r.exit.TimedOut
	r.exit = x
	r.exit.TimedOut = timedOut
	if r.KillMode == KillGroup && !r.Foreground && groupAlive(r.pid) {
		r.lingers = true
		if r.state != Stopping {
			r.note = x.String() + "; ending what it left behind"
			r.kill(r.KillSignal.number())
			r.deadline = after(r.TimeoutStopSec)
		}
		return
	}
	s.gone(r)
}

// checkLingering looks whether the last of a group has been reaped.
func (s *Supervisor) checkLingering() {
	for _, r := range s.order {
		if r.lingers && !groupAlive(r.pid) {
			s.gone(r)
		}
	}
}

// gone says that nothing of the service is left.
func (s *Supervisor) gone(r *record) {
	r.lingers = false
	r.pid = 0
	if s.end != nil && r.Foreground {
		s.end.code = r.exit.ContainerCode()
	}
	s.apply(r, event{kind: evExited, exit: r.exit, again: r.again})
}

// groupAlive is true while a process group has members. The kernel does not
// reuse its number before that.
func groupAlive(pgid int) bool { return unix.Kill(-pgid, 0) != unix.ESRCH }
