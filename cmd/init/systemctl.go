package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	boot "github.com/fleek-platform/nix2vast/init"
)

const systemctlHelp = "It answers start, stop, restart, try-restart, reload, reload-or-restart, kill, status,\n" +
	"show, cat, is-active, is-failed, is-enabled, enable, disable, mask, unmask, reset-failed,\n" +
	"list-units, list-unit-files, daemon-reload and is-system-running, with the exit codes of\n" +
	"systemctl(1). There is one manager, --system, and every unit is a service."

// Exit codes of systemctl(1), which are those of LSB.
const (
	lsbFailure      = 1
	lsbNotRunning   = 3 // of status and is-active
	lsbNotImplement = 3 // of the others
	lsbUnknown      = 4 // of status
	lsbNoPermission = 4 // of the others
	lsbNotInstalled = 5
	lsbNotConfig    = 6
)

// unitCall is one call of systemctl.
type unitCall struct {
	verb  string
	names []string // as given

	now, quiet, noBlock, all, plain, noLegend, value, failed bool

	properties []string
	types      []string
	states     []string
	signal     string
	lines      string
}

// unitFlags sets an option by its name; those that change nothing here have nil.
func (c *unitCall) unitFlags() map[string]*bool {
	return map[string]*bool{
		"now": &c.now, "quiet": &c.quiet, "q": &c.quiet, "no-block": &c.noBlock, "all": &c.all, "a": &c.all,
		"plain": &c.plain, "no-legend": &c.noLegend, "value": &c.value, "failed": &c.failed,
		"no-pager": nil, "no-ask-password": nil, "system": nil, "full": nil, "l": nil, "force": nil, "f": nil,
		"no-wall": nil, "wait": nil, "no-warn": nil, "show-transaction": nil, "no-reload": nil, "recursive": nil, "r": nil,
	}
}

// unitOption sets an option that has a value, and says whether there is one of that name.
func (c *unitCall) unitOption(name, value string, set bool) bool {
	var list *[]string
	switch name {
	case "property", "p", "P":
		list = &c.properties
		c.value = c.value || name == "P" && set
	case "type", "t":
		list = &c.types
	case "state":
		list = &c.states
	case "signal", "s":
		if set {
			c.signal = value
		}
		return true
	case "lines", "n":
		if set {
			c.lines = value
		}
		return true
	case "output", "o", "kill-whom", "kill-who", "job-mode", "timestamp", "preset-mode":
		return true
	default:
		return false
	}
	if set {
		*list = append(*list, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
	}
	return true
}

// parseUnitCall reads systemctl's arguments: options and words in any order.
func parseUnitCall(args []string) (unitCall, error) {
	c := unitCall{lines: "10"}
	flags := c.unitFlags()
	var words []string
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		long, isLong := strings.CutPrefix(arg, "--")
		switch {
		case arg == "--":
			words = append(words, args...)
			args = nil
		case isLong:
			name, value, given := strings.Cut(long, "=")
			flag, isFlag := flags[name]
			switch {
			case isFlag && flag != nil:
				*flag = value != "no" && value != "false" && value != "0"
			case isFlag:
			case !c.unitOption(name, "", false):
				return c, fmt.Errorf("unrecognized option '%s'", arg)
			case given:
				c.unitOption(name, value, true)
			case len(args) == 0:
				return c, fmt.Errorf("option '%s' requires an argument", arg)
			default:
				c.unitOption(name, args[0], true)
				args = args[1:]
			}
		case len(arg) > 1 && arg[0] == '-':
			var err error
			if args, err = c.short(arg[1:], args); err != nil {
				return c, err
			}
		default:
			words = append(words, arg)
		}
	}
	if len(words) > 0 {
		c.verb, c.names = words[0], words[1:]
	}
	return c, nil
}

// short reads a bundle of one-letter options and returns the arguments behind it.
func (c *unitCall) short(letters string, args []string) ([]string, error) {
	flags := c.unitFlags()
	for i, r := range letters {
		name := string(r)
		if flag, ok := flags[name]; ok {
			if flag != nil {
				*flag = true
			}
			continue
		}
		if !c.unitOption(name, "", false) {
			return nil, fmt.Errorf("invalid option -- '%s'", name)
		}
		if rest := letters[i+len(name):]; rest != "" {
			c.unitOption(name, rest, true)
			return args, nil
		}
		if len(args) == 0 {
			return nil, fmt.Errorf("option requires an argument -- '%s'", name)
		}
		c.unitOption(name, args[0], true)
		return args[1:], nil
	}
	return args, nil
}

// unitVerbs are the verbs that take units; each needs one at least.
func unitVerbs() map[string]func(unitCall) int {
	return map[string]func(unitCall) int{
		"start": startUnits, "stop": stopUnits, "restart": startUnits, "try-restart": tryUnits, "condrestart": tryUnits,
		"reload": reloadUnits, "reload-or-restart": reloadUnits, "force-reload": reloadUnits,
		"try-reload-or-restart": tryUnits, "kill": killUnits, "cat": catUnits,
		"is-active": isActive, "is-failed": isFailed, "is-enabled": isEnabled,
		"enable": enableUnits, "reenable": enableUnits, "disable": disableUnits,
		"mask": maskUnits, "unmask": unmaskUnits,
	}
}

// otherVerbs are those that need none.
func otherVerbs() map[string]func(unitCall) int {
	nothing := func(unitCall) int { return 0 }
	return map[string]func(unitCall) int{
		"": listUnits, "list-units": listUnits, "list-unit-files": listUnitFiles, "status": statusUnits, "show": showUnits,
		"daemon-reload": daemonReload, "daemon-reexec": nothing, "reset-failed": resetFailed,
		"is-system-running": isSystemRunning,
		"get-default":       func(unitCall) int { fmt.Println("multi-user.target"); return 0 },
		"help":              func(unitCall) int { return help([]string{"systemctl"}) },
	}
}

// systemctl is the program by that name.
func systemctl(args []string) int {
	if slices.Contains(args, "--version") {
		fmt.Println("systemctl of nix2vast's init,", version)
		return 0
	}
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return help([]string{"systemctl"})
	}
	c, err := parseUnitCall(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "systemctl:", err)
		return lsbFailure
	}
	if run, ok := otherVerbs()[c.verb]; ok {
		return run(c)
	}
	run, ok := unitVerbs()[c.verb]
	if !ok {
		return c.fail("Unknown command verb %s: this systemctl is a part of init, see: init help systemctl", c.verb)
	}
	if len(c.names) == 0 {
		return c.fail("Too few arguments.")
	}
	return run(c)
}

func (c unitCall) fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return lsbFailure
}

// failErr says why something could not be done to units.
func (c unitCall) failErr(err error) int {
	c.fail("Failed to %s %s: %v", c.verb, strings.Join(unitNames(c.names), " "), err)
	var refusal *boot.RefusalError
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case 403:
			return lsbNoPermission
		case 404:
			return lsbNotInstalled
		}
	}
	return lsbFailure
}

// unitSuffixes end the names of units; only a service's may be left out.
var unitSuffixes = []string{".service", ".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope", ".device", ".automount", ".swap"}

// unitName is the full name of a unit.
func unitName(name string) string {
	for _, suffix := range unitSuffixes {
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return name + ".service"
}

func unitNames(names []string) (full []string) {
	for _, name := range names {
		full = append(full, unitName(name))
	}
	return full
}

// units asks for the named units; ok is false where init could not be asked.
func (c unitCall) units() (list []boot.Unit, ok bool) {
	list, err := here.Units(background, c.names)
	if err != nil {
		c.failErr(err)
		return nil, false
	}
	return list, true
}

// refuse says what keeps a unit from being started, stopped or reloaded: the exit code,
// or 0 for nothing.
func (c unitCall) refuse(name string, u boot.Unit) int {
	name = unitName(name)
	verb := strings.TrimPrefix(c.verb, "try-")
	switch state := u.Get("LoadState"); {
	case state == "not-found" && (verb == "stop" || verb == "kill"):
		c.fail("Failed to %s %s: Unit %s not loaded.", c.verb, name, name)
		return lsbNotInstalled
	case state == "not-found":
		c.fail("Failed to %s %s: Unit %s not found.", c.verb, name, name)
		return lsbNotInstalled
	case state == "masked" && verb != "stop":
		c.fail("Failed to %s %s: Unit %s is masked.", c.verb, name, name)
		return lsbFailure
	case state == "error" && !strings.HasSuffix(name, ".service"): // of a kind that is not supported
		c.fail("Failed to %s %s", c.verb, u.Get("LoadError"))
		return lsbNotConfig
	case state == "error":
		c.fail("Failed to %s %s: Unit %s has a bad unit file setting:\n%s", c.verb, name, name, u.Get("LoadError"))
		return lsbNotConfig
	case verb == "reload" && u.Get("CanReload") == "no":
		c.fail("Failed to reload %s: Job type reload is not applicable for unit %s.", name, name)
		return lsbNotImplement
	}
	return 0
}

// act changes the units that nothing keeps from it, by a verb of init.
func (c unitCall) act(verb string, filter func(boot.Unit) bool) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	code := 0
	var names []string
	for i, u := range list {
		if why := c.refuse(c.names[i], u); why != 0 {
			code = why
		} else if filter == nil || filter(u) {
			names = append(names, c.names[i])
		}
	}
	if len(names) == 0 {
		return code
	}
	outcome, err := here.Change(background, verb, names, !c.noBlock)
	if err != nil {
		return c.failErr(err)
	}
	for _, s := range outcome {
		if !c.noBlock && !(boot.Outcome{s}).Good(verb) {
			note := s.Note
			if note == "" {
				note = "it is in " + s.State.String()
			}
			code = c.fail("Job for %s.service failed: %s.\nSee \"init status %s\" and \"init logs %s\" for details.", s.Name, note, s.Name, s.Name)
		}
	}
	return code
}

func startUnits(c unitCall) int { return c.act(c.verb, nil) }
func stopUnits(c unitCall) int  { return c.act("stop", nil) }

func active(u boot.Unit) bool {
	return slices.Contains([]string{"active", "activating", "reloading"}, u.Get("ActiveState"))
}

func tryUnits(c unitCall) int { return c.act("restart", active) }

func reloadUnits(c unitCall) int {
	if c.verb == "reload" {
		return c.act("reload", nil)
	}
	able := func(u boot.Unit) bool { return active(u) && u.Get("CanReload") == "yes" }
	return max(c.act("reload", able), c.act("restart", func(u boot.Unit) bool { return !able(u) }))
}

func killUnits(c unitCall) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	for i, u := range list {
		if why := c.refuse(c.names[i], u); why != 0 {
			return why
		}
	}
	if c.signal == "" {
		c.signal = "TERM"
	}
	if err := here.Kill(background, c.signal, c.names); err != nil {
		return c.failErr(err)
	}
	return 0
}

func catUnits(c unitCall) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	for i, u := range list {
		if u.Get("LoadState") == "not-found" {
			return c.fail("No files found for %s.", unitName(c.names[i]))
		}
	}
	if err := here.Cat(background, os.Stdout, c.names); err != nil {
		return c.failErr(err)
	}
	return 0
}

// resetFailed takes failed units for stopped ones: those named, or all.
func resetFailed(c unitCall) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	var names []string
	for _, u := range list {
		if u.Get("ActiveState") == "failed" {
			names = append(names, u.Get("Id"))
		}
	}
	if len(names) == 0 {
		return 0
	}
	if _, err := here.Change(background, "stop", names, true); err != nil {
		return c.failErr(err)
	}
	return 0
}
