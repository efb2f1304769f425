package services

import "context"

// Hold puts off the end that Options.EndWithLast asks for, while definitions are read:
// there may be more services in a moment. Each Hold wants a Release, and so does New, once
// all services have been added.
func (s *Supervisor) Hold(ctx context.Context) error {
	return s.ask(ctx, func() { s.holds++ })
}

// Release takes a Hold back.
func (s *Supervisor) Release(ctx context.Context) error {
	return s.ask(ctx, func() { s.holds--; s.settle() })
}

// endWithLast ends the container where Options.EndWithLast says so, and the last service
// that counts has ended for good, with the exit code of the first that failed. It has to have
// ended by itself: whoever stops services is at work in the container.
func (s *Supervisor) endWithLast() {
	if !s.opts.EndWithLast || s.holds > 0 || s.end != nil || !s.lastEnded {
		return
	}
	s.lastEnded = false
	var failed *record
	ran := false
	for _, r := range s.order {
		switch {
		case r.isOwn():
		case r.active() || r.toStop || r.again:
			return
		case !r.counts():
		case r.state == Failed && (failed == nil || r.since.Before(failed.since)):
			failed = r
		case r.state == Done:
			ran = ran || r.exit.Cause != Skipped
		}
	}
	switch {
	case failed != nil:
		code := either(failed.FailureActionExitStatus, failed.exit.ContainerCode())
		s.beginEnd("all services have ended, and "+failed.Name+" failed", max(code, 1), 0)
	case ran:
		s.beginEnd("all services have ended", 0, 0)
	}
}

// isOwn says whether a service is init's own: nobody has defined it anywhere. The main
// command is not, and ends the container itself.
func (svc *Service) isOwn() bool { return svc.Source == "" && !svc.Foreground }

// counts says whether the end of a service may be that of the container: it was defined
// and is started by a boot.
func (r *record) counts() bool { return !r.isOwn() && !r.Disabled }
