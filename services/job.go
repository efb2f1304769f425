package services

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// runCommands runs the commands of one field, one after the other, then calls then: with
// how the first that failed ended, or with a good end. It returns at once.
func (s *Supervisor) runCommands(r *record, field string, list Commands, then func(Exit)) {
	if len(list) == 0 {
		then(Exit{})
		return
	}
	p, err := s.fork(r, list[0], false)
	if noRoom(err) {
		s.noRoom(r, err, func() { s.runCommands(r, field, list, then) })
		return
	}
	if err != nil {
		if list[0].IgnoreFailure {
			s.runCommands(r, field, list[1:], then)
			return
		}
		then(Exit{Err: fmt.Errorf("%s: %w", field, err)})
		return
	}
	if p.failure != nil {
		p.failure.Close() // its exit code says enough
	}
	r.job = &job{field: field, list: list, pid: p.pid, then: then}
	s.pids[p.pid] = r
	r.addGroup(p.pid)
}

// jobEnded goes on behind a command.
func (s *Supervisor) jobEnded(r *record, x Exit) {
	j := r.job
	r.job = nil
	if j.abandon {
		j.then(x)
		return
	}
	cmd := j.list[0]
	if !r.success(x) && !cmd.IgnoreFailure {
		s.opts.Log.Warn(fmt.Sprintf("%s: %s: %s: %s", r.Name, j.field, cmd.Argv[0], x))
		j.then(x)
		return
	}
	s.runCommands(r, j.field, j.list[1:], j.then)
}

// abandonJob ends the command that runs now, and the service with it; then
// follows once the command is gone. It says whether there was one.
func (s *Supervisor) abandonJob(r *record, then func(Exit)) bool {
	if r.job == nil {
		return false
	}
	r.job.abandon, r.job.then = true, then
	s.signalTo(r, r.KillSignal.number(), r.KillMode != KillProcess)
	s.killJob(r, r.KillSignal.number())
	return true
}

// killJob signals the command that runs now, which has a group of its own.
func (s *Supervisor) killJob(r *record, sig syscall.Signal) { _ = unix.Kill(-r.job.pid, sig) }
