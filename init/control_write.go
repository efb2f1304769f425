package boot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// postReload makes the named services read their own configuration again;
// without names it reads the definitions of all services again.
func (ctl control) postReload(ctx context.Context, c call) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if len(c.query["name"]) > 0 {
		return ctl.change(ctl.Supervisor.Reload)(ctx, c)
	}
	done, err := ctl.reload(ctx)
	if err != nil {
		return err
	}
	return writeJSON(c.w, done)
}

// postKill sends a signal to the processes of services.
func (ctl control) postKill(ctx context.Context, c call) error {
	text := c.query.Get("signal")
	sig := ParseSignal(text)
	if sig == 0 {
		return badRequest(fmt.Sprintf("signal=%s is no signal: give a name such as HUP, or a number from 1 to 64", text))
	}
	c.query.Set("wait", "0") // what a signal does is the service's own business
	return ctl.change(func(ctx context.Context, names ...string) error { return ctl.Supervisor.Kill(ctx, sig, names...) })(ctx, c)
}

// ParseSignal reads SIGHUP, HUP, hup or 1; 0 stands for none of these.
func ParseSignal(text string) syscall.Signal {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > 64 {
			return 0
		}
		return syscall.Signal(n)
	}
	return unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG"))
}

// Enabled is what an enable or disable did.
type Enabled struct {
	Changes  []string  `json:"changes,omitempty"` // of the file system, one sentence each
	Services Outcome   `json:"services,omitempty"`
	Reload   *Reloaded `json:"reload,omitempty"` // where a file was installed
}

// postEnable installs the unit files file=, and has them and the units name=
// started at each boot; with now=1 also now.
func (ctl control) postEnable(ctx context.Context, c call) error {
	if err := ctl.defined.fixed(); err != nil {
		return err
	}
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return err
	}
	if len(names)+len(c.query["file"]) == 0 {
		return badRequest("neither a unit nor a unit file was named")
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var done Enabled
	now := c.query.Get("now") != ""
	ctl.defined.enabling.Lock()
	defer ctl.defined.enabling.Unlock()
	undo, err := unitfile.Remember(ctl.Root, c.query["file"]...)
	if err != nil {
		return err
	}
	for _, file := range c.query["file"] {
		name, changes, err := unitfile.Install(ctl.Root, file)
		done.Changes = append(done.Changes, changes...)
		if err != nil {
			return err
		}
		names = append(names, strings.TrimSuffix(name, ".service"))
	}
	for _, name := range names {
		if err := ctl.isUnit(ctx, name); err != nil {
			return err
		}
		changes, err := unitfile.Enable(ctl.Root, name)
		warnings, errs := splitWarnings(err) // such as that it has no [Install] section
		done.Changes = append(append(done.Changes, changes...), warnings...)
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
	}
	if now && len(c.query["file"]) > 0 { // the file may be a new version of a unit that runs
		reloaded, err := ctl.reload(ctx)
		if refused := (*refusedError)(nil); errors.As(err, &refused) { // left there, it would keep every other reload from happening
			return errors.Join(err, undo())
		}
		if err != nil {
			return fmt.Errorf("the unit is installed and enabled, but does not run yet: %w", err)
		}
		done.Reload = &reloaded
	}
	return ctl.answerEnabled(ctx, c, done, names, now, ctl.start)
}

// postDisable keeps units from being started at the next boot; with now=1 it also stops them.
func (ctl control) postDisable(ctx context.Context, c call) error {
	if err := ctl.defined.fixed(); err != nil {
		return err
	}
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return badRequest("no unit was named")
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	var done Enabled
	var running []string
	for _, name := range names {
		if err := ctl.isUnit(ctx, name); err != nil {
			return err
		}
		changes, err := unitfile.Disable(ctl.Root, name)
		done.Changes = append(done.Changes, changes...)
		if err != nil {
			return err
		}
		if slices.Contains(known(snap), name) {
			running = append(running, name)
			ctl.keep(name)
		}
	}
	now := c.query.Get("now") != "" && len(running) > 0
	return ctl.answerEnabled(ctx, c, done, running, now, ctl.Supervisor.Stop)
}

// keep makes a reload take a unit for one that somebody started, since nothing
// enables it any more.
func (ctl control) keep(name string) {
	ctl.defined.mu.Lock()
	defer ctl.defined.mu.Unlock()
	if !slices.Contains(ctl.defined.loaded, name) {
		ctl.defined.loaded = append(ctl.defined.loaded, name)
	}
}

// isUnit is an error for what is not defined by a unit file.
func (ctl control) isUnit(ctx context.Context, name string) error {
	if installed(unitfile.State(ctl.Root, name)) {
		return nil
	}
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	for _, s := range snap.Services {
		if s.Name == name {
			return badRequest(fmt.Sprintf("%s is defined by %s and not by a unit file: it is started at each boot, and can only be stopped and started", name, source(s)))
		}
	}
	return &unknownError{name, known(snap)}
}

func source(s services.Status) string {
	if s.Source == "" {
		return "init itself"
	}
	return s.Source
}

func (ctl control) answerEnabled(ctx context.Context, c call, done Enabled, names []string, now bool, do func(context.Context, ...string) error) error {
	if now {
		if err := do(ctx, names...); err != nil {
			return ours(err)
		}
		list, err := ctl.await(ctx, names, c.query.Get("wait") != "0")
		if err != nil {
			return err
		}
		done.Services = list
	}
	return writeJSON(c.w, done)
}

// getDefinition answers with the definition of a service: its unit file as it
// is, or what another file says, written as a unit file.
func (ctl control) getDefinition(ctx context.Context, c call) error {
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return badRequest("no service was named")
	}
	var text strings.Builder
	for i, name := range names {
		if i > 0 {
			text.WriteString("\n")
		}
		one, err := ctl.definitionText(ctx, name)
		if err != nil {
			return err
		}
		if path := secretFile(ctl.Root, one); path != "" && c.uid != 0 {
			return notAllowed("only root may read " + path)
		}
		text.WriteString(one)
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = c.w.Write([]byte(text.String())) // a client that has gone needs no answer
	return nil
}

func (ctl control) definitionText(ctx context.Context, name string) (string, error) {
	svc, err := ctl.Supervisor.Definition(ctx, name)
	unknown := (*services.UnknownError)(nil)
	if err != nil && !errors.As(err, &unknown) {
		return "", err
	}
	// A service that another file defines wins over a unit of the same name.
	if state := unitfile.State(ctl.Root, name); installed(state) && (err != nil || isUnitFile(svc.Source)) {
		text, err := unitfile.Cat(ctl.Root, name)
		if err != nil {
			return "", fmt.Errorf("reading the unit %s.service: %w", name, err)
		}
		return text, nil
	}
	if err != nil {
		return "", ours(err)
	}
	from := svc.Source
	if from == "" {
		from = "init itself"
	}
	return "# " + from + ", as a unit file\n" + unitfile.Format(svc), nil
}

// isUnitFile says whether a definition was read from a unit file.
func isUnitFile(source string) bool {
	path := sourcePath(source)
	return strings.HasSuffix(path, ".service") || strings.HasSuffix(path, ".socket")
}

// sourcePath is the path in a Source, which may end with a line.
func sourcePath(source string) string {
	if i := strings.LastIndexByte(source, ':'); i > 0 && strings.Trim(source[i+1:], "0123456789") == "" {
		return source[:i]
	}
	return source
}

// secretFile is the first file named in the comments of a definition that not
// everybody may read.
func secretFile(root, text string) string {
	for line := range strings.Lines(text) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "# /")
		if !ok {
			continue
		}
		path = sourcePath("/" + strings.TrimSuffix(path, ", as a unit file"))
		if modeOf(root, path, 0o444)&0o004 == 0 {
			return path
		}
	}
	return ""
}
