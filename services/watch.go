package services

import (
	"context"

	"go.uber.org/zap"
)

// startProbe asks the service in the background whether it can serve.
func (s *Supervisor) startProbe(ctx context.Context, r *record, ready func()) {
	probe, pid := *r.Probe, r.pid
	how, err := s.askerOf(r, r.Probe)
	if err != nil {
		s.apply(r, event{kind: evFault, exit: Exit{Cause: Timeout, Why: "its Probe: " + err.Error()}})
		return
	}
	how.told = func(err error) {
		_ = s.ask(ctx, func() {
			if r.pid == pid && r.state == Starting {
				r.note = err.Error()
				s.tell()
			}
		})
	}
	s.question(r, r.Probe, "probe of "+r.Name, func() {
		err := probe.wait(ctx, how)
		if err == nil {
			_ = s.ask(ctx, ready)
			return
		}
		_ = s.ask(ctx, func() {
			if r.pid == pid && r.state == Starting {
				s.apply(r, event{kind: evFault, exit: Exit{Cause: Timeout, Why: err.Error()}})
				s.settle()
			}
		})
	})
}

// startLiveness asks a service that is ready whether it still works.
func (s *Supervisor) startLiveness(r *record) {
	how, err := s.askerOf(r, r.Liveness)
	if err != nil {
		s.apply(r, event{kind: evFault, exit: Exit{Cause: Unhealthy, Why: err.Error()}})
		return
	}
	ctx, probe, pid := s.watching(r), *r.Liveness, r.pid
	s.question(r, r.Liveness, "liveness of "+r.Name, func() {
		err := probe.watch(ctx, how, nil)
		if ctx.Err() != nil {
			return
		}
		_ = s.ask(ctx, func() {
			if r.pid == pid && r.state == Ready {
				s.apply(r, event{kind: evFault, exit: Exit{Cause: Unhealthy, Why: err.Error()}})
				s.settle()
			}
		})
	})
}

// question runs ask beside the supervisor. As long as a command of it may run the
// service has not ended: its processes, once it is killed, are ours to see and to end.
func (s *Supervisor) question(r *record, p *Probe, what string, ask func()) {
	command := len(p.Exec) > 0
	if command {
		r.asked++
	}
	go func() {
		defer recovered(s.opts.Log, what)
		if command {
			defer func() { _ = s.ask(context.Background(), func() { s.answered(r) }) }()
		}
		ask()
	}()
}

func (s *Supervisor) answered(r *record) {
	r.asked--
	s.checkRemains()
	s.settle()
}

// askerOf is how a probe of the service puts its questions. Only one that runs a
// program needs the surroundings of the service's own.
func (s *Supervisor) askerOf(r *record, p *Probe) (asker, error) {
	if len(p.Exec) == 0 {
		return asker{}, nil
	}
	account, cred, err := r.account()
	if err != nil {
		return asker{}, err
	}
	env, err := r.env(s.environ, account, s.variables(r, false)...)
	if err != nil {
		return asker{}, err
	}
	return s.asker(r.directory(account), env, cred), nil
}

// recovered is deferred at the root of every goroutine.
func recovered(log *zap.Logger, what string) {
	if p := recover(); p != nil {
		log.Error("BUG: panic in "+what, zap.Any("panic", p), zap.Stack("stack"))
	}
}
