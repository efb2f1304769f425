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
	mu       sync.Mutex         // held over a whole change of the definitions
	builtin  []services.Service // sshd, gpu and the main command: those of the boot
	loaded   []string           // units that run although nothing enables them: somebody started them
	problems []string           // with which boot, or the last reload, went on
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
	list, files, err := fromConfig(c.Root, ConfigPath, config)
	errs = append(errs, err)
	d.files = files
	add(list)
	units, notes, err := c.units()
	errs = append(errs, err)
	d.notes = notes
	from := len(d.list)
	add(units)
	for i := range d.list[from:] {
		dropAbsent(&d.list[from+i], taken)
	}
	// What depends on the order of the list, such as that of the stop, wants the
	// main command last.
	slices.SortStableFunc(d.list, func(a, b services.Service) int { return foreground(a) - foreground(b) })
	return d, errors.Join(errs...)
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
// its name in messages.
func fromConfig(root, file string, config image.Config) (list []services.Service, files []modular.File, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(config.Services)) {
		raw := config.Services[name]
		line := image.Line(raw)
		svc, err := services.Parse(name, raw)
		if err != nil {
			problems := services.Problems{File: file}
			problems.AddErr(line, err)
			errs = append(errs, problems.Err())
			continue
		}
		svc.Source = fmt.Sprintf("%s:%d", file, line)
		list = append(list, svc)
	}
	if where, b, err := embedded(root, file, config.ProcessCompose); err != nil {
		errs = append(errs, err)
	} else if b != nil {
		more, err := compose.Parse(where, b)
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
func (c *Container) units() (list []services.Service, notes []string, err error) {
	enabled, err := unitfile.Enabled(c.Root)
	errs := []error{err}
	var names []string
	for _, name := range enabled {
		why := leftOut(name)
		if why == "" {
			names = append(names, name)
		} else if !slices.Contains(notes, why) {
			notes = append(notes, why)
		}
	}
	if len(names) > 0 {
		list, err = unitfile.Load(c.Root, names...)
		errs = append(errs, err)
	}
	more, err := c.unstarted(c.defined.loaded, list)
	return append(list, more...), notes, errors.Join(append(errs, err)...)
}

// unstarted loads units, with those that they want, as services that only run
// when somebody starts them. What is in have is left out.
func (c *Container) unstarted(names []string, have []services.Service) ([]services.Service, error) {
	known := func(svc services.Service) bool {
		return slices.ContainsFunc(have, func(h services.Service) bool { return h.Name == svc.Name })
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known(services.Service{Name: name}) })
	if len(names) == 0 {
		return nil, nil
	}
	list, err := unitfile.Load(c.Root, names...)
	list = slices.DeleteFunc(list, known)
	for i := range list {
		list[i].Disabled = true
	}
	return list, err
}

// leftOut says why an enabled unit does not run here, or "".
func leftOut(name string) string {
	switch {
	case name == "ssh" || name == sshdName:
		return "the unit " + name + ".service is left out: this init runs sshd itself"
	case strings.HasPrefix(name, "systemd-"), strings.HasPrefix(name, "getty@"), strings.HasPrefix(name, "serial-getty@"),
		name == "getty-static", name == "console-getty":
		return "the units of systemd itself and the login prompts of consoles are left out: a container has no use for them"
	}
	return ""
}

// dropAbsent takes out of a unit's definition the order behind services that do
// not exist here, which for a unit file is no mistake. Debian's name for the SSH
// server is ours for the same thing.
func dropAbsent(svc *services.Service, exists map[string]string) {
	for _, list := range []*[]string{&svc.After, &svc.Before, &svc.Wants, &svc.PartOf, &svc.Conflicts, &svc.Requires, &svc.BindsTo} {
		required := list == &svc.Requires || list == &svc.BindsTo
		var kept []string
		for _, name := range *list {
			if name == "ssh" {
				name = sshdName
			}
			if _, ok := exists[name]; ok || required {
				kept = append(kept, name)
			}
		}
		*list = kept
	}
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
