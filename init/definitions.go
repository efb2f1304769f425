package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/compose"
	"github.com/fleek-platform/nix2vast/services/modular"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// defined is what the definitions are made of beside files, and what is known
// to be wrong with the files.
type defined struct {
	enabling sync.Mutex         // held while unit files are installed, which may be undone
	mu       sync.Mutex         // held over a whole change of the definitions
	builtin  []services.Service // sshd, gpu and the main command: those of the boot
	loaded   []string           // units that run although nothing enables them: somebody started them
	problems []string           // with which boot, or the last reload, went on
	only     string             // the one file of --supervise, which is not read again
}

// fixed is why the definitions cannot be changed, or nil.
func (d *defined) fixed() error {
	if d.only == "" {
		return nil
	}
	return fmt.Errorf("this init runs the services of %s and no others: definitions are neither read again nor installed", d.only)
}

// definitions is everything that is to run, and what that takes.
type definitions struct {
	list  []services.Service
	files []modular.File // that the services want to find
	notes []string       // what was left out on purpose
}

// definitions reads what is to run: sshd, the driver's oneshot and the main
// command; the services of the config, in its three forms; and the unit files that
// are enabled or were started. A definition that cannot be used is an error of its
// own, and the others stay. The caller holds c.defined.mu.
func (c *Container) definitions(config image.Config) (definitions, error) {
	var d definitions
	var errs []error
	taken := map[string]string{}
	add := func(list []services.Service) {
		for _, svc := range list {
			if first, ok := taken[svc.Name]; ok {
				errs = append(errs, again(svc, first))
				continue
			}
			taken[svc.Name] = svc.Source
			d.list = append(d.list, svc)
		}
	}
	add(c.defined.builtin)
	own := len(d.list)
	list, files, err := fromConfig(c.Root, ConfigPath, config, c.Environ)
	errs = append(errs, err)
	d.files = files
	if c.Settings.GPU == GPUOff {
		forget(list, gpuName) // its owner has said that there is nothing to wait for
	}
	add(list)
	units, notes, err := c.units(slices.Collect(maps.Keys(taken)))
	errs = append(errs, err)
	d.notes = notes
	add(units)
	errs = append(errs, awaitHooks(d.list[own:]))
	warnings, errs := splitWarnings(errors.Join(errs...))
	d.notes = append(d.notes, warnings...)
	awaitTailnet(d.list)
	// What depends on the order of the list, such as that of the stop, wants the
	// main command last.
	slices.SortStableFunc(d.list, func(a, b services.Service) int { return foreground(a) - foreground(b) })
	return d, errors.Join(errs...)
}

// awaitTailnet has services that are transparent start after what answers for them, and
// stop before it.
func awaitTailnet(list []services.Service) {
	if !slices.ContainsFunc(list, func(svc services.Service) bool { return svc.Name == interceptor }) {
		return
	}
	for i := range list {
		if svc := &list[i]; svc.Tailnet == services.TailnetTransparent && !slices.Contains(svc.After, interceptor) {
			svc.After = append(slices.Clip(svc.After), interceptor)
		}
	}
}

func foreground(svc services.Service) int {
	if svc.Foreground {
		return 1
	}
	return 0
}

// again is the error for a second definition of one name.
func again(svc services.Service, first string) error {
	if first == "" {
		first = "this init itself"
	}
	text := fmt.Sprintf("there is a service %s already, by %s: this one is left out", svc.Name, first)
	if svc.Source == "" {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %s", svc.Source, text)
}

// fromConfig lowers the three kinds of services that a config may hold; file is
// its name in messages. environ is what a process-compose file may refer to.
func fromConfig(root, file string, config image.Config, environ []string) (list []services.Service, files []modular.File, err error) {
	var errs []error
	names := slices.Sorted(maps.Keys(config.Services))
	parsed, bad := services.ParseAll(names, func(name string) []byte { return config.Services[name] })
	for i, svc := range parsed {
		line := image.Line(config.Services[names[i]])
		if bad[i] != nil {
			problems := services.Problems{File: file}
			problems.AddErr(line, bad[i])
			errs = append(errs, problems.Err())
			continue
		}
		svc.Source = fmt.Sprintf("%s:%d", file, line)
		list = append(list, svc)
	}
	if where, b, err := embedded(root, file, config.ProcessCompose); err != nil {
		errs = append(errs, err)
	} else if b != nil {
		more, err := compose.Parse(where, b, compose.Options{Environ: environ, Dir: workspace(environ), Known: beside(config)})
		errs, list = append(errs, err), append(list, more...)
	}
	if where, b, err := embedded(root, file, config.ModularServices); err != nil {
		errs = append(errs, err)
	} else if b != nil {
		more, wanted, err := modular.Parse(where, b)
		errs, list, files = append(errs, err), append(list, more...), wanted
	}
	return list, files, errors.Join(errs...)
}

// workspace is where relative paths of a process-compose file begin: the data of
// services belongs to what a host keeps. "" where environ has none.
func workspace(environ []string) string {
	for _, entry := range environ {
		if dir, ok := strings.CutPrefix(entry, "WORKSPACE="); ok && filepath.IsAbs(dir) {
			return dir
		}
	}
	return ""
}

// beside are the services that processes of process-compose may depend on beside
// their own: those of the boot, and those of the config itself.
func beside(config image.Config) []string {
	return append(slices.Sorted(maps.Keys(config.Services)), atBoot()...)
}

// atBoot are the services of the boot that others may name.
func atBoot() []string { return []string{sshdName, gpuName, nixName} }

// forget takes a service out of what others name, and returns who did.
func forget(list []services.Service, name string) (who []string) {
	for i := range list {
		svc, named := &list[i], false
		for _, names := range []*[]string{&svc.After, &svc.Before, &svc.AfterStart, &svc.Wants, &svc.Requires, &svc.BindsTo} {
			named = named || slices.Contains(*names, name)
			*names = slices.DeleteFunc(slices.Clone(*names), func(n string) bool { return n == name })
		}
		if named {
			who = append(who, svc.Name)
		}
	}
	return who
}

// embedded returns definitions that are in the config, or in the file that a
// string in the config names; nothing for an empty value.
func embedded(root, file string, raw json.RawMessage) (where string, b []byte, err error) {
	switch text := strings.TrimSpace(string(raw)); {
	case text == "" || text == "null" || text == "{}" || text == `""`:
		return "", nil, nil
	case text[0] != '"':
		return file, raw, nil
	}
	if err := json.Unmarshal(raw, &where); err != nil {
		return "", nil, fmt.Errorf("%s:%d: %w", file, image.Line(raw), err)
	}
	full, err := resolve(root, where)
	if err == nil {
		b, err = os.ReadFile(full)
	}
	if err != nil {
		return "", nil, fmt.Errorf("%s:%d: reading the definitions: %w", file, image.Line(raw), err)
	}
	return where, b, nil
}

// units loads the unit files that are enabled, and those that somebody started.
// beside are the names of the other services.
func (c *Container) units(beside []string) (list []services.Service, notes []string, err error) {
	enabled, err := unitfile.Enabled(c.Root)
	errs := []error{err}
	names := slices.DeleteFunc(enabled, isSSH)
	if len(names) < len(enabled) {
		notes = append(notes, "the unit file of an SSH server is left out: this init runs sshd itself")
	}
	names = slices.DeleteFunc(names, c.gone)
	if len(names) > 0 {
		list, err = loadUnits(c.Root, beside, names)
		errs = append(errs, err)
	}
	more, err := c.unstarted(c.defined.loaded, beside, list)
	return append(list, more...), notes, errors.Join(append(errs, err)...)
}

// gone says whether a unit cannot be loaded any more, and somebody wanted that:
// its file was removed, or masked.
func (c *Container) gone(name string) bool {
	state := unitfile.State(c.Root, name)
	return !installed(state) || state == "masked"
}

// isSSH says whether a unit is Debian's SSH server, or another's.
func isSSH(name string) bool { return name == "ssh" || name == sshdName }

// loadUnits loads unit files for a container that runs sshd itself, under the
// name that most distributions give it.
func loadUnits(root string, beside, names []string) ([]services.Service, error) {
	list, err := unitfile.LoadBeside(root, append(slices.Clone(beside), "ssh"), names...)
	list = slices.DeleteFunc(list, func(svc services.Service) bool { return isSSH(svc.Name) })
	for i := range list {
		svc := &list[i]
		for _, names := range []*[]string{&svc.After, &svc.Before, &svc.AfterStart, &svc.Wants, &svc.PartOf, &svc.Conflicts,
			&svc.Requires, &svc.BindsTo, &svc.PropagatesReloadTo, &svc.ReloadPropagatedFrom} {
			for j, name := range *names {
				if name == "ssh" {
					(*names)[j] = sshdName
				}
			}
			*names = slices.DeleteFunc(*names, func(name string) bool { return name == sshdName && !slices.Contains(beside, name) })
		}
	}
	return list, err
}

// unstarted loads units, with those that they want, as services that only run
// when somebody starts them. What is in have is left out.
func (c *Container) unstarted(names, beside []string, have []services.Service) ([]services.Service, error) {
	known := func(svc services.Service) bool {
		return slices.Contains(beside, svc.Name) || slices.ContainsFunc(have, func(h services.Service) bool { return h.Name == svc.Name })
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known(services.Service{Name: name}) || c.gone(name) })
	if len(names) == 0 {
		return nil, nil
	}
	for _, svc := range have {
		beside = append(beside, svc.Name)
	}
	list, err := loadUnits(c.Root, beside, names)
	list = slices.DeleteFunc(list, known)
	for i := range list {
		list[i].Disabled = true
	}
	return list, err
}

// splitWarnings tells the problems of definitions that are good all the same, as
// sentences, from the others.
func splitWarnings(err error) (warnings []string, errs []error) {
	for _, e := range services.Split(err) {
		var p *services.Problem
		if errors.As(e, &p) && p.Warning {
			marked := *p
			marked.Text = "warning: " + p.Text
			warnings = append(warnings, marked.Error())
		} else {
			errs = append(errs, e)
		}
	}
	return warnings, errs
}

// writeFiles puts the files that services want in their places.
func writeFiles(root string, files []modular.File) (string, error) {
	var ch changes
	for _, f := range files {
		if f.Source == "" {
			ch.add(writeFile(root, f.Path, []byte(f.Text), 0o644))
			continue
		}
		full := filepath.Join(root, f.Path)
		if now, err := os.Readlink(full); err == nil && now == f.Source {
			continue
		}
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		if err == nil {
			_ = os.Remove(full + ".nix2vast") // what a kill in the middle left
			err = os.Symlink(f.Source, full+".nix2vast")
		}
		if err == nil {
			err = os.Rename(full+".nix2vast", full)
		}
		if err != nil {
			ch.add("", &placeError{"linking", f.Path, err})
			continue
		}
		ch.add("linked "+f.Path, nil)
	}
	return ch.result()
}
