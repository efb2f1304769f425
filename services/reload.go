package services

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoReload is returned for a service that has no way to reload.
var ErrNoReload = errors.New("has neither ExecReload nor the type notify-reload: restart it instead")

// Reload has the named services read their own configuration again, and those that
// they propagate a reload to where these can. It returns at once; Status tells when
// a reload is over and how it went.
func (s *Supervisor) Reload(ctx context.Context, names ...string) error {
	return s.onEach(ctx, names, func(r *record) error {
		if r.reloads && r.reloadedBy != "" { // with another that was named, a moment ago
			return nil
		}
		if err := r.cannotReload(); err != nil {
			return err
		}
		s.reload(r, "")
		return nil
	})
}

func (r *record) cannotReload() error {
	switch {
	case r.state != Ready:
		return fmt.Errorf("service %s: cannot reload while it is %v", r.Name, r.state)
	case r.job != nil:
		return fmt.Errorf("service %s: cannot reload while %s runs", r.Name, r.job.field)
	case r.reloads:
		return fmt.Errorf("service %s: cannot reload while a reload is under way", r.Name)
	case len(r.ExecReload) == 0 && r.Type != NotifyReload:
		return fmt.Errorf("service %s: %w", r.Name, ErrNoReload)
	}
	return nil
}

// reload runs ExecReload, or sends ReloadSignal to a service that tells when it has
// reloaded. Either has TimeoutStartSec to do it; the service runs on after it. by
// is the service that it was propagated from.
func (s *Supervisor) reload(r *record, by string) {
	s.reloadBegins(r, by)
	if r.Type == NotifyReload {
		r.reloading = true
		_ = unix.Kill(r.pid, r.ReloadSignal.number())
	}
	s.runCommands(r, "ExecReload", r.ExecReload, func(x Exit) {
		switch {
		case !x.Success():
			s.reloadEnds(r, x.String())
		case !r.reloading:
			s.reloadEnds(r, "")
		}
	})
	for _, other := range r.reloadsToo {
		if other.cannotReload() == nil {
			s.reload(other, r.Name)
		}
	}
}

func (s *Supervisor) reloadBegins(r *record, by string) {
	r.reloads, r.reloadedBy, r.reloadFailure, r.note = true, by, "", "reloading"
	if r.TimeoutStartSec > 0 {
		r.deadline = time.Now().Add(time.Duration(r.TimeoutStartSec))
	}
	s.tell()
}

// reloadEnds books the end of a reload; why is empty for a good one.
func (s *Supervisor) reloadEnds(r *record, why string) {
	if !r.reloads {
		return
	}
	r.reloads, r.reloading, r.reloadFailure, r.note, r.deadline = false, false, why, "", time.Time{}
	if why != "" {
		r.note = "the reload failed: " + why
		s.opts.Log.Warn(r.Name + ": " + r.note)
	} else {
		s.opts.Log.Info(r.Name + ": reloaded")
	}
	s.tell()
}

// reloadLate gives up a reload that takes too long.
func (s *Supervisor) reloadLate(r *record) {
	r.resume = nil // where there is no room for its command
	if r.job != nil {
		r.job.abandon, r.job.then = true, func(Exit) {}
		s.killJob(r, unix.SIGKILL)
	}
	s.reloadEnds(r, "it took longer than "+time.Duration(r.TimeoutStartSec).String())
}
