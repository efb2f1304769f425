package services

import (
	"context"
	"errors"
	"reflect"
	"slices"
)

// Changes are the names of services by what a new set of definitions meant for them.
type Changes struct {
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Same    []string `json:"same,omitempty"`
}

// Reconcile makes list the set of services: those that are not in it are stopped
// and forgotten, new ones started, and those whose definition differs restarted
// where they run. The others are not touched. A definition that is wrong changes
// nothing at all; a dependency that is wrong is cut, as by Add, and logged.
func (s *Supervisor) Reconcile(ctx context.Context, list []Service) (Changes, error) {
	var changes Changes
	var errs []error
	for i := range list {
		list[i] = list[i].WithDefaults()
		errs = append(errs, list[i].Validate())
	}
	if err := errors.Join(errs...); err != nil {
		return changes, err
	}
	err := s.ask(ctx, func() {
		if s.end != nil {
			errs = append(errs, ErrOver)
			return
		}
		wanted := map[string]bool{}
		added := map[string]bool{}
		var restart []*record
		for _, svc := range list {
			wanted[svc.Name] = true
			r := s.records[svc.Name]
			switch {
			case r == nil || r.gone:
				s.revive(r, svc)
				added[svc.Name] = true
				changes.Added = append(changes.Added, svc.Name)
			case same(r.Service, svc):
				changes.Same = append(changes.Same, svc.Name)
				r.takeOver(svc)
			default:
				changes.Changed = append(changes.Changed, svc.Name)
				if r.state != Stopped && r.state != Failed && r.state != Done || r.state == Failed && !svc.Disabled {
					restart = append(restart, r)
				}
				r.replaced = &svc
			}
		}
		for _, r := range s.order {
			if !wanted[r.Name] && !r.gone {
				changes.Removed = append(changes.Removed, r.Name)
				r.gone = true
				s.stop(r, false)
			}
		}
		for _, r := range restart {
			s.stop(r, true)
			r.again = true
		}
		s.stopMarked() // with what the old definitions say
		s.replace()
		for _, err := range append(s.connect(func(string) bool { return true }), s.startAdded(added)...) {
			s.opts.Log.Warn(err.Error())
		}
		s.settle()
		s.tell()
	})
	return changes, errors.Join(append(errs, err)...)
}

// Forget removes those of the named services that do not run; what depends on one
// starts without. The others, and unknown names, are left alone.
func (s *Supervisor) Forget(ctx context.Context, names ...string) error {
	return s.ask(ctx, func() {
		for _, name := range names {
			r := s.records[name]
			if r != nil && !r.active() && !s.running(r) && !(r.state == Done && r.RemainAfterExit) {
				r.gone = true
			}
		}
		s.replace()
		s.tell()
	})
}

// same says whether a process by the one definition is one by the other.
func same(a, b Service) bool {
	a.takeOver(b)
	return reflect.DeepEqual(a, b)
}

// takeOver sets what does not matter to a process that runs: where its definition
// was read, what it is called, whether a boot starts it, and what it is ordered by.
// The last changes in a unit when another is installed that it names.
func (svc *Service) takeOver(from Service) {
	svc.Source, svc.Unapplied, svc.Description, svc.Disabled = from.Source, from.Unapplied, from.Description, from.Disabled
	svc.After, svc.Before, svc.AfterStart = from.After, from.Before, from.AfterStart
	svc.Wants, svc.PartOf, svc.Conflicts = from.Wants, from.PartOf, from.Conflicts
	svc.PropagatesReloadTo, svc.ReloadPropagatedFrom = from.PropagatesReloadTo, from.ReloadPropagatedFrom
}

// revive adds a definition, or gives it to the record of one that was removed and
// has not quite ended.
func (s *Supervisor) revive(r *record, svc Service) {
	if r == nil {
		_ = s.take(svc) // it has been validated
		return
	}
	r.gone, r.replaced = false, &svc
}

// replace puts new definitions into effect where nothing runs by the old ones,
// and forgets what is gone. What has yet to end is looked at again when it has.
func (s *Supervisor) replace() {
	reconnect := false
	s.replacing = false
	for _, r := range s.order {
		if r.replaced != nil && !s.running(r) {
			r.letGo()
			if r.LogLocation != r.replaced.LogLocation {
				r.closePipe()
			}
			r.Service, r.replaced = *r.replaced, nil
			reconnect = true
		}
		if r.gone && !s.running(r) {
			s.forget(r)
			reconnect = true
		}
		s.replacing = s.replacing || r.replaced != nil || r.gone && s.records[r.Name] == r
	}
	s.order = slices.DeleteFunc(s.order, func(r *record) bool { return s.records[r.Name] != r })
	if reconnect {
		s.connect(func(string) bool { return false })
	}
}

// running says whether processes of the service exist, or its stop is under way.
func (s *Supervisor) running(r *record) bool {
	return r.pid != 0 || r.job != nil || r.lingers || r.state == Stopping || r.toStop
}

// forget lets go of everything of a service that was removed.
func (s *Supervisor) forget(r *record) {
	r.stopWatching()
	r.letGo()
	r.closePipe()
	r.closeStore()
	r.state, r.waits, r.resume = Stopped, false, nil
	delete(s.records, r.Name)
}

// letGo closes what was opened by a definition that is no longer that of the service.
func (r *record) letGo() {
	r.closeNotify()
	if r.sockets != nil {
		for _, f := range r.sockets.files {
			f.Close()
		}
		r.sockets = nil
	}
}

// closePipe ends the reading of what the service writes. Of a service that goes on
// it stays: a session that outlives its server writes to it.
func (r *record) closePipe() {
	if r.pipe != nil {
		r.pipe.close()
		r.pipe = nil
	}
}

// closeStore forgets the descriptors that a service left for a next run.
func (r *record) closeStore() {
	for _, f := range r.store {
		f.file.Close()
	}
	r.store = nil
}
