package services

import (
	"context"
	"reflect"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Changes is what Reconcile did, by the names of services.
type Changes struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Same    []string `json:"same,omitempty"`
}

// Reload makes services read their configuration again.
func (s *Supervisor) Reload(ctx context.Context, names ...string) error {
	return s.Kill(ctx, unix.SIGHUP, names...)
}

// Kill sends a signal to the processes of services.
func (s *Supervisor) Kill(ctx context.Context, sig syscall.Signal, names ...string) error {
	return s.each(ctx, names, func(r *record) { r.kill(sig) })
}

// Definition returns the definition of a service.
func (s *Supervisor) Definition(ctx context.Context, name string) (svc Service, err error) {
	err = s.each(ctx, []string{name}, func(r *record) { svc = r.Service })
	return svc, err
}

// Reconcile changes what differs.
func (s *Supervisor) Reconcile(ctx context.Context, list []Service) (ch Changes, err error) {
	var add []Service
	var restart []string
	err = s.ask(ctx, func() {
		keep := map[string]bool{}
		for _, svc := range list {
			svc = svc.WithDefaults()
			keep[svc.Name] = true
			r := s.records[svc.Name]
			switch {
			case r == nil:
				ch.Added = append(ch.Added, svc.Name)
				add = append(add, svc)
			case sameStub(r.Service, svc):
				ch.Same = append(ch.Same, svc.Name)
				r.Service = svc
			default:
				ch.Changed = append(ch.Changed, svc.Name)
				r.Service = svc
				if r.active() {
					restart = append(restart, svc.Name)
				}
			}
		}
		for _, r := range slices.Clone(s.order) {
			if !keep[r.Name] {
				ch.Removed = append(ch.Removed, r.Name)
				r.killAll()
				s.order = slices.DeleteFunc(s.order, func(o *record) bool { return o == r })
				delete(s.records, r.Name)
			}
		}
	})
	if err == nil && len(restart) > 0 {
		err = s.Restart(ctx, restart...)
	}
	if err == nil {
		err = s.Add(ctx, add...)
	}
	return ch, err
}

func sameStub(a, b Service) bool {
	a.Description, a.Disabled, a.Source, a.Unapplied = b.Description, b.Disabled, b.Source, b.Unapplied
	return reflect.DeepEqual(a, b)
}

func (x Exit) stubResult() string {
	switch {
	case x.Err != nil:
		return "resources"
	case x.TimedOut:
		return "timeout"
	case x.Signal != 0:
		return "signal"
	case x.Code != 0:
		return "exit-code"
	}
	return "success"
}
