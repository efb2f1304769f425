package compose

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/services"
)

// TestProblems wants each sentence, with its line, and no other.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		want       []string
		left       string // the services that are returned beside
	}{
		{"nothing", " \n", []string{"f: the file is empty"}, ""},
		{"a list", "- a\n", []string{`f:1: the file is a list; it must be a map`}, ""},
		{"a text", "hello\n", []string{`f:1: the file is "hello"; it must be a map`}, ""},
		{"no processes", "version: '0.5'\n", []string{"f:1: there are no processes"}, ""},
		{"an unknown key", "processes:\n  a:\n    command: a\n    workingDir: /\n", []string{"f:4: processes.a.workingDir is not a key that is known; is it working_dir?"}, "a"},
		{"an unknown key at the top", "proceses: {}\nprocesses: {a: {command: a}}\n", []string{"f:1: proceses is not a key that is known; is it processes?"}, "a"},
		{"an unknown key like none", "processes:\n  a: {command: a, ports: yes}\n", []string{"f:2: processes.a.ports is not a key that is known"}, "a"},
		{"a wrong type", "processes:\n  a:\n    command: [a]\n", []string{"f:3: processes.a.command is a list; it must be a text"}, ""},
		{"a process that is none", "processes:\n  a: 1\n  b: {command: b}\n", []string{`f:2: processes.a is "1"; it must be a map`}, "b"},
		{"processes that are none", "processes: [a]\n", []string{"f:1: processes is a list; it must be a map"}, ""},
		{"no command", "processes:\n  a: {}\n", []string{"f:2: processes.a has neither command nor entrypoint"}, ""},
		{"an empty command", "processes:\n  a: {command: ''}\n", []string{"f:2: processes.a has neither command nor entrypoint"}, ""},
		{"a bad number", "processes:\n  a:\n    command: a\n    readiness_probe:\n      http_get: {port: 70000}\n      period_seconds: soon\n",
			[]string{`f:5: processes.a.readiness_probe.http_get.port is "70000"; it must be a whole number from 1 to 65535`,
				`f:6: processes.a.readiness_probe.period_seconds is "soon"; it must be a number of seconds`}, "a"},
		{"a bad truth value", "processes:\n  a: {command: a, disabled: maybe}\n", []string{`f:2: processes.a.disabled is "maybe"; it must be true or false`}, "a"},
		{"a probe that asks nothing", "processes:\n  a: {command: a, readiness_probe: {exec: {}}}\n", []string{"f:2: processes.a.readiness_probe.exec has no command"}, "a"},
		{"an empty probe", "processes:\n  a: {command: a, liveness_probe: {}}\n", []string{"f:2: processes.a.liveness_probe asks nothing; give exec.command or http_get"}, "a"},
		{"a bad scheme", "processes:\n  a: {command: a, liveness_probe: {http_get: {scheme: ftp}}}\n", []string{`scheme is "ftp", which is none of http, https`}, "a"},
		{"a bad signal", "processes:\n  a: {command: a, shutdown: {signal: 64}}\n", []string{`f:2: processes.a.shutdown.signal is "64"; it must be a signal: a number from 1 to 31, or a name such as SIGINT`}, "a"},
		{"a bad restart", "processes:\n  a: {command: a, availability: {restart: on-failure}}\n",
			[]string{`f:2: processes.a.availability.restart is "on-failure", which is none of always, exit_on_failure, no, on_failure`}, "a"},
		{"a bad name", "processes:\n  a b: {command: a}\n", []string{"f:2: service a b: the name must be"}, ""},
		{"a name given twice", "processes:\n  a: {command: a}\n  a: {command: b}\n", []string{"f:3: processes.a is given twice, first in line 2, which holds"}, "a"},
		{"a key given twice", "processes:\n  a:\n    command: a\n    command: b\n", []string{"f:4: processes.a.command is given twice, first in line 3, which holds"}, "a"},
		{"a name that a replica has", "processes:\n  a: {command: a, replicas: 2}\n  a-1: {command: b}\n", []string{"f:3: service a-1: the name is taken by a replica"}, "a-0 a-1"},
		{"an unknown dependency", "processes:\n  a:\n    command: a\n    depends_on:\n      bb: {condition: process_started}\n  ab: {command: b}\n",
			[]string{"f:5: processes.a depends on bb, which is not there; is it ab?"}, "a ab"},
		{"an unknown condition", "processes:\n  a:\n    command: a\n    depends_on:\n      b: {condition: process_up}\n  b: {command: b}\n",
			[]string{`f:5: processes.a.depends_on.b.condition is "process_up", which is none of process_completed, `}, "a b"},
		{"dependencies as a list", "processes:\n  a: {command: a, depends_on: [b]}\n", []string{"f:2: processes.a.depends_on is a list; it must be a map"}, "a"},
		{"healthy without a probe", "processes:\n  a: {command: a, depends_on: {b: {condition: process_healthy}}}\n  b: {command: b}\n",
			[]string{"f:2: processes.a waits for b to be healthy, which has no readiness_probe"}, "a b"},
		{"a line of no log", "processes:\n  a: {command: a, depends_on: {b: {condition: process_log_ready}}}\n  b: {command: b}\n",
			[]string{"f:2: processes.a waits for a line of b's log, which has no ready_log_line"}, "a b"},
		{"the end of what never ends", "processes:\n  a: {command: a, depends_on: {b: {}}}\n  b: {command: b, availability: {restart: always}}\n",
			[]string{"f:2: processes.b is waited for until it has completed, but it is always restarted; give another condition"}, "a b"},
		{"the end of a daemon", "processes:\n  a: {command: a, depends_on: {b: {}}}\n  b: {command: b, is_daemon: true}\n",
			[]string{"f:2: processes.b is waited for until it has completed, but it is a daemon"}, "a b"},
		{"ready and over", "processes:\n  a: {command: a, depends_on: {b: {}}}\n  b: {command: b, ready_log_line: x}\n  c: {command: c, depends_on: {b: {condition: process_log_ready}}}\n",
			[]string{"f:2: processes.b is waited for until it has completed, but c waits for it to be ready"}, "a b c"},
		{"a circle", "processes:\n  b: {command: b, depends_on: {a: {}}}\n  a: {command: a, depends_on: {b: {}}}\n",
			[]string{"f:2: service b: the order goes round in a circle: [b a]"}, "b a"},
		{"itself", "processes:\n  a: {command: a, depends_on: {a: {condition: process_started}}}\n", []string{"f:2: processes.a.depends_on.a is the process itself"}, "a"},
		{"a variable without a value", "processes:\n  a: {command: a, environment: [A]}\n", []string{`f:2: processes.a.environment: "A" is not of the form NAME=VALUE`}, "a"},
		{"a variable without a name", "processes:\n  a: {command: a, environment: [=A]}\n", []string{`f:2: processes.a.environment: "" cannot be the name of a variable`}, "a"},
		{"NUL", "processes:\n  a: {command: \"a\\0b\"}\n", []string{"f:2: processes.a.command holds a NUL byte"}, ""},
		{"NUL in JSON", `{"processes": {"a": {"command": "a", "log_location": "\u0000"}}}`, []string{"f:1: processes.a.log_location holds a NUL byte"}, "a"},
		{"schedule", "processes:\n  a:\n    command: a\n    schedule: {cron: '* * * * *'}\n", []string{"f:4: processes.a.schedule is not supported; use a command such as: while sleep 3600; do …; done"}, "a"},
		{"extends", "processes:\n  a: {command: a, extends: b}\n", []string{"f:2: processes.a.extends is not supported; give the keys of that process here"}, "a"},
		{"too many replicas", "processes:\n  a: {command: a, replicas: 1000000000}\n", []string{`f:2: processes.a.replicas is "1000000000"; it must be a whole number from 0 to 1000`}, "a"},
		{"not UTF-8", "processes:\n  a: {command: \xff}\n", []string{"f:2: there is a byte that is not UTF-8"}, ""},
		{"not YAML", "processes:\n  a: {command: a\n", []string{"f:2: this YAML cannot be read: "}, ""},
		{"not JSON", "{\n  \"processes\": {\n    \"a\": {\"command\": \"a\",, }\n}}", []string{"f:3: this is not JSON: invalid character ','"}, ""},
		{"half a JSON", "{\n  \"processes\": {\n", []string{"the JSON ends too early"}, ""},
		{"two documents", "processes: {}\n---\nprocesses: {}\n", []string{"f:3: a second YAML document begins here; one is read"}, ""},
		{"an alias of nothing", "processes:\n  a: *b\n", []string{"f:2: there is no anchor &b above"}, ""},
		{"an alias of itself", "processes: &p\n  a: *p\n", []string{"f:2: there is no anchor &p above"}, ""},
		{"all of them", "processes:\n  a: {command: a, x: 1, disabled: 2}\n  b: {}\n",
			[]string{"f:2: processes.a.x is not", `f:2: processes.a.disabled is "2"`, "f:3: processes.b has neither"}, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := Parse("f", []byte(c.yaml), Options{})
			wants(t, err, c.want...)
			if n := len(services.Split(err)); n != len(c.want) {
				t.Errorf("%d problems, want %d:\n%v", n, len(c.want), err)
			}
			for _, e := range services.Split(err) {
				var problem *services.Problem
				if !errors.As(e, &problem) {
					t.Errorf("%v is no Problem", e)
				}
			}
			var left []string
			for _, svc := range list {
				left = append(left, svc.Name)
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("%q are left, want %q", got, c.left)
			}
		})
	}
}

func TestKnownServices(t *testing.T) {
	all := goodWith(t, "processes: {a: {command: a, depends_on: {gpu: {condition: process_completed_successfully}}}}", Options{Known: []string{"gpu"}})
	same(t, "Requires", all["a"].Requires, []string{"gpu"})
}

// TestHostile is about files that would take a parser too much time, memory or stack.
func TestHostile(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("x-0: &a0 {k: v}\n")
	for i := range 40 {
		fmt.Fprintf(&bomb, "x-%d: &a%d {l: [*a%d, *a%d], <<: [*a%d, *a%d]}\n", i+1, i+1, i, i, i, i)
	}
	bomb.WriteString("processes: {a: {command: a, vars: *a40}}\n")
	for _, c := range []struct{ name, text, want string }{
		{"an alias bomb", bomb.String(), "f:41: processes.a.vars.l is a list; it must be a text"},
		{"10 MB of YAML in a line", "processes: {a: {command: " + strings.Repeat("a", 10<<20) + "}}", "f: it has too much in it for YAML; give it as JSON"},
		{"17 MB of JSON", `{"processes": {"a": {"command": "` + strings.Repeat("a", 17<<20) + `"}}}`, "bytes; 16777216 are the most"},
		{"brackets", strings.Repeat("[", 100_000), "it has too much in it"},
		{"fewer brackets", strings.Repeat("[", 10_000), "f:1: it is nested too deeply"},
		{"braces", strings.Repeat(`{"a":`, 100_000), "f:1: it is nested too deeply"},
		{"dashes", strings.Repeat("- ", 10_000), "f:1: it is nested too deeply"},
		{"question marks", strings.Repeat("? ", 10_000), "f:1: it is nested too deeply"},
		{"a deep block", func() string {
			var b strings.Builder
			for i := range 500 {
				fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
			}
			return b.String()
		}(), "it is nested too deeply"},
		{"many keys", func() string {
			var b strings.Builder
			for i := range 20_000 {
				fmt.Fprintf(&b, "k%d: v\n", i)
			}
			return b.String()
		}(), "it has too much in it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := Parse("f", []byte(c.text), Options{})
			wants(t, err, c.want)
			for _, e := range services.Split(err) {
				if len(e.Error()) > 400 {
					t.Errorf("a message of %d bytes", len(e.Error()))
				}
			}
			if len(list) > 1 {
				t.Errorf("%d services", len(list))
			}
		})
	}
	p := good(t, `{"processes": {"a": {"command": "`+strings.Repeat("a", 10<<20)+`"}}}`)["a"]
	same(t, "the length of 10 MB in JSON", len(p.ExecStart[0].Argv[2]), 10<<20)
}

// FuzzCompose wants every service that comes out to be one that the supervisor takes.
func FuzzCompose(f *testing.F) {
	for _, seed := range []string{
		"processes: {a: {command: a}}",
		"x-b: &b {restart: always}\nprocesses:\n  a:\n    command: |\n      x\n    availability: {<<: *b}\n    depends_on: {c: {condition: process_healthy}}\n  c: {command: c, replicas: 2, readiness_probe: {http_get: {port: 1}}}\n",
		`{"processes": {"a": {"command": "${A:-b} {{.PC_REPLICA_NUM}}", "shutdown": {"signal": 2}}}}`,
		"processes:\n  a: {command: a, depends_on: {b: }}\n  b: {entrypoint: [b], is_daemon: true, liveness_probe: {exec: {command: x, working_dir: y}}}\n",
		"? [a]\n: !!str b\n--- \n", "a: &a [*a]", "processes: {a: {environment: {A: null, '=': 1}}}", "{", "[", "- -", "\x00", "%YAML 1.2\n---\na",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Parse("f", b, Options{Environ: []string{"A=1"}})
		seen := map[string]bool{}
		for _, svc := range list {
			if bad := svc.Validate(); bad != nil {
				t.Errorf("a service that is not good: %v", bad)
			}
			if seen[svc.Name] {
				t.Errorf("%s is there twice", svc.Name)
			}
			seen[svc.Name] = true
		}
		for _, e := range services.Split(err) {
			var problem *services.Problem
			if !errors.As(e, &problem) || problem.Text == "" {
				t.Errorf("%#v is no Problem with a text", e)
			}
		}
		again, _ := Parse("f", b, Options{Environ: []string{"A=1"}})
		if len(again) != len(list) {
			t.Errorf("%d services, then %d", len(list), len(again))
		}
	})
}
