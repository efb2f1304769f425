// Package compose reads the files of process-compose, as services-flake and
// process-compose-flake write them, and lowers each process to a services.Service.
//
// The keys mean what they mean to process-compose 1.x. Where a given value would be
// taken differently, or a default is another one, this table says so:
//
//	key                        process-compose                   here
//	unknown key                an error if is_strict             always a problem; the rest of the process is read
//	${NAME}                    the environment at load           the same with Options.Environ; else the process's shell sees it
//	depends_on.X.condition     absent: process_completed         the same; a problem where X does not complete by itself
//	… process_healthy          waits                             waits, and restarts with X
//	… process_completed…       X may be any process              X becomes a oneshot: it is ready when it has ended
//	… on a disabled process    never starts                      starts X too
//	backoff_seconds            constant, at least 1 s            the first delay: it doubles up to 30 s, and is forgotten
//	                                                             after 10 s of running; default: at once, then 100 ms
//	exit_on_skipped            ends the project                  exit_on_end and exit_on_failure cover it; alone no effect
//	readiness: period_seconds  the pace, default 10 s            asked every few milliseconds after initial_delay_seconds
//	                                                             until it is ready; then this is the pace
//	readiness:                 this many in a row stop it        until it is ready it has initial_delay + period × threshold
//	  failure_threshold                                          (default: 90 s); then this many in a row restart it
//	success_threshold          read and not used                 so many good answers in a row
//	timeout_seconds of probes  1 s                               3 s
//	http_get.status_code       200; 400 and more mean 200        200 to 399; any that is given
//	shutdown.timeout_seconds   no SIGKILL where absent           SIGKILL after 8 s
//	shutdown.signal            out of range: SIGTERM             a problem; names such as SIGINT are taken too
//	shutdown.command           SIGKILL if it fails               shutdown.signal, and after the timeout SIGKILL
//	ordered_shutdown           off                               always on
//	env_file                   environment goes before it        it goes before environment
//	is_foreground, disabled    started by hand                   the same: init start NAME
//	is_daemon                  launch_timeout_seconds is 5       90
//	log_location of the file   one log of all processes          no effect: init logs has it
//	schedule, watch, mcp       runs at times, on changes         not there; schedule and mcp are problems
//	extends, env_cmds          another file, programs' output    a problem
//	x-tailnet                  unknown                           transparent: as services.Service has it
//	{{ }}                      templates of Go                   {{.NAME}} of vars and PC_REPLICA_NUM, {{"text"}}
package compose

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// Options are what a file alone does not say.
type Options struct {
	// Environ, each NAME=VALUE, is what ${NAME} stands for unless the file has
	// disable_env_expansion. nil: ${NAME} stays as it is.
	Environ []string
	// Dir is where relative paths begin; it is absolute. Default: /
	Dir string
	// Known are the services beside those of the file that it may depend on. That one
	// has the name of a process is the caller's to find.
	Known []string
}

// Parse reads a file, whose name is for messages alone. The error joins a
// services.Problem for everything that is wrong; the services that make sense
// are returned beside it, with their defaults.
func Parse(file string, b []byte, o Options) ([]services.Service, error) {
	p := &project{Options: o, shell: "bash", shellArg: "-c"}
	p.Problems.File = file
	if p.Dir == "" {
		p.Dir = "/"
	}
	root, err := tree.Parse(b)
	if err != nil {
		var bad *tree.SyntaxError
		at := 0
		if errors.As(err, &bad) {
			at = bad.Line
		}
		p.Problems.AddErr(at, err)
		return nil, p.Problems.Err()
	}
	p.read(root)
	p.connect()
	return p.lower(), p.Problems.Err()
}

// project is a file while it is read.
type project struct {
	tree.Reader
	Options
	environ map[string]string // of Options
	vars    map[string]string // of {{.NAME}}

	shell, shellArg string
	environment     map[string]string
	envFiles        []string
	processes       []*process
	groups          map[string][]*process // the replicas, by the name in the file
	byName          map[string]*process
}

// maxProcesses bounds what replicas multiply.
const maxProcesses = 1000

// ignored are keys that have no effect here and would be missed by nobody.
func ignored(*tree.Node, string) {}

func (p *project) read(root *tree.Node) {
	disabled := false
	if n := root.Get("disable_env_expansion"); n != nil {
		(&tree.Reader{}).Bool(&disabled)(n, "")
	}
	if !disabled {
		p.environ = variables(p.Environ)
		p.Expand = p.expand
	}
	var processes *tree.Node
	fields := tree.Fields{
		"processes":   func(n *tree.Node, _ string) { processes = n },
		"environment": p.Environment(&p.environment, nil),
		"env_file":    p.TextOrTexts(&p.envFiles),
		"vars":        p.readVars(&p.vars),
		"shell": func(n *tree.Node, at string) {
			p.Map(n, at, tree.Fields{"shell_command": p.Text(&p.shell), "shell_argument": p.Text(&p.shellArg),
				"elevated_shell_command": ignored, "elevated_shell_argument": ignored})
		},
		"disable_env_expansion": p.Bool(&disabled),
		"is_strict":             p.Bool(new(bool)),
		"ordered_shutdown":      p.Bool(new(bool)),
		"env_cmds":              p.refuse("set the variable in the command itself"),
		"extends":               p.refuse("give its processes in this file"),
		"mcp_server":            p.refuse("run such a server as a process"),
	}
	for _, key := range []string{"version", "name", "log_location", "log_level", "log_length", "log_configuration", "log_format",
		"is_tui_disabled", "file_names", "env_file_names", "dot_env_vars", "cli"} {
		fields[key] = ignored
	}
	p.Map(root, "", fields)
	p.groups, p.byName = map[string][]*process{}, map[string]*process{}
	if processes == nil {
		if root.Kind == tree.Map {
			p.Add(root, "there are no processes; give at least one under the key processes")
		}
		return
	}
	p.Each(processes, "processes", func(name string, line int, n *tree.Node, at string) {
		if strings.HasPrefix(name, "x-") {
			return
		}
		if first := p.groups[name]; first != nil {
			p.Problems.Add(line, "%s is given twice, first in line %d, which holds", at, first[0].line)
			return
		}
		p.replicate(name, line, n, at)
	})
}

// refuse is for keys that change what runs, which we do not have.
func (p *project) refuse(instead string) tree.Setter {
	return func(n *tree.Node, at string) { p.Add(n, "%s is not supported; %s", at, instead) }
}

func (p *project) readVars(to *map[string]string) tree.Setter {
	return func(n *tree.Node, at string) {
		p.Each(n, at, func(name string, _ int, value *tree.Node, at string) {
			if text, ok := p.Value(value, at); ok {
				if *to == nil {
					*to = map[string]string{}
				}
				(*to)[name] = text
			}
		})
	}
}

// path makes a path of the file absolute.
func (p *project) path(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(p.Dir, path)
}

// lower makes the services, in the order of the file, without those that cannot be.
func (p *project) lower() []services.Service {
	var list []services.Service
	lines := map[string]int{}
	unknown := slices.Clone(p.Known)
	for _, proc := range p.processes {
		svc := proc.service(p).WithDefaults()
		if len(svc.ExecStart) == 0 {
			if !proc.hasCommand {
				p.Problems.Add(proc.line, "processes.%s has neither command nor entrypoint", proc.inFile)
			}
			unknown = append(unknown, svc.Name)
			continue
		}
		if err := svc.Validate(); err != nil {
			p.Problems.AddErr(proc.line, err)
			unknown = append(unknown, svc.Name) // who needs it need not be told off as well
			continue
		}
		if _, twice := lines[svc.Name]; twice {
			p.Problems.Add(proc.line, "service %s: the name is taken by a replica", svc.Name)
			continue
		}
		lines[svc.Name] = proc.line
		list = append(list, svc)
		for _, d := range proc.depends {
			if p.groups[d.name] == nil && p.byName[d.name] == nil {
				unknown = append(unknown, d.name) // connect has said so
			}
		}
	}
	unknown = slices.DeleteFunc(unknown, func(name string) bool { return lines[name] != 0 })
	for _, err := range services.Split(services.Check(list, unknown...)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "service "), ":")
		p.Problems.AddErr(lines[name], err)
	}
	return list
}

// merged is several maps in one; later ones win.
func merged(all ...map[string]string) map[string]string {
	result := map[string]string{}
	for _, m := range all {
		maps.Copy(result, m)
	}
	return result
}
