package compose

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

// never stands for no deadline: process-compose has none for a line of the log.
const never = services.Duration(24 * 3600 * 1e9)

// service lowers a process. Its dependencies have been connected.
func (proc *process) service(p *project) services.Service {
	svc := proc.Service
	proc.WorkingDirectory = p.path(proc.WorkingDirectory)
	if proc.WorkingDirectory == "" {
		proc.WorkingDirectory = p.Dir
	}
	svc.WorkingDirectory = proc.WorkingDirectory
	svc.LogLocation = p.path(proc.LogLocation)
	if svc.Description == "" {
		svc.Description = strings.Join(proc.namespace, ", ")
	}
	if proc.isDisabled != "" {
		svc.Disabled = proc.isDisabled == "true"
	}
	svc.Disabled = svc.Disabled || proc.byHand
	proc.commands(p, &svc)
	proc.surroundings(p, &svc)
	proc.end(&svc)
	proc.order(p, &svc)
	switch {
	case proc.awaited:
		svc.Type = services.Oneshot
		// Of a process that ends, what its health was meant for is over when it has.
		for key, given := range map[string]bool{"readiness_probe": proc.ready != nil, "liveness_probe": proc.live != nil, "ready_log_line": svc.ReadyLine != ""} {
			if given {
				svc.Unapplied = append(svc.Unapplied, key)
			}
		}
		svc.ReadyLine = ""
	case proc.daemon:
		svc.Type = services.Forking
		svc.TimeoutStartSec = proc.launchTimeout
		fallthrough
	default:
		if svc.ReadyLine != "" {
			svc.TimeoutStartSec = never
		}
		proc.probes(p, &svc)
	}
	slices.Sort(svc.Unapplied)
	return svc
}

func (proc *process) commands(p *project, svc *services.Service) {
	switch {
	case proc.command != "":
		svc.ExecStart = services.Argv(p.shell, p.shellArg, proc.command)
		if len(proc.entrypoint) > 0 {
			svc.Unapplied = append(svc.Unapplied, "entrypoint")
		}
	case len(proc.entrypoint) > 0:
		svc.ExecStart = services.Argv(proc.entrypoint...)
	}
	if proc.shutdown != "" {
		svc.ExecStop = services.Argv(p.shell, p.shellArg, proc.shutdown)
	}
}

func (proc *process) surroundings(p *project, svc *services.Service) {
	own := map[string]string{"PC_PROC_NAME": proc.inFile, "PC_REPLICA_NUM": strconv.Itoa(proc.replica)}
	svc.Environment = merged(own, p.environment, proc.Service.Environment)
	svc.EnvironmentFile = nil
	for _, file := range p.envFiles {
		svc.EnvironmentFile = append(svc.EnvironmentFile, p.path(file))
	}
	svc.EnvironmentFile = append(svc.EnvironmentFile, proc.EnvironmentFile...)
}

// end sets what follows an end.
func (proc *process) end(svc *services.Service) {
	svc.Restart = map[restart]services.Restart{"no": services.RestartNo, "exit_on_failure": services.RestartNo,
		"always": services.RestartAlways, "on_failure": services.RestartOnFailure}[proc.restart]
	if proc.backoff > 0 {
		svc.RestartSec = &proc.backoff
	}
	if proc.exitOnEnd {
		svc.Essential = true
	}
	if proc.exitOnFailure || proc.restart == "exit_on_failure" {
		svc.FailureAction = services.ActionExit
	}
	if proc.exitOnSkipped && !proc.exitOnEnd && svc.FailureAction == "" {
		svc.Unapplied = append(svc.Unapplied, "exit_on_skipped")
	}
}

// variables is an environment as a map.
func variables(environ []string) map[string]string {
	if environ == nil {
		return nil
	}
	all := map[string]string{}
	for _, item := range environ {
		if name, value, ok := strings.Cut(item, "="); ok {
			all[name] = value
		}
	}
	return all
}
