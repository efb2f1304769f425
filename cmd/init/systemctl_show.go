package main

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	boot "github.com/fleek-platform/nix2vast/init"
)

func isActive(c unitCall) int {
	return c.printStates(func(u boot.Unit) (string, bool) {
		state := u.Get("ActiveState")
		return state, state == "active" || state == "reloading"
	}, lsbNotRunning)
}

func isFailed(c unitCall) int {
	return c.printStates(func(u boot.Unit) (string, bool) {
		state := u.Get("ActiveState")
		return state, state == "failed"
	}, lsbFailure)
}

// printStates prints a state of each unit; the exit code is 0 if it is as asked for
// with one of them at least.
func (c unitCall) printStates(of func(boot.Unit) (string, bool), otherwise int) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	code := otherwise
	for _, u := range list {
		state, is := of(u)
		if is {
			code = 0
		}
		if !c.quiet {
			fmt.Println(state)
		}
	}
	return code
}

func isEnabled(c unitCall) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	code := lsbFailure
	for i, u := range list {
		state := u.Get("UnitFileState")
		if state == "" {
			c.fail("Failed to get unit file state for %s: No such file or directory", unitName(c.names[i]))
			continue
		}
		if slices.Contains([]string{"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "transient"}, state) {
			code = 0
		}
		if !c.quiet {
			fmt.Println(state)
		}
	}
	return code
}

func enableUnits(c unitCall) int {
	names, files, err := namesAndFiles(c.names)
	if err != nil {
		return c.fail("Failed to enable unit: %v", err)
	}
	unitCall := unitCall{verb: c.verb, names: names}
	if len(names) > 0 {
		list, ok := unitCall.units()
		if !ok {
			return lsbFailure
		}
		names = nil
		for i, u := range list {
			switch {
			case u.Get("LoadState") == "not-found":
				return c.fail("Failed to enable unit: Unit file %s does not exist.", unitName(unitCall.names[i]))
			case u.Get("UnitFileState") == "enabled" && !strings.HasSuffix(u.Get("FragmentPath"), ".service"):
				// defined by the image: it starts at every boot
			default:
				names = append(names, unitCall.names[i])
			}
		}
	}
	if len(names)+len(files) == 0 {
		if c.now {
			return startUnits(withVerb(c, "start"))
		}
		return 0
	}
	result, err := here.Enable(background, names, files, c.now, !c.noBlock)
	return c.enabled("enable", "enable", result, err)
}

func withVerb(c unitCall, verb string) unitCall {
	c.verb = verb
	return c
}

func disableUnits(c unitCall) int {
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	for i, u := range list {
		if u.Get("LoadState") == "not-found" {
			return c.fail("Failed to disable unit: Unit file %s does not exist.", unitName(c.names[i]))
		}
	}
	result, err := here.Disable(background, c.names, c.now, !c.noBlock)
	return c.enabled("disable", "disable", result, err)
}

func daemonReload(c unitCall) int {
	result, err := here.Reload(background)
	if err != nil {
		return c.fail("Failed to reload daemon: %v", err)
	}
	for _, problem := range result.Problems {
		fmt.Fprintln(os.Stderr, problem)
	}
	return 0
}

// isSystemRunning tells the state of the whole in systemd's words.
func isSystemRunning(c unitCall) int {
	st, err := here.State(background)
	state := map[boot.Phase]string{
		boot.Booting: "starting", boot.Ready: "running", boot.Degraded: "degraded", boot.Stopping: "stopping",
	}[st.Phase]
	if err != nil {
		state = "offline"
	}
	if !c.quiet {
		fmt.Println(state)
	}
	if state != "running" {
		return lsbFailure
	}
	return 0
}

// showUnits prints properties, one a line.
func showUnits(c unitCall) int {
	if len(c.names) == 0 {
		st, err := here.State(background)
		if err != nil {
			return c.fail("Failed to get properties: %v", err)
		}
		c.print(boot.Unit{{Name: "Version", Value: st.Version}, {Name: "Virtualization", Value: "container-other"},
			{Name: "NNames", Value: strconv.Itoa(len(st.Services))}})
		return 0
	}
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	for i, u := range list {
		if i > 0 && !c.value {
			fmt.Println()
		}
		c.print(u)
	}
	return 0
}

func (c unitCall) print(u boot.Unit) {
	for _, p := range u {
		switch {
		case len(c.properties) > 0 && !slices.Contains(c.properties, p.Name):
		case len(c.properties) == 0 && p.Value == "" && !c.all:
		case c.value:
			fmt.Println(p.Value)
		default:
			fmt.Println(p.Name + "=" + p.Value)
		}
	}
}

// statusUnits prints what systemctl does of units, and the end of their logs.
func statusUnits(c unitCall) int {
	if len(c.names) == 0 {
		return showStatus(nil)
	}
	list, ok := c.units()
	if !ok {
		return lsbFailure
	}
	code := 0
	for i, u := range list {
		if i > 0 {
			fmt.Println()
		}
		switch {
		case u.Get("LoadState") == "not-found":
			c.fail("Unit %s could not be found.", unitName(c.names[i]))
			code = lsbUnknown
			continue
		case u.Get("ActiveState") != "active" && u.Get("ActiveState") != "reloading" && code == 0:
			code = lsbNotRunning
		}
		printUnit(u)
		n, err := strconv.Atoi(c.lines)
		if err == nil && n > 0 && u.Get("LoadState") == "loaded" {
			fmt.Println()
			// A unit that never ran has no log, which is nothing to tell.
			_ = here.Logs(background, os.Stdout, boot.LogQuery{Names: []string{u.Get("Id")}, N: n})
		}
	}
	return code
}

func printUnit(u boot.Unit) {
	mark := map[string]string{"active": "●", "reloading": "↻", "failed": "×", "activating": "●", "deactivating": "●"}[u.Get("ActiveState")]
	fmt.Println(strings.TrimSuffix(cmp.Or(mark, "○")+" "+u.Get("Id")+" - "+u.Get("Description"), " - "))
	loaded := u.Get("LoadState")
	if loaded == "masked" {
		loaded += " (Reason: Unit " + u.Get("Id") + " is masked.)"
	} else if file := u.Get("FragmentPath"); file != "" {
		loaded += " (" + file + "; " + u.Get("UnitFileState") + ")"
	} else if state := u.Get("UnitFileState"); state != "" {
		loaded += " (" + state + ")"
	}
	activity := u.Get("ActiveState") + " (" + u.Get("SubState") + ")"
	if result := u.Get("Result"); result != "" && result != "success" {
		activity = u.Get("ActiveState") + " (Result: " + result + ")"
	}
	if since := u.Get("StateChangeTimestamp"); since != "" && since != "n/a" {
		activity += " since " + since
	}
	for _, line := range [][2]string{
		{"Loaded", loaded}, {"Active", activity}, {"Error", u.Get("LoadError")},
		{"Main PID", strings.TrimPrefix(u.Get("MainPID"), "0")}, {"Status", u.Get("StatusText")},
		{"Note", u.Get("X-Nix2vast-Note")},
	} {
		if line[1] != "" {
			fmt.Printf("%11s: %s\n", line[0], line[1])
		}
	}
}

// listed are the units that list-units and list-unit-files are about.
func (c *unitCall) listed() ([]boot.Unit, error) {
	if len(c.types) > 0 && !slices.Contains(c.types, "service") {
		return nil, nil
	}
	if c.failed {
		c.states = append(c.states, "failed")
	}
	ask := func() ([]boot.Unit, error) { return here.Units(background, nil) }
	if c.verb == "list-unit-files" {
		ask = func() ([]boot.Unit, error) { return here.UnitFiles(background) }
	}
	list, err := ask()
	return slices.DeleteFunc(list, func(u boot.Unit) bool {
		matches := func(pattern string) bool {
			ok, err := path.Match(pattern, u.Get("Id"))
			return ok && err == nil || unitName(pattern) == u.Get("Id")
		}
		is := func(state string) bool {
			return state == u.Get("LoadState") || state == u.Get("ActiveState") || state == u.Get("SubState") || state == u.Get("UnitFileState")
		}
		return len(c.names) > 0 && !slices.ContainsFunc(c.names, matches) ||
			len(c.states) > 0 && !slices.ContainsFunc(c.states, is)
	}), err
}

func listUnits(c unitCall) int {
	list, err := c.listed()
	if err != nil {
		return c.fail("Failed to list units: %v", err)
	}
	if !c.all && len(c.states) == 0 {
		list = slices.DeleteFunc(list, func(u boot.Unit) bool { return u.Get("ActiveState") == "inactive" })
	}
	c.table([]string{"UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"}, []string{"Id", "LoadState", "ActiveState", "SubState", "Description"}, list)
	if !c.noLegend {
		fmt.Printf("\n%d loaded units listed.\n", len(list))
	}
	return 0
}

func listUnitFiles(c unitCall) int {
	list, err := c.listed()
	if err != nil {
		return c.fail("Failed to list unit files: %v", err)
	}
	c.plain = true
	c.table([]string{"UNIT FILE", "STATE"}, []string{"Id", "UnitFileState"}, list)
	if !c.noLegend {
		fmt.Printf("\n%d unit files listed.\n", len(list))
	}
	return 0
}

func (c unitCall) table(heads, properties []string, list []boot.Unit) {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 8, 1, ' ', 0)
	margin := func(u boot.Unit) string {
		switch {
		case c.plain:
			return ""
		case u != nil && u.Get("ActiveState") == "failed":
			return "● "
		}
		return "  "
	}
	if !c.noLegend {
		fmt.Fprintln(t, margin(nil)+strings.Join(heads, "\t"))
	}
	for _, u := range list {
		var row []string
		for _, p := range properties {
			row = append(row, u.Get(p))
		}
		fmt.Fprintln(t, margin(u)+strings.Join(row, "\t"))
	}
	_ = t.Flush() // to memory
	for line := range strings.Lines(text.String()) {
		fmt.Println(strings.TrimRight(line, " \n"))
	}
}
