package unitfile

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/fleek-platform/nix2vast/services"
)

// sections are those of the units that are read.
var sections = []string{"Unit", "Service", "Socket", "Install"}

func knownSection(name string) bool {
	return strings.HasPrefix(name, "X-") || slices.Contains(sections, name)
}

// A setter puts the value of one assignment into the unit. Its error is about the value.
type setter func(u *lowering, value string) error

// setters are the directives that have an effect, by section. (Made on first use.)
var setters = sync.OnceValue(func() map[string]map[string]setter {
	return map[string]map[string]setter{"Unit": unitSetters(), "Service": serviceSetters(), "Socket": socketSetters(), "Install": installSetters()}
})

func unitSetters() map[string]setter {
	keys := map[string]setter{
		"Description":             text(func(u *lowering) *string { return &u.svc.Description }),
		"After":                   dependency(func(u *lowering) *[]string { return &u.svc.After }),
		"Before":                  dependency(func(u *lowering) *[]string { return &u.svc.Before }),
		"Wants":                   dependency(func(u *lowering) *[]string { return &u.svc.Wants }),
		"Upholds":                 dependency(func(u *lowering) *[]string { return &u.svc.Wants }),
		"Requires":                dependency(func(u *lowering) *[]string { return &u.svc.Requires }),
		"RequiresOverridable":     dependency(func(u *lowering) *[]string { return &u.svc.Requires }),
		"BindsTo":                 dependency(func(u *lowering) *[]string { return &u.svc.BindsTo }),
		"BindTo":                  dependency(func(u *lowering) *[]string { return &u.svc.BindsTo }),
		"PartOf":                  dependency(func(u *lowering) *[]string { return &u.svc.PartOf }),
		"Conflicts":               dependency(func(u *lowering) *[]string { return &u.svc.Conflicts }),
		"PropagatesReloadTo":      dependency(func(u *lowering) *[]string { return &u.svc.PropagatesReloadTo }),
		"PropagateReloadTo":       dependency(func(u *lowering) *[]string { return &u.svc.PropagatesReloadTo }),
		"ReloadPropagatedFrom":    dependency(func(u *lowering) *[]string { return &u.svc.ReloadPropagatedFrom }),
		"PropagateReloadFrom":     dependency(func(u *lowering) *[]string { return &u.svc.ReloadPropagatedFrom }),
		"SuccessAction":           action(func(u *lowering) *services.Action { return &u.svc.SuccessAction }),
		"FailureAction":           action(func(u *lowering) *services.Action { return &u.svc.FailureAction }),
		"SuccessActionExitStatus": number(func(u *lowering) **int { return &u.svc.SuccessActionExitStatus }),
		"FailureActionExitStatus": number(func(u *lowering) **int { return &u.svc.FailureActionExitStatus }),
		"StartLimitIntervalSec":   startLimitInterval,
		"StartLimitInterval":      startLimitInterval,
		"StartLimitBurst":         startLimitBurst,
		"StartLimitAction":        startLimitAction,
	}
	for _, name := range strings.Fields(conditions) {
		for _, kind := range []string{"Condition", "Assert"} {
			keys[kind+name] = condition(kind, kind+name)
		}
	}
	return keys
}

func serviceSetters() map[string]setter {
	keys := map[string]setter{
		"Type":                     serviceType,
		"BusName":                  busName,
		"ExecStart":                commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecStart }),
		"ExecCondition":            commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecCondition }),
		"ExecStartPre":             commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecStartPre }),
		"ExecStartPost":            commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecStartPost }),
		"ExecReload":               commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecReload }),
		"ExecStop":                 commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecStop }),
		"ExecStopPost":             commandLines(func(u *lowering) *services.Commands { return &u.svc.ExecStopPost }),
		"PIDFile":                  pidFile,
		"NotifyAccess":             text(func(u *lowering) *services.NotifyAccess { return &u.svc.NotifyAccess }),
		"RemainAfterExit":          flag(func(u *lowering) *bool { return &u.svc.RemainAfterExit }),
		"Restart":                  text(func(u *lowering) *services.Restart { return &u.svc.Restart }),
		"RestartSec":               restartSec,
		"RestartSteps":             count(func(u *lowering) *int { return &u.svc.RestartSteps }),
		"RestartMaxDelaySec":       timeSpan(func(u *lowering) *services.Duration { return &u.svc.RestartMaxDelaySec }),
		"RestartPreventExitStatus": statuses(func(u *lowering) *services.ExitStatuses { return &u.svc.RestartPreventExitStatus }),
		"RestartForceExitStatus":   statuses(func(u *lowering) *services.ExitStatuses { return &u.svc.RestartForceExitStatus }),
		"SuccessExitStatus":        statuses(func(u *lowering) *services.ExitStatuses { return &u.svc.SuccessExitStatus }),
		"TimeoutSec":               timeoutSec,
		"TimeoutStartSec":          timeout(func(u *lowering) *services.Duration { return &u.svc.TimeoutStartSec }),
		"TimeoutStopSec":           timeout(func(u *lowering) *services.Duration { return &u.svc.TimeoutStopSec }),
		"WatchdogSec":              watchdogSec,
		"FileDescriptorStoreMax":   count(func(u *lowering) *int { return &u.svc.FileDescriptorStoreMax }),
		"Sockets":                  socketsOf,
		"KillMode":                 text(func(u *lowering) *services.KillMode { return &u.svc.KillMode }),
		"KillSignal":               signalName(func(u *lowering) *services.Signal { return &u.svc.KillSignal }),
		"ReloadSignal":             signalName(func(u *lowering) *services.Signal { return &u.svc.ReloadSignal }),
		"SendSIGHUP":               flag(func(u *lowering) *bool { return &u.svc.SendSIGHUP }),
		"SendSIGKILL":              sendSIGKILL,
		// Where these stood before systemd 230.
		"StartLimitInterval":    startLimitInterval,
		"StartLimitIntervalSec": startLimitInterval,
		"StartLimitBurst":       startLimitBurst,
		"StartLimitAction":      startLimitAction,
		"SuccessAction":         action(func(u *lowering) *services.Action { return &u.svc.SuccessAction }),
		"FailureAction":         action(func(u *lowering) *services.Action { return &u.svc.FailureAction }),
	}
	maps.Copy(keys, execSetters())
	return keys
}

func execSetters() map[string]setter {
	keys := map[string]setter{
		"WorkingDirectory":         workingDirectory,
		"User":                     text(func(u *lowering) *string { return &u.svc.User }),
		"Group":                    text(func(u *lowering) *string { return &u.svc.Group }),
		"SupplementaryGroups":      list(func(u *lowering) *[]string { return &u.svc.SupplementaryGroups }),
		"Environment":              environment,
		"EnvironmentFile":          environmentFile,
		"UnsetEnvironment":         list(func(u *lowering) *[]string { return &u.svc.UnsetEnvironment }),
		"Nice":                     nice,
		"OOMScoreAdjust":           number(func(u *lowering) **int { return &u.svc.OOMScoreAdjust }),
		"UMask":                    mode(func(u *lowering) *services.Mode { return &u.svc.UMask }),
		"NoNewPrivileges":          flag(func(u *lowering) *bool { return &u.svc.NoNewPrivileges }),
		"LoadCredential":           loadCredential,
		"RuntimeDirectoryPreserve": preserve,
		"StandardInput":            standardInput,
		"StandardOutput":           standardOutput(func(u *lowering) *string { return &u.svc.StandardOutput }),
		"StandardError":            standardOutput(func(u *lowering) *string { return &u.svc.StandardError }),
	}
	for _, name := range strings.Fields(limitNames) {
		keys["Limit"+name] = limitOf(name)
	}
	for name, field := range map[string]func(u *lowering) (*[]string, *services.Mode){
		"Runtime": func(u *lowering) (*[]string, *services.Mode) {
			return &u.svc.RuntimeDirectory, &u.svc.RuntimeDirectoryMode
		},
		"State": func(u *lowering) (*[]string, *services.Mode) { return &u.svc.StateDirectory, &u.svc.StateDirectoryMode },
		"Cache": func(u *lowering) (*[]string, *services.Mode) { return &u.svc.CacheDirectory, &u.svc.CacheDirectoryMode },
		"Logs":  func(u *lowering) (*[]string, *services.Mode) { return &u.svc.LogsDirectory, &u.svc.LogsDirectoryMode },
		"Configuration": func(u *lowering) (*[]string, *services.Mode) {
			return &u.svc.ConfigurationDirectory, &u.svc.ConfigurationDirectoryMode
		},
	} {
		keys[name+"Directory"] = directories(func(u *lowering) *[]string { dirs, _ := field(u); return dirs })
		keys[name+"DirectoryMode"] = mode(func(u *lowering) *services.Mode { _, m := field(u); return m })
	}
	return keys
}

const limitNames = "CPU FSIZE DATA STACK CORE RSS NOFILE AS NPROC MEMLOCK LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"

func socketSetters() map[string]setter {
	return map[string]setter{
		"ListenStream":           listen("stream"),
		"ListenDatagram":         listen("datagram"),
		"ListenSequentialPacket": listen("seqpacket"),
		"FileDescriptorName":     text(func(u *lowering) *string { return &u.socket.Name }),
		"SocketMode":             mode(func(u *lowering) *services.Mode { return &u.socket.Mode }),
		"SocketUser":             text(func(u *lowering) *string { return &u.socket.User }),
		"SocketGroup":            text(func(u *lowering) *string { return &u.socket.Group }),
		"Accept":                 flag(func(u *lowering) *bool { return &u.accept }),
		"Service":                text(func(u *lowering) *string { return &u.socketService }),
	}
}

func installSetters() map[string]setter {
	keys := map[string]setter{"DefaultInstance": text(func(u *lowering) *string { return &u.defaultInstance })}
	for _, name := range []string{"Alias", "WantedBy", "RequiredBy", "UpheldBy", "Also"} {
		keys[name] = list(func(u *lowering) *[]string {
			l := u.install[name]
			if l == nil {
				l = new([]string)
				u.install[name] = l
			}
			return l
		})
	}
	return keys
}

// unappliedIn says of a directive without a setter whether systemd has it, and
// whether something is lost by its having no effect.
func unappliedIn(section, name string) (known, lost bool) {
	switch section {
	case "Unit":
		return has(unappliedUnit, name) || has(silentUnit, name), has(unappliedUnit, name)
	case "Service":
		lost = has(unappliedService, name) || has(unappliedExec, name)
		return lost || has(silentService, name), lost
	case "Socket":
		lost = has(unappliedSocket, name)
		shared := has(unappliedExec, name) || has(silentService, name) || setters()["Service"][name] != nil
		return lost || shared || has(silentSocket, name), lost
	}
	return false, false
}

// misplaced names what was probably meant by a directive that its section does not have.
func misplaced(section, name string) string {
	var names []string
	for _, other := range sections {
		known, _ := unappliedIn(other, name)
		if setters()[other][name] != nil || other != "Socket" && known {
			return "; it belongs into [" + other + "]"
		}
		if other == section {
			for key := range setters()[other] {
				names = append(names, key)
			}
		}
	}
	switch section {
	case "Unit":
		names = append(names, strings.Fields(unappliedUnit+" "+silentUnit)...)
	case "Service":
		names = append(names, strings.Fields(unappliedService+" "+unappliedExec+" "+silentService)...)
	case "Socket":
		names = append(names, strings.Fields(unappliedSocket)...)
	}
	return didYouMean(name, names)
}

// didYouMean offers the nearest of the names, where one is near.
func didYouMean(word string, names []string) string {
	if name := services.Nearest(word, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}
