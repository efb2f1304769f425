package compose

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

// good reads a text that has no problem.
func good(t *testing.T, text string) map[string]services.Service {
	t.Helper()
	return goodWith(t, text, Options{})
}

func goodWith(t *testing.T, text string, o Options) map[string]services.Service {
	t.Helper()
	list, err := Parse("pc.yaml", []byte(text), o)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return byName(list)
}

func byName(list []services.Service) map[string]services.Service {
	all := map[string]services.Service{}
	for _, svc := range list {
		all[svc.Name] = svc
	}
	return all
}

// same compares the JSON-like values of a table.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

func fixture(t *testing.T, name string) map[string]services.Service {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return good(t, string(b))
}

const bash = "/nix/store/b1-bash-5.2/bin/bash"

func TestPostgresOfServicesFlake(t *testing.T) {
	all := fixture(t, "postgres.json")
	setup, pg := all["pg1-init"], all["pg1"]
	same(t, "the set-up's type", setup.Type, services.Oneshot)
	same(t, "the set-up's restart", setup.Restart, services.RestartNo)
	same(t, "Requires", pg.Requires, []string{"pg1-init"})
	same(t, "KillSignal", pg.KillSignal, services.Signal("SIGINT"))
	same(t, "Restart", pg.Restart, services.RestartOnFailure)
	same(t, "MaxRestarts", pg.MaxRestarts, 5)
	same(t, "Description", pg.Description, "postgres.pg1")
	same(t, "WorkingDirectory", pg.WorkingDirectory, "/")
	same(t, "ExecStart", pg.ExecStart, services.Argv(bash, "-c", "/nix/store/p2-start-postgres/bin/start-postgres"))
	same(t, "Probe", pg.Probe, &services.Probe{
		Exec:            []string{bash, "-c", `/nix/store/p3-pg-ready/bin/pg_isready -h $(readlink -f "./data/pg1") -d template1`},
		InitialDelaySec: services.Seconds(2), TimeoutSec: services.Seconds(4), SuccessThreshold: 1})
	same(t, "TimeoutStartSec", pg.TimeoutStartSec, services.Seconds(52))
	same(t, "Liveness", pg.Liveness, &services.Probe{Exec: pg.Probe.Exec, PeriodSec: services.Seconds(10),
		TimeoutSec: services.Seconds(4), FailureThreshold: 5})
	same(t, "Unapplied", pg.Unapplied, []string(nil))
	same(t, "Source", pg.Source, "pc.yaml:11")
}

func TestRedisClusterOfServicesFlake(t *testing.T) {
	all := fixture(t, "redis-cluster.json")
	same(t, "ExecStop", all["c-n1"].ExecStop, services.Argv(bash, "-c", "/nix/store/r2-redis/bin/redis-cli -p 30001 shutdown nosave"))
	same(t, "Exec", all["c-n2"].Probe.Exec, []string{bash, "-c", "/nix/store/r2-redis/bin/redis-cli -p 30002 ping | grep -q PONG"})
	create := all["c-cluster-create"]
	same(t, "Requires", create.Requires, []string{"c-n1", "c-n2"})
	same(t, "Type", create.Type, services.Simple)
	same(t, "command", create.ExecStart[0].Argv[2], "/nix/store/r4-create/bin/create --cluster-replicas 0 \\\n  --cluster-yes")
}

func TestOpenWebuiOfServicesFlake(t *testing.T) {
	all := fixture(t, "open-webui.json")
	same(t, "HTTP", all["ollama"].Probe.HTTP, "http://127.0.0.1:11434/")
	same(t, "HTTP without a host", all["open-webui"].Probe.HTTP, "http://127.0.0.1:1111/health")
	same(t, "SuccessThreshold", all["open-webui"].Probe.SuccessThreshold, 2)
	same(t, "TimeoutStartSec", all["open-webui"].TimeoutStartSec, services.Seconds(45))
	same(t, "OLLAMA_HOST", all["ollama"].Environment["OLLAMA_HOST"], "127.0.0.1:11434")
	same(t, "Requires", all["open-webui"].Requires, []string{"ollama-models"})
	same(t, "Type", all["ollama-models"].Type, services.Oneshot)
}

// TestSemantics has one case for each thing that process-compose's users rely on.
func TestSemantics(t *testing.T) {
	second := services.Seconds(1)
	for _, c := range []struct {
		name, yaml string // of processes.p, indented by four
		field      func(services.Service) any
		want       any
	}{
		{"a shell reads the command", "command: a | b", func(s services.Service) any { return s.ExecStart[0].Argv }, []string{"bash", "-c", "a | b"}},
		{"no shell reads an entrypoint", "entrypoint: [/bin/a, 'b c']", func(s services.Service) any { return s.ExecStart[0].Argv }, []string{"/bin/a", "b c"}},
		{"the command wins", "command: a\n    entrypoint: [b]", func(s services.Service) any { return s.ExecStart[0].Argv[2] }, "a"},
		{"… and that is said", "command: a\n    entrypoint: [b]", func(s services.Service) any { return s.Unapplied }, []string{"entrypoint"}},
		{"no restart by default", "command: a", func(s services.Service) any { return s.Restart }, services.RestartNo},
		{"restart: no", "command: a\n    availability: {restart: no}", func(s services.Service) any { return s.Restart }, services.RestartNo},
		{"restart: always", "command: a\n    availability: {restart: always}", func(s services.Service) any { return s.Restart }, services.RestartAlways},
		{"restart: on_failure", "command: a\n    availability: {restart: on_failure}", func(s services.Service) any { return s.Restart }, services.RestartOnFailure},
		{"restart: exit_on_failure", "command: a\n    availability: {restart: exit_on_failure}", func(s services.Service) any { return [2]any{s.Restart, s.FailureAction} },
			[2]any{services.RestartNo, services.ActionExit}},
		{"exit_on_end", "command: a\n    availability: {exit_on_end: true}", func(s services.Service) any { return [3]any{s.Essential, s.SuccessAction, s.FailureAction} },
			[3]any{true, services.ActionExit, services.ActionExit}},
		{"exit_on_skipped alone", "command: a\n    availability: {exit_on_skipped: true}", func(s services.Service) any { return s.Unapplied }, []string{"exit_on_skipped"}},
		{"backoff_seconds", "command: a\n    availability: {backoff_seconds: 1}", func(s services.Service) any { return s.RestartSec }, &second},
		{"backoff_seconds: 0", "command: a\n    availability: {backoff_seconds: 0}", func(s services.Service) any { return s.RestartSec == nil }, true},
		{"success_exit_codes", "command: a\n    success_exit_codes: [3, 143]", func(s services.Service) any { return s.SuccessExitStatus }, services.ExitStatuses{"3", "143"}},
		{"SIGTERM by default", "command: a", func(s services.Service) any { return s.KillSignal }, services.Signal("SIGTERM")},
		{"signal 0 is the default", "command: a\n    shutdown: {signal: 0}", func(s services.Service) any { return s.KillSignal }, services.Signal("SIGTERM")},
		{"a signal by number", "command: a\n    shutdown: {signal: 3}", func(s services.Service) any { return s.KillSignal }, services.Signal("SIGQUIT")},
		{"a signal by name", "command: a\n    shutdown: {signal: int}", func(s services.Service) any { return s.KillSignal }, services.Signal("SIGINT")},
		{"the whole group", "command: a", func(s services.Service) any { return s.KillMode }, services.KillGroup},
		{"parent_only", "command: a\n    shutdown: {parent_only: yes}", func(s services.Service) any { return s.KillMode }, services.KillMixed},
		{"SIGKILL in the end", "command: a", func(s services.Service) any { return s.TimeoutStopSec }, services.Seconds(8)},
		{"timeout_seconds", "command: a\n    shutdown: {timeout_seconds: 4}", func(s services.Service) any { return s.TimeoutStopSec }, services.Seconds(4)},
		{"disabled", "command: a\n    disabled: true", func(s services.Service) any { return s.Disabled }, true},
		{"is_disabled wins", "command: a\n    is_disabled: 'false'\n    disabled: true", func(s services.Service) any { return s.Disabled }, false},
		{"is_disabled", "command: a\n    is_disabled: 'true'", func(s services.Service) any { return s.Disabled }, true},
		{"is_foreground waits for a hand", "command: a\n    is_foreground: true", func(s services.Service) any { return s.Disabled }, true},
		{"is_daemon", "command: a\n    is_daemon: true\n    launch_timeout_seconds: 7", func(s services.Service) any { return [2]any{s.Type, s.TimeoutStartSec} },
			[2]any{services.Forking, services.Seconds(7)}},
		{"is_tty is said", "command: a\n    is_tty: true", func(s services.Service) any { return s.Unapplied }, []string{"is_tty"}},
		{"is_tty: false is not", "command: a\n    is_tty: false", func(s services.Service) any { return s.Unapplied }, []string(nil)},
		{"ready_log_line", "command: a\n    ready_log_line: up", func(s services.Service) any { return [2]any{s.ReadyLine, s.TimeoutStartSec} }, [2]any{"up", never}},
		{"a relative working_dir", "command: a\n    working_dir: b", func(s services.Service) any { return s.WorkingDirectory }, "/srv/b"},
		{"x-tailnet", "command: a\n    x-tailnet: transparent", func(s services.Service) any { return s.Tailnet }, services.TailnetTransparent},
		{"no working_dir", "command: a", func(s services.Service) any { return s.WorkingDirectory }, "/srv"},
		{"a relative log_location", "command: a\n    log_location: ./a.log", func(s services.Service) any { return s.LogLocation }, "/srv/a.log"},
		{"a relative env_file", "command: a\n    env_file: .env", func(s services.Service) any { return s.EnvironmentFile }, []string{"/srv/.env"}},
		{"namespaces", "command: a\n    namespace: [x, y]", func(s services.Service) any { return s.Description }, "x, y"},
		{"description first", "command: a\n    namespace: x\n    description: d", func(s services.Service) any { return s.Description }, "d"},
		{"environment as a map", "command: a\n    environment: {A: 1, B: 'x=y', C: }", func(s services.Service) any {
			return [3]any{s.Environment["A"], s.Environment["B"], s.Environment["C"]}
		}, [3]any{"1", "x=y", ""}},
		{"metadata", "command: a", func(s services.Service) any { return s.Environment }, map[string]string{"PC_PROC_NAME": "p", "PC_REPLICA_NUM": "0"}},
	} {
		all := goodWith(t, "processes:\n  p:\n    "+c.yaml+"\n", Options{Dir: "/srv"})
		same(t, c.name+": it", c.field(all["p"]), c.want)
	}
}

func TestProbes(t *testing.T) {
	for _, c := range []struct {
		name, yaml  string
		ready, live *services.Probe
		start       time.Duration
	}{
		{"defaults", "readiness_probe: {http_get: {}}", &services.Probe{HTTP: "http://127.0.0.1/"}, &services.Probe{HTTP: "http://127.0.0.1/"}, 90 * time.Second},
		{"a quoted port", "readiness_probe: {http_get: {port: '80', path: x}}", &services.Probe{HTTP: "http://127.0.0.1:80/x"}, &services.Probe{HTTP: "http://127.0.0.1:80/x"}, 90 * time.Second},
		{"everything", "readiness_probe: {http_get: {host: '::1', scheme: http, path: '/a?b', port: 8443, status_code: 404, headers: {H: v}}, success_threshold: 2}",
			&services.Probe{HTTP: "http://[::1]:8443/a?b", Status: 404, Headers: map[string]string{"H": "v"}, SuccessThreshold: 2},
			&services.Probe{HTTP: "http://[::1]:8443/a?b", Status: 404, Headers: map[string]string{"H": "v"}}, 90 * time.Second},
		{"exec first", "readiness_probe: {exec: {command: c}, http_get: {port: 1}}", &services.Probe{Exec: []string{"bash", "-c", "c"}}, &services.Probe{Exec: []string{"bash", "-c", "c"}}, 90 * time.Second},
		{"its own folder", "readiness_probe: {exec: {command: c, working_dir: it's}}", &services.Probe{Exec: []string{"bash", "-c", "cd -- '/it'\\''s' || exit 1\nc"}},
			&services.Probe{Exec: []string{"bash", "-c", "cd -- '/it'\\''s' || exit 1\nc"}}, 90 * time.Second},
		{"patience", "readiness_probe: {http_get: {port: 1}, initial_delay_seconds: 1, period_seconds: 5, failure_threshold: 4}",
			&services.Probe{HTTP: "http://127.0.0.1:1/", InitialDelaySec: services.Seconds(1)},
			&services.Probe{HTTP: "http://127.0.0.1:1/", PeriodSec: services.Seconds(5), FailureThreshold: 4}, 21 * time.Second},
		{"patience by defaults", "readiness_probe: {http_get: {port: 1}, failure_threshold: 6}",
			&services.Probe{HTTP: "http://127.0.0.1:1/"}, &services.Probe{HTTP: "http://127.0.0.1:1/", FailureThreshold: 6}, 60 * time.Second},
		{"liveness alone", "liveness_probe: {http_get: {port: 1}, initial_delay_seconds: 3}", nil,
			&services.Probe{HTTP: "http://127.0.0.1:1/", InitialDelaySec: services.Seconds(3)}, 90 * time.Second},
		{"both", "readiness_probe: {http_get: {port: 1}}\n    liveness_probe: {http_get: {port: 2}, period_seconds: 1, timeout_seconds: 2}",
			&services.Probe{HTTP: "http://127.0.0.1:1/"}, &services.Probe{HTTP: "http://127.0.0.1:2/", PeriodSec: services.Seconds(1), TimeoutSec: services.Seconds(2)}, 90 * time.Second},
	} {
		p := good(t, "processes:\n  p:\n    command: a\n    "+c.yaml+"\n")["p"]
		same(t, c.name+": Probe", p.Probe, c.ready)
		same(t, c.name+": Liveness", p.Liveness, c.live)
		same(t, c.name+": TimeoutStartSec", time.Duration(p.TimeoutStartSec), c.start)
	}
}

func TestConditions(t *testing.T) {
	all := good(t, `
processes:
  web:
    command: web
    depends_on:
      a: {condition: process_started}
      b: {condition: process_healthy}
      c: {condition: process_completed}
      d: {condition: process_completed_successfully}
      e: {condition: process_log_ready}
      f: {}
      g:
  a: {command: a}
  b: {command: b, readiness_probe: {http_get: {port: 1}}}
  c: {command: c, readiness_probe: {http_get: {port: 1}}}
  d: {command: d, availability: {restart: on_failure}}
  e: {command: e, ready_log_line: listening}
  f: {command: f}
  g: {command: g}
`)
	web := all["web"]
	same(t, "AfterStart", web.AfterStart, []string{"a"})
	same(t, "Requires", web.Requires, []string{"b", "d", "e"})
	same(t, "After", web.After, []string{"c", "f", "g"})
	same(t, "Wants", web.Wants, []string{"a", "c", "f", "g"})
	for name, want := range map[string]services.Type{"a": services.Simple, "b": services.Simple, "c": services.Oneshot,
		"d": services.Oneshot, "e": services.Simple, "f": services.Oneshot, "g": services.Oneshot} {
		same(t, "the type of "+name, all[name].Type, want)
	}
	same(t, "what has no effect on c", all["c"].Unapplied, []string{"readiness_probe"})
	same(t, "the restart of d", all["d"].Restart, services.RestartOnFailure)
}

func TestReplicas(t *testing.T) {
	all := good(t, `
vars: {BASE: 80}
processes:
  w:
    command: serve -p {{.BASE}}{{ .PC_REPLICA_NUM }}
    replicas: 2
    readiness_probe: {http_get: {port: "80{{.PC_REPLICA_NUM}}"}}
  lb: {command: lb, depends_on: {w: {condition: process_healthy}}}
  one: {command: one, depends_on: {w-1: {condition: process_started}}}
  many: {command: many, replicas: 10}
`)
	same(t, "w-1's command", all["w-1"].ExecStart[0].Argv[2], "serve -p 801")
	same(t, "w-1's probe", all["w-1"].Probe.HTTP, "http://127.0.0.1:801/")
	same(t, "w-1's environment", all["w-1"].Environment, map[string]string{"PC_PROC_NAME": "w", "PC_REPLICA_NUM": "1"})
	same(t, "lb's Requires", all["lb"].Requires, []string{"w-0", "w-1"})
	same(t, "one's AfterStart", all["one"].AfterStart, []string{"w-1"})
	if _, ok := all["many-09"]; !ok {
		t.Errorf("the tenth replica is not many-09: there are %d services", len(all))
	}
}

func TestEnvironmentPrecedence(t *testing.T) {
	p := good(t, `
environment: [A=global, B=global, PC_PROC_NAME=mine]
env_file: /etc/all.env
processes: {p: {command: a, env_file: /etc/p.env, environment: [B=own]}}
`)["p"]
	same(t, "the environment", p.Environment, map[string]string{"A": "global", "B": "own", "PC_PROC_NAME": "mine", "PC_REPLICA_NUM": "0"})
	same(t, "the files", p.EnvironmentFile, []string{"/etc/all.env", "/etc/p.env"})
}

func TestExpansion(t *testing.T) {
	environ := []string{"A=1", "EMPTY=", "Q=it's \"x\"\n- y"}
	for _, c := range []struct {
		text, want string
		o          Options
	}{
		{"a $A ${A} $${A} $$A", "a $A 1 ${A} $A", Options{Environ: environ}},
		{"${NONE}|${NONE:-d}|${EMPTY:-d}|${EMPTY-d}|${A:=d}", "|d|d||1", Options{Environ: environ}},
		{"${Q}", "it's \"x\"\n- y", Options{Environ: environ}},
		{"${A} $${A} $1 $", "${A} ${A} $1 $", Options{}},
		{"${A}", "", Options{Environ: []string{}}},
	} {
		p := goodWith(t, "processes:\n  p:\n    command: x "+c.text+"\n", c.o)["p"]
		same(t, c.text, p.ExecStart[0].Argv[2], "x "+c.want)
		off := goodWith(t, "disable_env_expansion: true\nprocesses:\n  p:\n    command: x "+c.text+"\n", c.o)["p"]
		same(t, c.text+" as it is", off.ExecStart[0].Argv[2], "x "+c.text)
	}
	_, err := Parse("f", []byte("processes:\n  p:\n    command: ${A^^}\n"), Options{Environ: environ})
	wants(t, err, `f:3: processes.p.command: "${A^^}" is neither ${NAME} nor ${NAME:-default}`)
	p := goodWith(t, "processes: {p: {command: a, readiness_probe: {http_get: {port: \"${A}\"}}}}", Options{Environ: environ})["p"]
	same(t, "a port from the environment", p.Probe.HTTP, "http://127.0.0.1:1/")
}

func TestTemplates(t *testing.T) {
	p := good(t, "processes: {p: {command: \"docker ps --format '{{.Names}}'\", is_template_disabled: true, entrypoint: [\"{{.X}}\"]}}")["p"]
	same(t, "the command", p.ExecStart[0].Argv[2], "docker ps --format '{{.Names}}'")
	p = good(t, `{"processes": {"p": {"command": "docker inspect -f {{ \"{{.State.Running}}\" }} x {{.PC_REPLICA_NUM}}"}}}`)["p"]
	same(t, "braces of its own", p.ExecStart[0].Argv[2], "docker inspect -f {{.State.Running}} x 0")
	_, err := Parse("f", []byte("processes: {p: {command: \"{{.Nmaes}}\"}}"), Options{})
	wants(t, err, `f:1: processes.p.command: "{{.Nmaes}}" is not {{.NAME}} of one of vars`)
}

func TestYAML(t *testing.T) {
	all := good(t, `
x-base: &base
  availability: &again {restart: on_failure, max_restarts: 2}
  environment: [A=1]
processes:
  a:
    <<: *base
    command: |
      one
      two
  b: {<<: *base, command: b, availability: {<<: *again, max_restarts: 3}}
  x-note: anything
`)
	same(t, "a's command", all["a"].ExecStart[0].Argv[2], "one\ntwo\n")
	same(t, "a's Restart", all["a"].Restart, services.RestartOnFailure)
	same(t, "b's MaxRestarts", all["b"].MaxRestarts, 3)
	same(t, "b's Restart", all["b"].Restart, services.RestartOnFailure)
	same(t, "the number of services", len(all), 2)
}

func wants(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !slices.ContainsFunc(services.Split(err), func(e error) bool { return strings.Contains(e.Error(), text) }) {
			t.Errorf("the error lacks %q:\n%v", text, err)
		}
	}
}
