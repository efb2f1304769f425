package compose

import (
	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// condition is what a process waits for.
type condition string

const (
	started   condition = "process_started"
	healthy   condition = "process_healthy"
	completed condition = "process_completed"
	succeeded condition = "process_completed_successfully"
	logReady  condition = "process_log_ready"
)

var conditions = map[string]condition{string(started): started, string(healthy): healthy, string(completed): completed,
	string(succeeded): succeeded, string(logReady): logReady}

// dependency is one of depends_on.
type dependency struct {
	name  string
	line  int
	until condition
}

func (p *project) readDepends(proc *process) tree.Setter {
	return func(n *tree.Node, at string) {
		seen := map[string]bool{}
		p.Each(n, at, func(name string, line int, n *tree.Node, at string) {
			if seen[name] {
				p.Problems.Add(line, "%s is given twice", at)
				return
			}
			seen[name] = true
			d := dependency{name: name, line: line, until: completed}
			if n.Kind != tree.Null {
				p.Map(n, at, tree.Fields{"condition": tree.OneOf(&p.Reader, &d.until, conditions)})
			}
			proc.depends = append(proc.depends, d)
		})
	}
}

// connect looks at both sides of each dependency: who is waited for has to be able
// to become what is waited for.
func (p *project) connect() {
	for _, proc := range p.processes {
		for _, d := range proc.depends {
			for _, other := range p.targets(proc, d) {
				p.connectOne(proc, other, d)
			}
		}
	}
	for _, proc := range p.processes {
		if !proc.awaited {
			continue
		}
		why := ""
		switch {
		case proc.restart == "always":
			why = "it is always restarted"
		case proc.daemon:
			why = "it is a daemon"
		case proc.probedBy != "":
			why = proc.probedBy + " waits for it to be ready"
		}
		if why != "" {
			p.Problems.Add(proc.awaitedLine, "processes.%s is waited for until it has completed, but %s; give another condition", proc.inFile, why)
			proc.awaited = false
		}
	}
}

// targets are the processes that a dependency names: all replicas, or one.
func (p *project) targets(proc *process, d dependency) []*process {
	if list := p.groups[d.name]; list != nil {
		return list
	}
	if other := p.byName[d.name]; other != nil {
		return []*process{other}
	}
	for _, name := range p.Known {
		if name == d.name {
			return nil
		}
	}
	if proc.replica == 0 {
		p.Problems.Add(d.line, "processes.%s depends on %s, which is not there%s", proc.inFile, d.name, tree.Nearest(d.name, p.groups))
	}
	return nil
}

func (p *project) connectOne(proc, other *process, d dependency) {
	bad := func(format string, args ...any) {
		if proc.replica == 0 && (other.replica == 0 || other.Name == d.name) {
			p.Problems.Add(d.line, format, args...)
		}
	}
	switch d.until {
	case completed, succeeded:
		other.awaited, other.awaitedLine = true, d.line
	case healthy:
		other.probedBy = proc.inFile
		if other.ready == nil {
			bad("processes.%s waits for %s to be healthy, which has no readiness_probe", proc.inFile, d.name)
		}
	case logReady:
		other.probedBy = proc.inFile
		if other.ReadyLine == "" {
			bad("processes.%s waits for a line of %s's log, which has no ready_log_line", proc.inFile, d.name)
		}
	}
}

// order sets what the service waits for.
func (proc *process) order(p *project, svc *services.Service) {
	for _, d := range proc.depends {
		names := []string{d.name}
		if list := p.groups[d.name]; len(list) > 1 {
			names = nil
			for _, other := range list {
				names = append(names, other.Name)
			}
		}
		switch d.until {
		case started:
			svc.Wants, svc.AfterStart = append(svc.Wants, names...), append(svc.AfterStart, names...)
		case completed:
			svc.Wants, svc.After = append(svc.Wants, names...), append(svc.After, names...)
		default:
			svc.Requires = append(svc.Requires, names...)
		}
	}
}
