package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A SIGTERM at any point of the boot ends it: what runs gets the TERM, nothing
// more is started, and the exit code is 143 as long as nothing had been.
func TestEdge14_TermDuringBoot(t *testing.T) {
	t.Parallel()
	const hook = `trap 'echo hook got TERM; exit 3' TERM; echo hook runs; while :; do sleep 0.02; done`
	later := script("later", "echo LATER RUNS; exec sleep 600", `"After": ["hook"]`)
	for _, c := range []struct {
		name string
		hang string // a named pipe in the place of this file holds up the boot
		says string // then the TERM is sent
		list services
		want int
	}{
		{"at the first line", "", "init | nix2vast test on", services{later, script("hook", hook, `"Type": "oneshot"`)}, -1},
		{"in the step environ", "/etc/environment", "control: ok", services{later}, 143},
		{"in the step accounts", "/etc/shadow", "environ: ok", services{later}, 143},
		{"in the step sshkeys", "/root/.ssh/authorized_keys", "accounts: ok", services{later}, 143},
		{"in a oneshot", "", "hook runs", services{later, script("hook", hook, `"Type": "oneshot"`)}, 0},
		{"in ExecStartPre", "", "hook runs", services{later,
			script("hook", "echo LATER RUNS; exec sleep 600", `"ExecStartPre": ["/bin/sh", "-c", "`+hook+`"]`)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"-e", "ROOT_PASSWORD=x", "-e", benchKey}
			if c.hang != "" {
				args = append(args, prelude("rm -f "+c.hang+"; mkdir -p $(dirname "+c.hang+"); mkfifo "+c.hang)...)
			}
			e := startEdge(t, c.list, args...)
			e.says(c.says)
			began := time.Now()
			e.send(unix.SIGTERM)
			code, took := e.code(), time.Since(began)
			// The first line comes shortly before the services.
			if code != c.want && !(c.want == -1 && (code == 143 || code == 0)) {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
			if took > 6*time.Second { // 9 s are allowed, half a second is what it takes
				t.Errorf("it took %v", took)
			}
			if c.says == "hook runs" && !strings.Contains(e.String(), "hook got TERM") {
				t.Error("the hook got no TERM")
			}
			if strings.Contains(e.String(), "LATER RUNS") {
				t.Error("a service was started after the TERM")
			}
			if t.Failed() {
				t.Logf("the box printed:\n%s", e)
			}
		})
	}
}

// A second order to stop kills what has not ended by then.
func TestEdge15_SecondTermKills(t *testing.T) {
	t.Parallel()
	const deaf = `trap 'echo deaf to TERM' TERM; echo armed; while :; do sleep 0.02; done`
	for _, c := range []struct {
		name          string
		first, second syscall.Signal
	}{
		{"TERM and TERM", unix.SIGTERM, unix.SIGTERM}, {"TERM and INT", unix.SIGTERM, unix.SIGINT}, {"INT and TERM", unix.SIGINT, unix.SIGTERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := startEdge(t, services{
				script("a", deaf, `"TimeoutStopSec": "1h"`),
				script("b", deaf, `"TimeoutStopSec": "1h"`, `"After": ["a"]`),
			}, "-e", "NIX2VAST_STOP_TIMEOUT=1h")
			e.says("a | armed")
			e.says("b | armed")
			e.send(c.first)
			e.says("b | deaf to TERM")
			if strings.Contains(e.String(), "a | deaf to TERM") {
				t.Error("a is stopped before b, which is after it, has ended")
			}
			began := time.Now()
			e.send(c.second)
			e.wantCode(0)
			e.says("killing everything now: got SIG")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}
