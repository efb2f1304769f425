package boot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// A Property is one of a unit, in the words of systemctl show.
type Property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Unit is a service, or a unit file that was not started yet, as systemctl sees it.
type Unit []Property

// Get returns the value of a property, "" where it has none.
func (u Unit) Get(name string) string {
	for _, p := range u {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

func (u Unit) set(name, value string) {
	for i := range u {
		if u[i].Name == name {
			u[i].Value = value
		}
	}
}

// getUnit answers with the units name=, or all services without one, and with files=1
// the units that there are files of. A name that nothing has is a unit whose
// LoadState is not-found.
func (ctl control) getUnit(ctx context.Context, c call) error {
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return err
	}
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = known(snap)
		if c.query.Get("files") != "" {
			names = append(names, unitfile.Files(ctl.Root)...)
			slices.Sort(names)
			names = slices.Compact(names)
		}
	}
	list := []Unit{}
	for _, name := range names {
		unit, err := ctl.unit(ctx, name, snap.Services)
		if err != nil {
			return err
		}
		list = append(list, unit)
	}
	return writeJSON(c.w, list)
}

func (ctl control) unit(ctx context.Context, name string, list []services.Status) (Unit, error) {
	fileState := unitfile.State(ctl.Root, name)
	for _, s := range list {
		if s.Name != name {
			continue
		}
		svc, err := ctl.Supervisor.Definition(ctx, name)
		if err != nil {
			return nil, ours(err)
		}
		if !installed(fileState) || !isUnitFile(s.Source) {
			fileState = "enabled"
			if s.Disabled {
				fileState = "disabled"
			}
		}
		u := loadedUnit(s, svc, fileState)
		if fileState == "masked" {
			u.set("LoadState", "masked")
		}
		return u, nil
	}
	id := unitfile.FullName(name)
	if !installed(fileState) {
		return Unit{{"Id", id}, {"LoadState", "not-found"}, {"ActiveState", "inactive"}, {"SubState", "dead"}, {"UnitFileState", ""}}, nil
	}
	if fileState == "masked" {
		return Unit{{"Id", id}, {"LoadState", "masked"}, {"ActiveState", "inactive"}, {"SubState", "dead"}, {"UnitFileState", fileState}}, nil
	}
	found, err := unitfile.Load(ctl.Root, name)
	for _, svc := range found {
		if svc.Name == name {
			return loadedUnit(services.Status{Name: name, Type: svc.Type, Description: svc.Description, Source: svc.Source}, svc, fileState), nil
		}
	}
	if err == nil {
		err = errors.New("the unit file says nothing")
	}
	return Unit{{"Id", id}, {"LoadState", "error"}, {"LoadError", err.Error()}, {"ActiveState", "inactive"}, {"SubState", "dead"}, {"UnitFileState", fileState}}, nil
}

// loadedUnit is a service in systemd's words; see systemd.service(5) for the
// states. What a property of the same name means differs in no case.
func loadedUnit(s services.Status, svc services.Service, fileState string) Unit {
	active, sub := systemdState(s.State, svc)
	if s.Reloading {
		active, sub = "reloading", "reload"
	}
	restart := ""
	if svc.RestartSec != nil {
		restart = strconv.FormatInt(time.Duration(*svc.RestartSec).Microseconds(), 10)
	}
	u := Unit{
		{"Type", string(s.Type)},
		{"Restart", string(svc.Restart)},
		{"PIDFile", svc.PIDFile},
		{"NotifyAccess", string(svc.NotifyAccess)},
		{"RestartUSec", restart},
		{"TimeoutStopUSec", strconv.FormatInt(time.Duration(svc.TimeoutStopSec).Microseconds(), 10)},
		{"MainPID", strconv.Itoa(s.Pid)},
		{"StatusText", s.Text},
		{"Result", cmp.Or(s.Result, "success")},
		{"NRestarts", strconv.Itoa(s.Restarts)},
		{"ExecMainPID", strconv.Itoa(s.Pid)},
		{"ExecMainStatus", strconv.Itoa(mainStatus(s.ExitCode))},
		{"ExecStart", commandText(svc.ExecStart)},
		{"ExecReload", commandText(svc.ExecReload)},
		{"WorkingDirectory", svc.WorkingDirectory},
		{"User", svc.User},
		{"Group", svc.Group},
		{"KillMode", string(svc.KillMode)},
		{"KillSignal", strconv.Itoa(int(ParseSignal(string(svc.KillSignal))))},
		{"Id", s.Name + ".service"},
		{"Names", s.Name + ".service"},
		{"Requires", words(svc.Requires)},
		{"Wants", words(svc.Wants)},
		{"BindsTo", words(svc.BindsTo)},
		{"PartOf", words(svc.PartOf)},
		{"PropagatesReloadTo", words(svc.PropagatesReloadTo)},
		{"ReloadPropagatedFrom", words(svc.ReloadPropagatedFrom)},
		{"Before", words(svc.Before)},
		{"After", words(svc.After)},
		{"Description", s.Description},
		{"LoadState", "loaded"},
		{"ActiveState", active},
		{"SubState", sub},
		{"FragmentPath", sourcePath(s.Source)},
		{"UnitFileState", fileState},
		{"StateChangeTimestamp", timestamp(s.Since)},
	}
	if s.Note != "" {
		u = append(u, Property{"X-Nix2vast-Note", s.Note})
	}
	if active == "active" {
		u = append(u, Property{"ActiveEnterTimestamp", timestamp(s.Since)})
	}
	return append(u,
		Property{"CanStart", "yes"}, Property{"CanStop", "yes"},
		Property{"CanReload", yesNo(len(svc.ExecReload) > 0 || svc.Type == services.NotifyReload)},
		Property{"NeedDaemonReload", "no"})
}

// words are the names of units.
func words(names []string) string {
	units := make([]string, len(names))
	for i, n := range names {
		units[i] = n + ".service"
	}
	return strings.Join(units, " ")
}

// mainStatus is the exit code, or the number of the signal.
func mainStatus(code int) int {
	if code > 128 {
		return code - 128
	}
	return code
}

func commandText(list services.Commands) string {
	var texts []string
	for _, c := range list {
		texts = append(texts, fmt.Sprintf("{ path=%s ; argv[]=%s }", c.Argv[0], strings.Join(c.Argv, " ")))
	}
	return strings.Join(texts, " ; ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// timestamp is a time as systemctl prints it; n/a for none.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return "n/a"
	}
	return t.Format("Mon 2006-01-02 15:04:05 MST")
}

// systemdState is a state in systemd's words: ActiveState and SubState.
func systemdState(s services.State, svc services.Service) (active, sub string) {
	switch s {
	case services.Starting:
		return "activating", "start"
	case services.Ready:
		return "active", "running"
	case services.Stopping:
		return "deactivating", "stop-sigterm"
	case services.Backoff:
		return "activating", "auto-restart"
	case services.Failed:
		return "failed", "failed"
	case services.Done:
		if svc.RemainAfterExit {
			return "active", "exited"
		}
	}
	return "inactive", "dead"
}
