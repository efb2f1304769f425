package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestProbeExec(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OF_INIT", "secret")
	for _, c := range []struct {
		argv []string
		err  string
	}{
		{[]string{"true"}, ""},
		{[]string{"sh", "-c", "echo fine; exit 0"}, ""},
		{[]string{"sh", "-c", "echo no >&2; echo; echo luck; exit 3"}, "sh: exit code 3: no luck"},
		{[]string{"false"}, "false: exit code 1"},
		{[]string{"sh", "-c", "kill -KILL $$"}, "sh: running sh: signal: killed"},
		{[]string{"there-is-none"}, "there-is-none: there-is-none: file does not exist in PATH /usr/bin:/bin"},
		{[]string{"sh", "-c", "[ $PWD = " + dir + " ] && [ $A = b ] && [ -z $OF_INIT ]"}, ""},
		{[]string{"sh", "-c", "read line; [ -z $line ]"}, ""}, // stdin is empty
	} {
		p := Probe{Exec: c.argv}
		err := p.ask(t.Context(), newAsker(dir, []string{"PATH=/usr/bin:/bin", "A=b"}, nil))
		if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("%q: %v, want %q", c.argv, err, c.err)
		}
	}
	p := Probe{Exec: []string{"sh", "-c", "[ -z $OF_INIT ]"}}
	if err := p.ask(t.Context(), newAsker(dir, nil, nil)); err != nil {
		t.Errorf("no environment given, and init's own is there: %v", err)
	}
}

func TestProbeExecUser(t *testing.T) {
	cred := &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid()), NoSetGroups: true}
	if os.Getuid() == 0 {
		cred = &syscall.Credential{Uid: 12345, Gid: 23456}
	}
	p := Probe{Exec: []string{"sh", "-c", "id -u; id -g; exit 1"}}
	err := p.ask(t.Context(), newAsker("/", nil, cred))
	if want := fmt.Sprintf("sh: exit code 1: %d %d", cred.Uid, cred.Gid); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestProbeExecOutput: of much output the end is kept, where errors are.
func TestProbeExecOutput(t *testing.T) {
	p := Probe{Exec: []string{"sh", "-c", "seq 100000; exit 1"}}
	err := p.ask(t.Context(), newAsker("/", nil, nil))
	if err == nil || !strings.HasSuffix(err.Error(), " 99999 100000") || len(err.Error()) > 5000 || len(err.Error()) < 4000 {
		t.Error(err)
	}
}

// gone waits until a process does not exist any more.
func gone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) != syscall.ESRCH; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// TestProbeExecLeavesNothing: what a command started ends with it, whether it
// ended by itself or not.
func TestProbeExecLeavesNothing(t *testing.T) {
	for script, good := range map[string]bool{
		"sleep 100 & echo $! >pid; exit 0":                 true,
		"sleep 100 >/dev/null 2>&1 & echo $! >pid; exit 0": true,
		"sleep 100 & echo $! >pid; wait":                   false,
		"setsid sleep 100 & echo $! >pid; wait":            false,
	} {
		dir := t.TempDir()
		p := Probe{Exec: []string{"sh", "-c", script}, TimeoutSec: Seconds(10)}
		if !good {
			p.TimeoutSec = Seconds(0.5)
		}
		if err := p.ask(t.Context(), newAsker(dir, nil, nil)); (err == nil) != good {
			t.Errorf("%q: %v", script, err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		gone(t, pid)
	}
}

// TestProbeExecStuck: of a process that nothing can end there is one, and the
// question fails meanwhile.
func TestProbeExecStuck(t *testing.T) {
	end := make(chan struct{})
	started := make(chan struct{}, 9)
	how := bounded(func(context.Context, []string) answer {
		started <- struct{}{}
		<-end
		return answer{}
	})
	p := Probe{Exec: []string{"x"}, TimeoutSec: Seconds(0.02)}
	for range 3 {
		if err := p.ask(t.Context(), how); !errors.Is(err, errStuck) {
			t.Errorf("%v, want %v", err, errStuck)
		}
	}
	if n := len(started); n != 1 {
		t.Errorf("%d processes were started", n)
	}
	close(end)
	p.TimeoutSec = 0
	if err := p.wait(t.Context(), how); err != nil {
		t.Errorf("it ended, and still: %v", err)
	}
}

func TestProbeExecPanic(t *testing.T) {
	how := bounded(func(context.Context, []string) answer { panic("oh") })
	p := Probe{Exec: []string{"x"}}
	for range 2 {
		if err := p.ask(t.Context(), how); err == nil || err.Error() != "x: BUG: panic in a probe: oh" {
			t.Error(err)
		}
	}
}

// TestProbeExecOfService: the command runs where the service does.
func TestProbeExecOfService(t *testing.T) {
	b := run(t, Options{})
	svc := sh("server", "touch there; exec sleep 60")
	svc.WorkingDirectory, svc.Environment = b.dir, map[string]string{"FILE": "there"}
	svc.Probe = &Probe{Exec: []string{"sh", "-c", `[ -e "$FILE" ]`}}
	b.add(svc)
	b.untilState("server", Ready)
}
