package unitfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/fleek-platform/nix2vast/services"
)

// Format writes a service as a unit file that Check reads back as the same
// service. What a unit cannot say, such as a Probe, stands in X-Nix2vast-Probe and
// so on, which systemd ignores: the field's name and its JSON. Name, Source,
// Unapplied and Foreground are not in the file.
func Format(svc services.Service) string {
	svc = svc.WithDefaults()
	f := &formatter{usual: services.Service{Type: svc.Type, Essential: svc.Essential, WatchdogSec: svc.WatchdogSec,
		FileDescriptorStoreMax: svc.FileDescriptorStoreMax, Restart: services.RestartNo}.WithDefaults()}
	f.unit(&svc)
	f.service(&svc)
	f.execution(&svc)
	f.rest(svc)
	f.add("Install", "WantedBy", "multi-user.target")
	b, _ := io.ReadAll(unit.Serialize(f.options)) // from memory
	return string(b)
}

type formatter struct {
	options []*unit.UnitOption
	usual   services.Service // what need not be said
}

func (f *formatter) add(section, name, value string) {
	f.options = append(f.options, unit.NewUnitOption(section, name, value))
}

// plain writes a value that is read to the end of the line.
func (f *formatter) plain(section, name, value string) {
	if value != "" {
		f.add(section, name, strings.ReplaceAll(value, "%", "%%"))
	}
}

// unlike writes a value where it is not the usual one.
func (f *formatter) unlike(section, name, value, usual string) {
	if value != usual {
		f.plain(section, name, value)
	}
}

func (f *formatter) words(section, name string, words []string) {
	if len(words) > 0 {
		f.add(section, name, quoteWords(words))
	}
}

func quoteWords(words []string) string {
	var list []string
	for _, word := range words {
		list = append(list, quoteWord(strings.ReplaceAll(word, "%", "%%")))
	}
	return strings.Join(list, " ")
}

func (f *formatter) flag(name string, on bool, text string) {
	if on {
		f.add("Service", name, text)
	}
}

func (f *formatter) span(section, name string, d, usual services.Duration) {
	if d != usual {
		f.add(section, name, spanText(d))
	}
}

func (f *formatter) number(section, name string, n *int) {
	if n != nil {
		f.add(section, name, fmt.Sprint(*n))
	}
}

func (f *formatter) count(section, name string, n int) {
	if n != 0 {
		f.number(section, name, &n)
	}
}

func (f *formatter) mode(name string, m, usual services.Mode) {
	if m != usual {
		f.add("Service", name, fmt.Sprintf("%04o", m.FileMode))
	}
}

func (f *formatter) unit(svc *services.Service) {
	f.plain("Unit", "Description", svc.Description)
	for _, field := range dependencies(svc) {
		var units []string
		for _, name := range *field.list {
			units = append(units, name+".service")
		}
		if field.name != "AfterStart" && validNames(units) {
			f.words("Unit", field.name, units)
		}
	}
	for _, c := range svc.Conditions {
		if key, value, ok := strings.Cut(c, "="); ok && setters()["Unit"][key] != nil {
			f.plain("Unit", key, value)
		}
	}
	if svc.StartLimitIntervalSec != f.usual.StartLimitIntervalSec || svc.StartLimitBurst != 0 {
		f.span("Unit", "StartLimitIntervalSec", svc.StartLimitIntervalSec, 0)
		f.number("Unit", "StartLimitBurst", &svc.StartLimitBurst)
	}
	f.unlike("Unit", "SuccessAction", string(svc.SuccessAction), string(f.usual.SuccessAction))
	f.unlike("Unit", "FailureAction", string(svc.FailureAction), string(f.usual.FailureAction))
	f.number("Unit", "SuccessActionExitStatus", svc.SuccessActionExitStatus)
	f.number("Unit", "FailureActionExitStatus", svc.FailureActionExitStatus)
}

func validNames(units []string) bool {
	return !slices.ContainsFunc(units, func(text string) bool {
		name, err := parseName(text)
		return err != nil || name.String() != text
	})
}

func (f *formatter) service(svc *services.Service) {
	f.plain("Service", "Type", string(svc.Type))
	for _, c := range []struct {
		name string
		list services.Commands
	}{{"ExecCondition", svc.ExecCondition}, {"ExecStartPre", svc.ExecStartPre}, {"ExecStart", svc.ExecStart}, {"ExecStartPost", svc.ExecStartPost},
		{"ExecReload", svc.ExecReload}, {"ExecStop", svc.ExecStop}, {"ExecStopPost", svc.ExecStopPost}} {
		for _, cmd := range c.list {
			if len(cmd.Argv) > 0 {
				f.add("Service", c.name, commandLine(cmd))
			}
		}
	}
	f.unlike("Service", "ReloadSignal", string(svc.ReloadSignal), string(f.usual.ReloadSignal))
	f.plain("Service", "PIDFile", svc.PIDFile)
	f.unlike("Service", "NotifyAccess", string(svc.NotifyAccess), string(f.usual.NotifyAccess))
	f.flag("RemainAfterExit", svc.RemainAfterExit, "yes")
	f.unlike("Service", "Restart", string(svc.Restart), string(f.usual.Restart))
	if svc.RestartSec != nil {
		f.span("Service", "RestartSec", *svc.RestartSec, -1)
	}
	if svc.RestartSec == nil || *svc.RestartSec != svc.RestartMaxDelaySec {
		usual := f.usual.RestartMaxDelaySec
		if svc.RestartSec != nil {
			usual = -1
		}
		f.span("Service", "RestartMaxDelaySec", svc.RestartMaxDelaySec, usual)
	}
	f.count("Service", "RestartSteps", svc.RestartSteps)
	f.words("Service", "SuccessExitStatus", svc.SuccessExitStatus)
	f.words("Service", "RestartPreventExitStatus", svc.RestartPreventExitStatus)
	f.words("Service", "RestartForceExitStatus", svc.RestartForceExitStatus)
	f.span("Service", "TimeoutStartSec", svc.TimeoutStartSec, f.usual.TimeoutStartSec)
	f.span("Service", "TimeoutStopSec", svc.TimeoutStopSec, f.usual.TimeoutStopSec)
	f.unlike("Service", "KillSignal", string(svc.KillSignal), string(f.usual.KillSignal))
	f.unlike("Service", "KillMode", string(svc.KillMode), string(f.usual.KillMode))
	f.flag("SendSIGHUP", svc.SendSIGHUP, "yes")
	f.flag("SendSIGKILL", svc.KeepAlive, "no")
	f.span("Service", "WatchdogSec", svc.WatchdogSec, 0)
	f.count("Service", "FileDescriptorStoreMax", svc.FileDescriptorStoreMax)
}

// commandLine writes one command with its prefixes.
func commandLine(cmd services.Command) string {
	prefix := ""
	if cmd.IgnoreFailure {
		prefix += "-"
	}
	if cmd.Privileged {
		prefix += "+"
	}
	if !cmd.Expand {
		prefix += ":"
	}
	words := slices.Clone(cmd.Argv)
	if cmd.Argv0 != "" {
		prefix += "@"
		words = slices.Insert(words, 1, cmd.Argv0)
	}
	words[0] = prefix + words[0]
	return quoteWords(words)
}

func (f *formatter) execution(svc *services.Service) {
	for _, name := range slices.Sorted(maps.Keys(svc.Environment)) {
		f.words("Service", "Environment", []string{name + "=" + svc.Environment[name]})
	}
	for _, file := range svc.EnvironmentFile {
		f.plain("Service", "EnvironmentFile", file)
	}
	f.words("Service", "UnsetEnvironment", svc.UnsetEnvironment)
	f.unlike("Service", "WorkingDirectory", svc.WorkingDirectory, f.usual.WorkingDirectory)
	f.plain("Service", "User", svc.User)
	f.plain("Service", "Group", svc.Group)
	f.words("Service", "SupplementaryGroups", svc.SupplementaryGroups)
	f.count("Service", "Nice", svc.Nice)
	f.number("Service", "OOMScoreAdjust", svc.OOMScoreAdjust)
	f.mode("UMask", svc.UMask, f.usual.UMask)
	for _, name := range slices.Sorted(maps.Keys(svc.Limit)) {
		if has(limitNames, name) {
			f.plain("Service", "Limit"+name, svc.Limit[name])
		}
	}
	f.flag("NoNewPrivileges", svc.NoNewPrivileges, "yes")
	for _, d := range []struct {
		name        string
		list        []string
		mode, usual services.Mode
	}{{"Runtime", svc.RuntimeDirectory, svc.RuntimeDirectoryMode, f.usual.RuntimeDirectoryMode},
		{"State", svc.StateDirectory, svc.StateDirectoryMode, f.usual.StateDirectoryMode},
		{"Cache", svc.CacheDirectory, svc.CacheDirectoryMode, f.usual.CacheDirectoryMode},
		{"Logs", svc.LogsDirectory, svc.LogsDirectoryMode, f.usual.LogsDirectoryMode},
		{"Configuration", svc.ConfigurationDirectory, svc.ConfigurationDirectoryMode, f.usual.ConfigurationDirectoryMode}} {
		f.words("Service", d.name+"Directory", d.list)
		f.mode(d.name+"DirectoryMode", d.mode, d.usual)
	}
	f.unlike("Service", "RuntimeDirectoryPreserve", svc.RuntimeDirectoryPreserve, f.usual.RuntimeDirectoryPreserve)
	for _, c := range svc.LoadCredential {
		f.plain("Service", "LoadCredential", c)
	}
	f.plain("Service", "StandardInput", svc.StandardInput)
	f.plain("Service", "StandardOutput", svc.StandardOutput)
	f.plain("Service", "StandardError", svc.StandardError)
}

// rest reads what was written so far, and adds each field that did not come back
// as it was. So nothing is lost by a field that was forgotten here, or by a value
// that a unit cannot hold.
func (f *formatter) rest(svc services.Service) {
	b, _ := io.ReadAll(unit.Serialize(f.options)) // from memory
	if !bytes.Contains(b, []byte("\n[Service]\n")) && !bytes.HasPrefix(b, []byte("[Service]\n")) {
		return
	}
	var p problems
	u := newLowering("/", unitName{prefix: svc.Name, kind: ".service"}, "", &p)
	u.apply(read("", b, &p))
	back := u.finish()
	alone(&back)
	was, is := reflect.ValueOf(svc), reflect.ValueOf(back)
	for _, field := range reflect.VisibleFields(was.Type()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous || name == "" || name == "-" {
			continue
		}
		value, _ := json.Marshal(was.FieldByIndex(field.Index).Interface()) // of plain fields
		read, _ := json.Marshal(is.FieldByIndex(field.Index).Interface())
		if !bytes.Equal(value, read) && !(empty(value) && empty(read)) {
			f.add("Service", ownKey+name, string(value))
		}
	}
}

// empty says whether a value is the absent one in JSON.
func empty(value []byte) bool {
	return slices.Contains([]string{"null", "[]", "{}", `""`, "0", "false"}, string(value))
}
