package compose

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// process is one process of the file, or one replica of it, while it is read.
type process struct {
	services.Service
	line    int
	inFile  string // the name that it has there: replicas share it
	replica int
	vars    map[string]string

	command    string
	entrypoint []string
	namespace  []string
	ready      *probe
	live       *probe
	depends    []dependency

	daemon        bool
	byHand        bool // it runs when somebody starts it
	restart       restart
	backoff       services.Duration
	exitOnEnd     bool
	exitOnFailure bool
	exitOnSkipped bool
	launchTimeout services.Duration
	shutdown      string
	awaited       bool // somebody depends on its completion: it is a oneshot
	awaitedLine   int
	probedBy      string // who depends on its health
	noTemplates   bool
	hasCommand    bool // command or entrypoint was given; what is wrong with it has been said
	isDisabled    string
}

// restart is a value of availability.restart.
type restart string

var restarts = map[string]restart{"no": "no", "always": "always", "on_failure": "on_failure", "exit_on_failure": "exit_on_failure"}

// replicate reads a process as often as it has replicas, since what {{ }} stands
// for differs.
func (p *project) replicate(name string, line int, n *tree.Node, at string) {
	if n.Kind != tree.Map {
		p.Map(n, at, nil)
		return
	}
	replicas := 1
	if count := n.Get("replicas"); count != nil && count.Kind != tree.Null {
		p.Int(&replicas, 0, maxProcesses)(count, at+".replicas")
	}
	replicas = max(replicas, 1)
	if len(p.processes)+replicas > maxProcesses {
		p.Problems.Add(line, "%s: there are more than %d processes", at, maxProcesses)
		replicas = 1
		if len(p.processes) >= maxProcesses {
			return
		}
	}
	problems := p.Problems
	for i := range replicas {
		proc := &process{line: line, inFile: name, replica: i, restart: "no"}
		proc.Name = name
		if replicas > 1 {
			proc.Name = fmt.Sprintf("%s-%0*d", name, len(strconv.Itoa(replicas)), i)
		}
		proc.Source = fmt.Sprintf("%s:%d", p.Problems.File, line)
		p.readVariables(proc, n, at)
		p.readProcess(proc, n, at)
		if i == 0 {
			problems = p.Problems
		}
		p.processes = append(p.processes, proc)
		p.groups[name] = append(p.groups[name], proc)
		if p.byName[proc.Name] == nil {
			p.byName[proc.Name] = proc
		}
	}
	p.Problems = problems // once, not for each replica
}

// readVariables reads what {{ }} stands for, which the other keys have to know.
func (p *project) readVariables(proc *process, n *tree.Node, at string) {
	proc.vars = merged(p.vars)
	if vars := n.Get("vars"); vars != nil && vars.Kind == tree.Map {
		p.readVars(&proc.vars)(vars, at+".vars")
	}
	proc.vars["PC_REPLICA_NUM"] = strconv.Itoa(proc.replica)
	if off := n.Get("is_template_disabled"); off != nil {
		(&tree.Reader{}).Bool(&proc.noTemplates)(off, "")
	}
}

// readProcess reads the keys. Those of other programs' screens have no effect and
// are not worth a word; those that a user would miss are listed as Unapplied.
func (p *project) readProcess(proc *process, n *tree.Node, at string) {
	proc.hasCommand = given(n.Get("command")) || given(n.Get("entrypoint"))
	unapplied := func(n *tree.Node, at string) {
		proc.Unapplied = append(proc.Unapplied, at[strings.LastIndex(at, ".")+1:])
	}
	var envFile []string
	fields := tree.Fields{
		"command":                p.renderedUnless(proc.noTemplates, proc, p.Text(&proc.command)),
		"entrypoint":             p.Texts(&proc.entrypoint),
		"description":            p.rendered(proc, p.Text(&proc.Description)),
		"namespace":              p.TextOrTexts(&proc.namespace),
		"environment":            p.rendered(proc, p.Environment(&proc.Service.Environment, nil)),
		"env_file":               p.TextOrTexts(&envFile),
		"working_dir":            p.rendered(proc, p.Text(&proc.WorkingDirectory)),
		"log_location":           p.rendered(proc, p.Text(&proc.LogLocation)),
		"depends_on":             p.readDepends(proc),
		"availability":           p.readAvailability(proc),
		"readiness_probe":        p.rendered(proc, p.readProbe(&proc.ready)),
		"liveness_probe":         p.rendered(proc, p.readProbe(&proc.live)),
		"ready_log_line":         p.Text(&proc.ReadyLine),
		"x-tailnet":              p.Text((*string)(&proc.Tailnet)), // transparent: ours
		"shutdown":               p.readShutdown(proc),
		"disabled":               p.Bool(&proc.Disabled),
		"is_disabled":            tree.OneOf(&p.Reader, &proc.isDisabled, map[string]string{"true": "true", "false": "false", "": ""}),
		"is_daemon":              p.Bool(&proc.daemon),
		"is_foreground":          p.Bool(&proc.byHand),
		"launch_timeout_seconds": p.Seconds(&proc.launchTimeout),
		"success_exit_codes":     p.readExitCodes(proc),
		"is_template_disabled":   p.Bool(new(bool)),
		"replicas":               ignored, // replicate has read it
		"vars":                   func(n *tree.Node, at string) { p.Each(n, at, func(string, int, *tree.Node, string) {}) },
		"is_tty":                 p.unlessFalse(unapplied),
		"is_interactive":         p.unlessFalse(unapplied),
		"is_elevated":            p.unlessFalse(unapplied),
		"watch":                  unapplied,
		"log_configuration": func(n *tree.Node, at string) {
			if len(n.Pairs) > 0 {
				unapplied(n, at)
			}
		},
		"extends":  p.refuse("give the keys of that process here"),
		"schedule": p.onlyByHand(proc, "use a command such as: while sleep 3600; do …; done"),
		"mcp":      p.onlyByHand(proc, "run such a server as a process"),
	}
	for _, key := range []string{"name", "disable_ansi_colors", "truncate_log", "monitor_for", "monitor_silence_threshold",
		"is_dotenv_disabled", "original_config", "replica_num", "replica_name", "executable", "args"} {
		fields[key] = ignored
	}
	p.Map(n, at, fields)
	for _, file := range envFile {
		proc.EnvironmentFile = append(proc.EnvironmentFile, p.path(file))
	}
}

func given(n *tree.Node) bool {
	return n != nil && (n.Text != "" && n.Kind != tree.Null || n.Kind == tree.Map || len(n.Items) > 0)
}

// onlyByHand is for keys that say when a process runs, which we do not have: it is
// known, and runs when somebody starts it.
func (p *project) onlyByHand(proc *process, instead string) tree.Setter {
	return func(n *tree.Node, at string) {
		p.refuse(instead)(n, at)
		proc.byHand = true
	}
}

// unlessFalse calls set for a truth value that is true.
func (p *project) unlessFalse(set tree.Setter) tree.Setter {
	return func(n *tree.Node, at string) {
		var yes bool
		if p.Bool(&yes)(n, at); yes {
			set(n, at)
		}
	}
}

func (p *project) readAvailability(proc *process) tree.Setter {
	return func(n *tree.Node, at string) {
		p.Map(n, at, tree.Fields{
			"restart":         tree.OneOf(&p.Reader, &proc.restart, restarts),
			"max_restarts":    p.Int(&proc.MaxRestarts, 0, 1<<31-1),
			"backoff_seconds": p.Seconds(&proc.backoff),
			"exit_on_end":     p.Bool(&proc.exitOnEnd),
			"exit_on_failure": p.Bool(&proc.exitOnFailure),
			"exit_on_skipped": p.Bool(&proc.exitOnSkipped),
		})
	}
}

func (p *project) readShutdown(proc *process) tree.Setter {
	return func(n *tree.Node, at string) {
		p.Map(n, at, tree.Fields{
			"command":         p.Text(&proc.shutdown),
			"signal":          p.readSignal(&proc.KillSignal),
			"timeout_seconds": p.Seconds(&proc.TimeoutStopSec),
			"parent_only": p.unlessFalse(func(*tree.Node, string) {
				proc.KillMode = services.KillMixed
			}),
			"send_keys": func(*tree.Node, string) { proc.Unapplied = append(proc.Unapplied, "shutdown.send_keys") },
		})
	}
}

// readSignal takes the numbers 1 to 31, which differ between architectures in theory
// alone: linux/amd64 and arm64 agree. 0 is the default. It takes names too.
func (p *project) readSignal(to *services.Signal) tree.Setter {
	return func(n *tree.Node, at string) {
		text, ok := p.Value(n, at)
		if !ok {
			return
		}
		name := text
		number, err := strconv.Atoi(text)
		switch {
		case err == nil && number == 0:
			return
		case err == nil && number >= 1 && number <= 31:
			name = unix.SignalName(unix.Signal(number))
		case err != nil:
			name = "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
		}
		if unix.SignalNum(name) == 0 {
			p.Add(n, "%s is %q; it must be a signal: a number from 1 to 31, or a name such as SIGINT", at, tree.Shorten(text))
			return
		}
		*to = services.Signal(name)
	}
}

func (p *project) readExitCodes(proc *process) tree.Setter {
	return func(n *tree.Node, at string) {
		if n.Kind != tree.List {
			p.Texts(new([]string))(n, at)
			return
		}
		for i, item := range n.Items {
			code := -1
			if p.Int(&code, 0, 255)(item, fmt.Sprintf("%s[%d]", at, i)); code >= 0 {
				proc.SuccessExitStatus = append(proc.SuccessExitStatus, strconv.Itoa(code))
			}
		}
	}
}
