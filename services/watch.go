package services

import (
	"context"

	"go.uber.org/zap"
)

// startProbe asks the service in the background whether it can serve.
func (s *Supervisor) startProbe(ctx context.Context, r *record, ready func()) {
	probe, how, pid := *r.Probe, s.asker(r), r.pid
	how.told = func(err error) {
		_ = s.ask(ctx, func() {
			if r.pid == pid && r.state == Starting {
				r.note = err.Error()
				s.tell()
			}
		})
	}
	go func() {
		defer recovered(s.opts.Log, "probe of "+r.Name)
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
	}()
}

// startLiveness asks a service that is ready whether it still works.
func (s *Supervisor) startLiveness(r *record) {
	ctx := s.watching(r)
	probe, how, pid := *r.Liveness, s.asker(r), r.pid
	go func() {
		defer recovered(s.opts.Log, "liveness of "+r.Name)
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
	}()
}

// asker is how the probes of a service put their questions. Where its surroundings cannot
// be made an exec probe fails, as its main process did.
func (s *Supervisor) asker(r *record) asker {
	account, cred, err := r.account()
	if err != nil {
		return asker{}
	}
	env, err := r.env(s.environ, account, s.variables(r, false)...)
	if err != nil {
		return asker{}
	}
	return newAsker(r.directory(account), env, cred)
}

// recovered is deferred at the root of every goroutine.
func recovered(log *zap.Logger, what string) {
	if p := recover(); p != nil {
		log.Error("BUG: panic in "+what, zap.Any("panic", p), zap.Stack("stack"))
	}
}
