package services

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longPass is a pass over the children after which PID 1 rests.
const longPass = 250 * time.Microsecond

// reapSoon reaps, once PID 1 has rested as long as its last pass took where that was
// a long one. The kernel looks for a child that has ended from the oldest on, so that
// of ten thousand that end one by one each would cost a way along all that live, or two.
func (s *Supervisor) reapSoon() {
	if time.Now().Before(s.reapAfter) {
		s.reapAt = s.reapAfter
		return
	}
	s.reap()
}

// reap collects every child that has ended, or stopped.
//
// __WNOTHREAD makes wait4 look only at children of the calling thread. The
// supervisor forks on the locked main thread, and orphans are given to the
// thread-group leader, which is that same thread; children that os/exec makes
// elsewhere in the process belong to other threads, so this never takes a status
// from them. Without the flag one in seven of their statuses is lost.
//
// All are collected before the first is looked at, since the list of adopted
// children, which that may need, has to be read again after each collection.
func (s *Supervisor) reap() {
	s.collected = s.collected[:0]
	began, killed := time.Now(), false
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG|syscall.WUNTRACED|syscall.WCONTINUED|unix.WNOTHREAD, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		if s.pids[pid] == nil && !ws.Stopped() && !ws.Continued() {
			delete(s.owners, pid)
			s.orphans++
			killed = killed || ws.Signaled() && ws.Signal() == unix.SIGKILL
			continue
		}
		s.collected = append(s.collected, collected{pid, ws})
	}
	s.reapAt = time.Time{}
	if now := time.Now(); now.Sub(began) > longPass {
		s.reapAfter = now.Add(now.Sub(began))
	}
	s.adoptedNow = false
	for _, c := range s.collected {
		r := s.pids[c.pid]
		switch {
		case r == nil: // it has named another main process since
		case c.ws.Stopped():
			s.halted(r, c.pid, c.ws.StopSignal())
		case c.ws.Continued():
			if strings.HasPrefix(r.note, haltedNote) {
				r.note = ""
				s.tell()
			}
		default:
			delete(s.pids, c.pid)
			s.exited(r, c.pid, exitOf(c.ws))
		}
	}
	// Where orphans come and end by the thousand, reading the count would cost more than they do.
	if killed || len(s.collected) > 0 {
		s.countKills()
	}
	s.checkRemains()
	s.settle()
}

// collected is what wait4 said of one child.
type collected struct {
	pid int
	ws  syscall.WaitStatus
}

const haltedNote = "halted by "

// halted is a stop by a signal, which is no end. A Ctrl-Z of the main command,
// where no shell could take it back, is undone.
func (s *Supervisor) halted(r *record, pid int, sig syscall.Signal) {
	if r == nil || pid != r.pid {
		return
	}
	if r.Foreground && sig == unix.SIGTSTP && hasTerminal() {
		_ = unix.Kill(-pid, unix.SIGCONT)
		return
	}
	r.note = haltedNote + signalName(sig) + ", until a SIGCONT"
	s.tell()
}

// exited books the end of a process of a service.
func (s *Supervisor) exited(r *record, pid int, x Exit) {
	if r.pipe != nil {
		r.pipe.drain() // its last words come before the news of its end
	}
	if r.notify != nil {
		s.receive(r) // and so does what it has notified of
	}
	if r.job != nil && pid == r.job.pid {
		s.jobEnded(r, x)
		return
	}
	if pid != r.pid {
		return // it has named another main process since
	}
	r.pid = 0
	x = r.execFailure(x)
	x.Cause, x.Why = r.exit.Cause, r.exit.Why
	x.OOM = x.Signal == unix.SIGKILL && s.outOfMemory()
	r.exit = x
	switch {
	case r.Type == Forking && !r.adopted && r.state == Starting && r.success(x):
		s.adopt(r)
		return
	case r.Type == Oneshot && r.state == Starting && (r.success(x) || r.ExecStart[r.command].IgnoreFailure):
		if r.command++; r.command < len(r.ExecStart) {
			s.startMain(r)
			return
		}
		r.exit = Exit{}
		s.post(r)
		return
	case (r.Type == Notify || r.Type == NotifyReload) && r.state == Starting && r.success(x) && !r.RemainAfterExit:
		r.exit.Cause, r.exit.Why = Protocol, "it ended without READY=1"
	}
	s.reloadEnds(r, "its process has ended")
	r.ending = true
	r.stopWatching()
	switch {
	case r.job != nil && r.state == Stopping: // ExecStop; what follows it goes on
	case r.job != nil:
		s.abandonJob(r, func(Exit) { s.collect(r) })
		r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
	case r.state == Ready && r.success(r.exit) && !r.RemainAfterExit && len(r.ExecStop) > 0:
		r.deadline = time.Now().Add(time.Duration(r.TimeoutStopSec))
		s.runCommands(r, "ExecStop", r.ExecStop, func(Exit) { s.collect(r) })
	default:
		s.collect(r)
	}
}

// outOfMemory says whether the kernel has killed for want of memory since the pass
// before this one. It is the best that can be had: the count is the container's, and
// names nobody. So a kill -9 within seconds (untilNext) after the kernel took a
// process that is not our child is still put down to that; each counted kill
// explains one end only.
func (s *Supervisor) outOfMemory() bool {
	kills, ok := s.oomKills()
	if !ok || kills <= s.kills {
		return false
	}
	s.kills++
	return true
}

// checkRemains looks whether the last of what a service left behind has been
// reaped, and whether a main process that is not our child still lives.
func (s *Supervisor) checkRemains() {
	s.askAt = time.Time{}
	for _, r := range s.order {
		if len(r.groups) > 1 || len(r.groups) == 1 && r.groups[0] != r.pid {
			r.forgetGroups() // of commands that have ended, and of what they left behind
		}
		if r.claimed != 0 {
			s.changeMain(r, r.claimed)
		}
		if r.lingers {
			s.collect(r)
		}
		if r.distant && r.pid != 0 && unix.Kill(r.pid, 0) == unix.ESRCH {
			pid := r.pid
			delete(s.pids, pid)
			s.exited(r, pid, Exit{})
		}
	}
}
