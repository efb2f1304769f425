package boot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// refusedError is why definitions were not taken over: nothing has changed.
type refusedError struct{ problems []string }

func (e *refusedError) Error() string {
	return "nothing was changed, since there is something wrong:\n" + strings.Join(e.problems, "\n")
}

// Reloaded is what a reload of the definitions did.
type Reloaded struct {
	services.Changes
	Notes    []string `json:"notes,omitempty"`    // what else was done, or left out on purpose
	Problems []string `json:"problems,omitempty"` // what is wrong as long as before
}

// reload reads all definitions again and changes what differs: a service whose
// definition is the same goes on undisturbed. Where a definition is wrong that was
// not at the boot or at the last reload, nothing changes.
func (c *Container) reload(ctx context.Context) (Reloaded, error) {
	c.defined.mu.Lock()
	defer c.defined.mu.Unlock()
	if err := c.defined.fixed(); err != nil {
		return Reloaded{}, err
	}
	if err := c.Supervisor.Hold(ctx); err != nil { // the last service may end before another is known
		return Reloaded{}, err
	}
	defer func() { _ = c.Supervisor.Release(context.WithoutCancel(ctx)) }() // it fails where the container ends anyway
	config, err := image.Load(c.Root)
	if err != nil {
		return Reloaded{}, &refusedError{sentences(err)}
	}
	d, err := c.definitions(config)
	problems := sentences(err)
	if d.list, err = c.keepMasked(ctx, d.list); err != nil {
		return Reloaded{}, err
	}
	fresh := c.defined.fresh(problems)
	if len(fresh) == 0 {
		cross := between(d.list)
		fresh = c.defined.fresh(cross)
		problems = append(problems, cross...)
	}
	if len(fresh) > 0 {
		return Reloaded{}, &refusedError{fresh}
	}
	note, err := writeFiles(c.Root, d.files)
	if err != nil {
		return Reloaded{}, fmt.Errorf("writing the files of services: %w", err)
	}
	changes, err := c.Supervisor.Reconcile(ctx, d.list)
	switch none := len(changes.Added)+len(changes.Changed)+len(changes.Removed)+len(changes.Same) == 0; {
	case errors.Is(err, services.ErrOver), ctx.Err() != nil:
		return Reloaded{}, err
	case err != nil && none:
		return Reloaded{}, &refusedError{sentences(err)}
	}
	done := Reloaded{Changes: changes, Notes: d.notes, Problems: problems}
	if note != "" {
		done.Notes = append(done.Notes, note)
	}
	for _, text := range sentences(err) {
		if !slices.Contains(done.Problems, text) {
			done.Problems = append(done.Problems, text)
		}
	}
	c.defined.problems = problems
	c.Log.Info("reloaded: " + done.String())
	return done, nil
}

// between are the sentences of services.Check, each with the place of the service.
func between(list []services.Service) []string {
	var errs []error
	for _, err := range services.Split(services.Check(list)) {
		errs = append(errs, placed(list, err))
	}
	return sentences(errors.Join(errs...))
}

// fresh are the problems that nobody has gone on with yet.
func (d *defined) fresh(problems []string) (list []string) {
	for _, p := range problems {
		if !slices.Contains(d.problems, p) {
			list = append(list, p)
		}
	}
	return list
}

// sentences are the messages of joined errors, each once.
func sentences(err error) (list []string) {
	for _, e := range services.Split(err) {
		if text := e.Error(); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

func (r Reloaded) String() string {
	var parts []string
	for _, p := range []struct {
		what  string
		names []string
	}{{"added", r.Added}, {"changed", r.Changed}, {"removed", r.Removed}} {
		if len(p.names) > 0 {
			parts = append(parts, p.what+" "+strings.Join(p.names, ", "))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprintf("nothing differs, %d services go on", len(r.Same))
	}
	return fmt.Sprintf("%s; %d go on undisturbed", strings.Join(parts, "; "), len(r.Same))
}

// load makes the supervisor know those of the named units that it does not know
// yet, without starting them.
func (c *Container) load(ctx context.Context, names ...string) error {
	snap, err := c.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	var errs []error
	var fresh []string
	for _, name := range names {
		if i := slices.IndexFunc(snap.Services, func(s services.Status) bool { return s.Name == name }); i >= 0 {
			if c.isMasked(snap.Services[i]) {
				errs = append(errs, maskedError(name))
			}
			continue
		}
		switch unitfile.State(c.Root, name) {
		case "", "not-found": // the supervisor says it, with the names that there are
		case "masked":
			errs = append(errs, maskedError(name))
		default:
			fresh = append(fresh, name)
		}
	}
	if err := c.defined.fixed(); err != nil && len(fresh) > 0 {
		errs = append(errs, err)
	} else if len(fresh) > 0 {
		errs = append(errs, c.loadNew(ctx, fresh, snap))
	}
	return errors.Join(errs...)
}

func maskedError(name string) error {
	return fmt.Errorf("the unit %s.service is masked, so that nobody can start it; to undo that: systemctl unmask %[1]s", name)
}

// loadNew loads units together, since they may name each other.
func (c *Container) loadNew(ctx context.Context, names []string, have services.Snapshot) error {
	c.defined.mu.Lock()
	defer c.defined.mu.Unlock()
	list, err := c.unstarted(names, known(have), nil)
	there := func(name string) bool {
		return slices.ContainsFunc(list, func(svc services.Service) bool { return svc.Name == name })
	}
	if err != nil && slices.ContainsFunc(names, func(name string) bool { return !there(name) }) {
		return &refusedError{sentences(err)}
	}
	if err := c.Supervisor.Add(ctx, list...); err != nil {
		return fmt.Errorf("loading %s: %w", strings.Join(names, ", "), err)
	}
	c.defined.loaded = append(c.defined.loaded, names...)
	return nil
}
