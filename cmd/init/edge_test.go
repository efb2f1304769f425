package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	boot "github.com/fleek-platform/nix2vast/init"
)

// The tests of edge_*_test.go hold init to what containers do to their PID 1: a
// test each, with real programs in a real box. Where one measures a time it
// counts the processor time of PID 1, or gives the clock room: they run beside
// each other, on machines that are busy.

// edge is a box with services.
type edge struct{ *foreground }

// services is the JSON object of a config's services.
type services []string

func (s services) String() string { return "{" + strings.Join(s, ", ") + "}" }

// script defines a service that is a shell script; more is JSON, such as
// `"Type": "oneshot"`.
func script(name, text string, more ...string) string { return program(name, more, "sh", "-c", text) }

func program(name string, more []string, argv ...string) string {
	list, err := json.Marshal(argv)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%q: {%s}", name, strings.Join(append([]string{`"ExecStart": ` + string(list)}, more...), ", "))
}

// startEdge boots a box with services, and further arguments of the program box.
func startEdge(t *testing.T, list services, args ...string) *edge {
	t.Helper()
	return &edge{startForeground(t, nil, append(edgeArgs(t, list), args...)...)}
}

// edgeArgs put the services into the config of a box.
func edgeArgs(t *testing.T, list services) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"version": 1, "services": `+list.String()+`}`), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"-e", "NIX2VAST_GPU=off", "-put", "/etc/nix2vast/config.json=" + file}
}

// prelude are arguments of the program box: a shell script runs in the box before
// it becomes init.
func prelude(script string) []string {
	return []string{"-exec", "/bin/sh", "-c", script + "\nexec /init"}
}

// path is where a file of the box is, seen from outside.
func (e *edge) path(file string) string {
	return fmt.Sprintf("/proc/%d/root%s", e.cmd.Process.Pid, file)
}

// ask gets the status by the control socket, without a process in the box.
func (e *edge) ask() (st boot.Status, err error) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", e.path("/run/nix2vast/control.sock"))
		},
	}}
	answer, err := client.Get("http://init/v1/status")
	if err != nil {
		return st, err
	}
	defer answer.Body.Close()
	return st, json.NewDecoder(answer.Body).Decode(&st)
}

// init runs a verb of init in the box and returns what it printed.
func (e *edge) init(args ...string) string {
	e.t.Helper()
	return e.inside(append([]string{"/init"}, args...)...)
}

// inside runs a command in the box, which has to end well.
func (e *edge) inside(args ...string) string {
	e.t.Helper()
	out, err := e.run(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// run is inside for a goroutine of a test, which must not end the test.
func (e *edge) run(args ...string) (string, error) {
	enter := []string{"-t", strconv.Itoa(e.cmd.Process.Pid), "-m", "-p", "-n", "-i", "-u", "-r", "-w"}
	if os.Getuid() != 0 {
		enter = append(enter, "-U", "--preserve-credentials")
	}
	enter = append(enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	out, err := exec.Command("nsenter", append(enter, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%q in the box: %w: %s\nthe box printed:\n%s", args, err, out, e)
	}
	return string(out), nil
}

// status is init status --json, run in the box.
func (e *edge) status() (st boot.Status) {
	e.t.Helper()
	if err := json.Unmarshal([]byte(e.inside("sh", "-c", "/init status --json || :")), &st); err != nil {
		e.t.Fatalf("init status --json: %v; the box printed:\n%s", err, e)
	}
	return st
}

// service is what one service's status tells, reduced to what the tests ask for.
type service struct {
	State, Note, Result     string
	Pid, Restarts, ExitCode int
}

func serviceOf(st boot.Status, name string) (s service, ok bool) {
	for _, x := range st.Services {
		if x.Name == name {
			return service{x.State.String(), x.Note, x.Result, x.Pid, x.Restarts, x.ExitCode}, true
		}
	}
	return s, false
}

// service is where one stands now, by init status --json.
func (e *edge) service(name string) service {
	e.t.Helper()
	s, ok := serviceOf(e.status(), name)
	if !ok {
		e.t.Fatalf("there is no service %s", name)
	}
	return s
}

// waits polls a service by the control socket.
func (e *edge) waits(name, what string, holds func(service) bool) (s service) {
	e.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		st, err := e.ask()
		var ok bool
		if s, ok = serviceOf(st, name); ok && holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("waited in vain until %s is %s: it is %+v, %v; the box printed:\n%s", name, what, s, err, e)
		}
	}
}

// ready waits until a service is, with a main process, and for the n-th time.
func (e *edge) ready(name string, restarts int) service {
	e.t.Helper()
	return e.waits(name, "ready", func(s service) bool { return s.State == "ready" && s.Pid != 0 && s.Restarts >= restarts })
}

// processor is how much of it PID 1 has used, all threads together.
func (f *foreground) processor() time.Duration { return processorOf(f.t, f.cmd.Process.Pid) }

func processorOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// utime and stime are fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// outside is the pid outside of a process of the box.
func (e *edge) outside(pid int) int {
	e.t.Helper()
	for other := range e.children() {
		b, _ := os.ReadFile("/proc/" + other + "/status")
		_, rest, _ := strings.Cut(string(b), "NSpid:")
		rest, _, _ = strings.Cut(rest, "\n")
		if f := strings.Fields(rest); len(f) > 0 && f[len(f)-1] == strconv.Itoa(pid) {
			n, _ := strconv.Atoi(other)
			return n
		}
	}
	e.t.Fatalf("PID 1 has no child %d", pid)
	return 0
}

// read is what a file of the box holds; nothing as long as there is none.
func (e *edge) read(file string) string {
	b, _ := os.ReadFile(e.path(file)) // it may not be there yet
	return string(b)
}
