package modular

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// systemd reads systemd.service, or systemd.services."", which is the same.
func (r *reader) systemd(svc *services.Service, n *tree.Node, at string) {
	unit := func(n *tree.Node, at string) { r.unit(svc, n, at) }
	r.Map(n, at, tree.Fields{
		"service": unit,
		"services": func(n *tree.Node, at string) {
			r.Each(n, at, func(name string, line int, n *tree.Node, at string) {
				if name == "" {
					unit(n, at)
					return
				}
				svc.Unapplied = append(svc.Unapplied, "systemd.services."+name)
			})
		},
		"socket": ignored, "sockets": ignored, "lib": ignored, "mainExecStart": ignored,
	})
}

// unit reads a service of NixOS (systemd.services.<name>).
func (r *reader) unit(svc *services.Service, n *tree.Node, at string) {
	names := func(to *[]string) tree.Setter {
		return func(n *tree.Node, at string) {
			var list []string
			r.TextOrTexts(&list)(n, at)
			for _, unit := range list {
				// Targets and the like have no counterpart.
				if name, service := strings.CutSuffix(unit, ".service"); service {
					*to = append(*to, name)
				}
			}
		}
	}
	var packages []string
	seen := tree.Fields{
		"description": r.Text(&svc.Description),
		"after":       names(&svc.After), "before": names(&svc.Before), "wants": names(&svc.Wants), "requires": names(&svc.Requires),
		"bindsTo": names(&svc.BindsTo), "partOf": names(&svc.PartOf), "conflicts": names(&svc.Conflicts),
		"environment": r.Environment(&svc.Environment, func(name string) { svc.UnsetEnvironment = append(svc.UnsetEnvironment, name) }),
		"path":        r.TextOrTexts(&packages),
		"script":      r.script(&svc.ExecStart), "preStart": r.script(&svc.ExecStartPre), "postStart": r.script(&svc.ExecStartPost),
		"reload": r.script(&svc.ExecReload), "preStop": r.script(&svc.ExecStop), "postStop": r.script(&svc.ExecStopPost),
		"serviceConfig": func(n *tree.Node, at string) { r.serviceConfig(svc, n, at) },
		"unitConfig":    func(n *tree.Node, at string) { r.unitConfig(svc, n, at) },
		"enable": func(n *tree.Node, at string) {
			enabled := true
			r.Bool(&enabled)(n, at)
			svc.Disabled = !enabled
		},
	}
	r.each(svc, n, at, "systemd.service.", seen)
	if len(packages) > 0 && svc.Environment["PATH"] == "" {
		for i, dir := range packages {
			packages[i] = dir + "/bin:" + dir + "/sbin"
		}
		svc.Environment = maps.Clone(svc.Environment)
		if svc.Environment == nil {
			svc.Environment = map[string]string{}
		}
		svc.Environment["PATH"] = strings.Join(packages, ":")
	}
}

// each gives the keys to their fields, and lists the others as Unapplied: most of what
// units can say is for a kernel that is ours alone.
func (r *reader) each(svc *services.Service, n *tree.Node, at, prefix string, fields tree.Fields) {
	r.Each(n, at, func(key string, _ int, value *tree.Node, at string) {
		set, known := fields[key]
		switch {
		case value.Kind == tree.Null || value.Kind == tree.List && len(value.Items) == 0 || value.Kind == tree.Map && len(value.Pairs) == 0:
		case known:
			set(value, at)
		case !slices.Contains([]string{"name", "wantedBy", "requiredBy", "upheldBy", "aliases", "documentation", "restartIfChanged", "reloadIfChanged",
			"stopIfChanged", "restartTriggers", "reloadTriggers", "startAt", "enableStrictShellChecks", "unitConfig"}, key):
			svc.Unapplied = append(svc.Unapplied, prefix+key)
		}
	})
}

// script is NixOS' text for a shell.
func (r *reader) script(to *services.Commands) tree.Setter {
	return func(n *tree.Node, at string) {
		var text string
		if r.Text(&text)(n, at); text != "" {
			*to = services.Argv("/bin/sh", "-e", "-c", text)
		}
	}
}

func (r *reader) unitConfig(svc *services.Service, n *tree.Node, at string) {
	fields := tree.Fields{
		"StartLimitIntervalSec": r.span(&svc.StartLimitIntervalSec),
		"StartLimitBurst":       r.Int(&svc.StartLimitBurst, 0, 1<<31-1),
	}
	r.Each(n, at, func(key string, _ int, value *tree.Node, at string) {
		if !strings.HasPrefix(key, "Condition") {
			return
		}
		fields[key] = func(n *tree.Node, at string) {
			var list []string
			r.TextOrTexts(&list)(n, at)
			for _, text := range list {
				svc.Conditions = append(svc.Conditions, key+"="+text)
			}
		}
	})
	r.each(svc, n, at, "unitConfig.", fields)
}

// serviceConfig reads the directives of a [Service] section.
func (r *reader) serviceConfig(svc *services.Service, n *tree.Node, at string) {
	fields := tree.Fields{
		"Type": word(r, &svc.Type), "NotifyAccess": word(r, &svc.NotifyAccess), "Restart": word(r, &svc.Restart),
		"KillMode": word(r, &svc.KillMode), "KillSignal": word(r, &svc.KillSignal), "ReloadSignal": word(r, &svc.ReloadSignal),
		"PIDFile": r.Text(&svc.PIDFile), "User": word(r, &svc.User), "Group": word(r, &svc.Group),
		"WorkingDirectory": r.Text(&svc.WorkingDirectory),
		"StandardInput":    r.Text(&svc.StandardInput), "StandardOutput": r.Text(&svc.StandardOutput), "StandardError": r.Text(&svc.StandardError),
		"RemainAfterExit": r.Bool(&svc.RemainAfterExit), "NoNewPrivileges": r.Bool(&svc.NoNewPrivileges), "SendSIGHUP": r.Bool(&svc.SendSIGHUP),
		"RestartSteps": r.Int(&svc.RestartSteps, 0, 1<<20), "Nice": r.Int(&svc.Nice, -20, 19),
		"RestartSec": func(n *tree.Node, at string) {
			svc.RestartSec = new(services.Duration)
			r.span(svc.RestartSec)(n, at)
		},
		"RestartMaxDelaySec": r.span(&svc.RestartMaxDelaySec), "TimeoutStartSec": r.span(&svc.TimeoutStartSec),
		"TimeoutStopSec": r.span(&svc.TimeoutStopSec), "WatchdogSec": r.span(&svc.WatchdogSec),
		"TimeoutSec": func(n *tree.Node, at string) {
			r.span(&svc.TimeoutStartSec)(n, at)
			svc.TimeoutStopSec = svc.TimeoutStartSec
		},
		"SupplementaryGroups": r.words(&svc.SupplementaryGroups), "EnvironmentFile": r.TextOrTexts(&svc.EnvironmentFile),
		"UnsetEnvironment": r.words(&svc.UnsetEnvironment), "LoadCredential": r.TextOrTexts(&svc.LoadCredential),
		"RuntimeDirectory": r.words(&svc.RuntimeDirectory), "RuntimeDirectoryMode": r.mode(&svc.RuntimeDirectoryMode),
		"RuntimeDirectoryPreserve": r.Text(&svc.RuntimeDirectoryPreserve),
		"StateDirectory":           r.words(&svc.StateDirectory), "StateDirectoryMode": r.mode(&svc.StateDirectoryMode),
		"CacheDirectory": r.words(&svc.CacheDirectory), "CacheDirectoryMode": r.mode(&svc.CacheDirectoryMode),
		"LogsDirectory": r.words(&svc.LogsDirectory), "LogsDirectoryMode": r.mode(&svc.LogsDirectoryMode),
		"ConfigurationDirectory": r.words(&svc.ConfigurationDirectory), "ConfigurationDirectoryMode": r.mode(&svc.ConfigurationDirectoryMode),
		"UMask":             r.mode(&svc.UMask),
		"SuccessExitStatus": r.words((*[]string)(&svc.SuccessExitStatus)), "RestartPreventExitStatus": r.words((*[]string)(&svc.RestartPreventExitStatus)),
		"RestartForceExitStatus": r.words((*[]string)(&svc.RestartForceExitStatus)),
	}
	for name, to := range map[string]*services.Commands{"ExecCondition": &svc.ExecCondition, "ExecStartPre": &svc.ExecStartPre, "ExecStart": &svc.ExecStart,
		"ExecStartPost": &svc.ExecStartPost, "ExecReload": &svc.ExecReload, "ExecStop": &svc.ExecStop, "ExecStopPost": &svc.ExecStopPost} {
		fields[name] = r.commands(svc.Name, to)
	}
	r.Each(n, at, func(key string, _ int, value *tree.Node, at string) {
		if name, ok := strings.CutPrefix(key, "Limit"); ok && name != "" {
			fields[key] = func(n *tree.Node, at string) {
				if text, ok := r.Value(n, at); ok {
					svc.Limit = maps.Clone(svc.Limit)
					if svc.Limit == nil {
						svc.Limit = map[string]string{}
					}
					svc.Limit[name] = text
				}
			}
		}
	})
	r.each(svc, n, at, "", fields)
}

// word takes a text, or a number such as a uid.
func word[T ~string](r *reader, to *T) tree.Setter {
	return func(n *tree.Node, at string) {
		if text, ok := r.Value(n, at); ok {
			*to = T(text)
		}
	}
}

// words are texts, each of which may be several words.
func (r *reader) words(to *[]string) tree.Setter {
	return func(n *tree.Node, at string) {
		var list []string
		r.TextOrTexts(&list)(n, at)
		for _, text := range list {
			*to = append(*to, strings.Fields(text)...)
		}
	}
}

func (r *reader) mode(to *services.Mode) tree.Setter {
	return func(n *tree.Node, at string) {
		if text, ok := r.Value(n, at); ok {
			mode, err := services.ParseMode(text)
			if err != nil {
				r.Add(n, "%s: %v", at, err)
				return
			}
			*to = mode
		}
	}
}

// forever is "infinity".
const forever = services.Duration(10 * 365 * 24 * time.Hour)

// span reads a time span of systemd: 5, "5", "1min 30s", "infinity".
func (r *reader) span(to *services.Duration) tree.Setter {
	units := map[string]time.Duration{"": time.Second, "s": time.Second, "sec": time.Second, "seconds": time.Second, "second": time.Second,
		"ms": time.Millisecond, "msec": time.Millisecond, "us": time.Microsecond, "m": time.Minute, "min": time.Minute, "minutes": time.Minute,
		"minute": time.Minute, "h": time.Hour, "hr": time.Hour, "hours": time.Hour, "hour": time.Hour, "d": 24 * time.Hour, "days": 24 * time.Hour, "day": 24 * time.Hour}
	return func(n *tree.Node, at string) {
		text, ok := r.Value(n, at)
		if !ok {
			return
		}
		if text == "infinity" {
			*to = forever
			return
		}
		var sum float64
		rest := strings.TrimSpace(text)
		good := rest != ""
		for good && rest != "" {
			digits := strings.TrimLeft(rest, "0123456789.")
			number, err := strconv.ParseFloat(rest[:len(rest)-len(digits)], 64)
			digits = strings.TrimLeft(digits, " ")
			behind := strings.TrimLeft(digits, "abcdefghijklmnopqrstuvwxyz")
			unit, known := units[digits[:len(digits)-len(behind)]]
			sum += number * float64(unit)
			rest, good = strings.TrimLeft(behind, " "), err == nil && known && sum <= float64(forever)
		}
		if !good {
			r.Add(n, "%s is %q; it must be a time span such as 5 or 1min 30s", at, tree.Shorten(text))
			return
		}
		*to = services.Duration(sum)
	}
}
