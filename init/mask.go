package boot

import (
	"context"
	"fmt"
	"slices"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// postMask keeps units from being started by anybody; what runs goes on, or with
// now=1 is stopped.
func (ctl control) postMask(ctx context.Context, c call) error {
	names, snap, err := ctl.maskable(ctx, c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var done Enabled
	var running []string
	for _, name := range names {
		changes, err := unitfile.Mask(ctl.Root, name)
		done.Changes = append(done.Changes, changes...)
		if err != nil {
			return err
		}
		if slices.Contains(known(snap), name) {
			running = append(running, name)
		}
	}
	if c.query.Get("now") != "" && len(running) > 0 {
		if err := ctl.Supervisor.Stop(ctx, running...); err != nil {
			return ours(err)
		}
		list, err := ctl.await(ctx, running, c.query.Get("wait") != "0")
		if err != nil {
			return err
		}
		done.Services = list
	}
	// No other service can start it either. A reload would do more: it takes over
	// whatever else has changed.
	if err := ctl.Supervisor.Forget(ctx, running...); err != nil {
		return err
	}
	return writeJSON(c.w, done)
}

// postUnmask undoes that. It starts nothing.
func (ctl control) postUnmask(ctx context.Context, c call) error {
	names, _, err := ctl.maskable(ctx, c)
	if err != nil {
		return err
	}
	var done Enabled
	for _, name := range names {
		changes, err := unitfile.Unmask(ctl.Root, name)
		done.Changes = append(done.Changes, changes...)
		if err != nil {
			return err
		}
	}
	return writeJSON(c.w, done)
}

// maskable are the names of a request to mask: of units, since a mask is one, and of
// what there is not.
func (ctl control) maskable(ctx context.Context, c call) ([]string, services.Snapshot, error) {
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return nil, services.Snapshot{}, err
	}
	if len(names) == 0 {
		return nil, services.Snapshot{}, badRequest("no unit was named")
	}
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return nil, snap, err
	}
	for _, s := range snap.Services {
		if slices.Contains(names, s.Name) && !isUnitFile(s.Source) {
			return nil, snap, badRequest(fmt.Sprintf("%s is defined by %s and not by a unit file, "+
				"so that there is nothing to mask: it can only be stopped", s.Name, source(s)))
		}
	}
	return names, snap, nil
}

// isMasked says whether a unit that the supervisor knows must not be started.
func (c *Container) isMasked(s services.Status) bool {
	return isUnitFile(s.Source) && unitfile.State(c.Root, s.Name) == "masked"
}

// keepMasked adds to definitions those of masked units that run: a mask stops
// nothing by itself.
func (c *Container) keepMasked(ctx context.Context, list []services.Service) ([]services.Service, error) {
	snap, err := c.Supervisor.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range snap.Services {
		active := s.State == services.Starting || s.State == services.Ready || s.State == services.Backoff
		if !active || !c.isMasked(s) || slices.ContainsFunc(list, func(svc services.Service) bool { return svc.Name == s.Name }) {
			continue
		}
		svc, err := c.Supervisor.Definition(ctx, s.Name)
		if err != nil {
			return nil, fmt.Errorf("keeping %s, which is masked and runs: %w", s.Name, err)
		}
		svc.Disabled = true
		list = append(list, svc)
	}
	return list, nil
}
