package services

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// Start, Stop and Restart act on the named services and return at once; the
// state tells what became of it. An unknown name is an error and nothing
// happens to the others either.
func (s *Supervisor) Start(ctx context.Context, names ...string) error {
	return s.onEach(ctx, names, func(r *record) error { s.start(r); return nil })
}

// Stop ends the named services, and those that require them or are part of
// them; they stay stopped.
func (s *Supervisor) Stop(ctx context.Context, names ...string) error {
	return s.onEach(ctx, names, func(r *record) error { s.stop(r, false); return nil })
}

// Restart ends the named services where they run, and starts them. Those that
// require them, are bound to them or are part of them restart with them.
func (s *Supervisor) Restart(ctx context.Context, names ...string) error {
	return s.onEach(ctx, names, func(r *record) error {
		s.stop(r, true)
		r.again = true
		return nil
	})
}

// Kill sends a signal to everything of the named services.
func (s *Supervisor) Kill(ctx context.Context, sig syscall.Signal, names ...string) error {
	return s.onEach(ctx, names, func(r *record) error {
		if r.pid == 0 {
			return fmt.Errorf("service %s: has no process", r.Name)
		}
		s.signalTo(r, sig, r.KillMode != KillProcess)
		return nil
	})
}

// Definition returns the definition of a service, with its defaults.
func (s *Supervisor) Definition(ctx context.Context, name string) (Service, error) {
	var svc Service
	err := s.onEach(ctx, []string{name}, func(r *record) error { svc = r.Service; return nil })
	return svc, err
}

func (s *Supervisor) onEach(ctx context.Context, names []string, do func(*record) error) error {
	var errs []error
	err := s.ask(ctx, func() {
		for _, name := range names {
			if s.records[name] == nil {
				errs = append(errs, &UnknownError{Name: name, Known: s.names()})
			}
		}
		if s.end != nil && errs == nil {
			errs = append(errs, ErrOver)
		}
		if errs != nil {
			return
		}
		for _, name := range names {
			errs = append(errs, do(s.records[name]))
		}
		s.settle()
	})
	if err != nil {
		return err
	}
	return joined(errs)
}

// joined is errors.Join, but for a single error, which stays itself.
func joined(errs []error) error {
	err := errors.Join(errs...)
	if list := Split(err); len(list) == 1 {
		return list[0]
	}
	return err
}

// UnknownError is the answer to a name that no service has.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no service is called %s; there are: %v", e.Name, e.Known)
}

func (s *Supervisor) names() []string {
	var names []string
	for _, r := range s.order {
		names = append(names, r.Name)
	}
	return names
}

// start starts a service, what it wants and requires, and stops what it
// conflicts with.
func (s *Supervisor) start(r *record) {
	r.orphaned = false
	if r.toStop {
		r.again = true
		return
	}
	if r.state == Ready || r.state == Starting {
		return
	}
	for _, foe := range r.foes {
		if foe.active() {
			s.stop(foe, false)
		}
	}
	r.restarts, r.starts = 0, nil
	s.apply(r, event{kind: evStart})
	for _, dep := range r.pulls {
		if dep.state == Stopped || dep.state == Failed {
			s.start(dep)
		}
	}
}

// stop marks a service, and those that it drags along, to be stopped, and with
// again to be started once more. settle stops them, the last in the order first.
func (s *Supervisor) stop(r *record, again bool) {
	if r.toStop {
		r.again = r.again && again
		return
	}
	r.toStop, r.orphaned = true, false
	r.again = again && r.stands()
	for _, other := range r.drags {
		if other.stands() {
			s.stop(other, again)
		}
	}
}

// stopMarked stops what is marked and has nothing marked behind it.
func (s *Supervisor) stopMarked() {
	for progress := true; progress; {
		progress = false
		for _, r := range s.order {
			if !r.toStop || slices.ContainsFunc(r.behind, func(b *record) bool { return b.toStop || b.state == Stopping }) {
				continue
			}
			r.toStop, progress = false, true
			again := r.again
			s.apply(r, event{kind: evStop})
			if again && r.state == Stopped { // nothing of it had to end
				s.start(r)
			}
		}
	}
}
