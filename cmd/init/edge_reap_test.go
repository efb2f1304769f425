package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowd leaves PID 1 so many children, which end at one moment: when the last
// writer of /gate closes it. Each holds /alive open.
const crowd = `
	open A, ">", "/alive" or die "alive: $!";
	open G, "<", "/gate" or die "gate: $!";
	for (1 .. 10_000) {
		defined(my $pid = fork) or die "fork: $!";
		next if $pid;
		sysread G, my $nothing, 1;
		kill KILL => $$; # exit would take each of its pages apart
	}`

// Ten thousand children end at one moment, and sixteen services with them, of
// which each has an exit code of its own. The kernel sends one SIGCHLD for many.
func TestEdge01_TenThousandExitAtOnce(t *testing.T) {
	list := services{program("crowd", []string{`"Type": "oneshot"`, `"KillMode": "process"`, `"Disabled": true`}, "perl", "-e", crowd)}
	for n := 1; n <= 16; n++ {
		list = append(list, script(fmt.Sprint("code", n), fmt.Sprintf("exec </gate; echo armed; read -r x; exit %d", n), `"Restart": "no"`, `"Disabled": true`))
	}
	e := startEdge(t, list)
	e.says("init | ready after")
	gate, alive := e.fifo("/gate"), e.fifo("/alive")
	for n := 1; n <= 16; n++ {
		e.init("start", fmt.Sprint("code", n))
	}
	e.until("the services are armed", func() bool { return strings.Count(e.String(), "| armed\n") == 16 })
	e.init("start", "crowd")
	reader, err := os.OpenFile(e.path("/alive"), os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	alive.Close()
	before, used := e.status(), e.processor()
	if n := len(e.children()); n < 10_000 {
		t.Fatalf("PID 1 has %d children", n)
	}

	gate.Close()
	if _, err := io.ReadAll(reader); err != nil { // all have ended
		t.Fatal(err)
	}
	ended := time.Now()
	for n := 1; n <= 16; n++ {
		name := fmt.Sprint("code", n)
		if s := e.waits(name, "failed", func(s service) bool { return s.State == "failed" }); s.ExitCode != n {
			t.Errorf("%s ended with %d", name, s.ExitCode)
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(e.list()) > 1 { // sshd
		if time.Since(ended) > 20*time.Second {
			t.Fatalf("%d children are left", len(e.list()))
		}
		<-tick.C
	}
	took, cost := time.Since(ended), e.processor()-used
	t.Logf("the backlog was gone after %v, with %v of the processor", took, cost)
	if cost > 4*time.Second || took > 2*time.Second {
		t.Errorf("the backlog was gone after %v, with %v of the processor", took, cost)
	}
	if n := e.status().Orphans - before.Orphans; n < 10_000 { // sshd leaves some too
		t.Errorf("%d orphans are counted", n)
	}
}

// fifo makes a named pipe in the box, and is open for reading and writing.
func (e *edge) fifo(file string) *os.File {
	e.t.Helper()
	if err := unix.Mkfifo(e.path(file), 0o666); err != nil {
		e.t.Fatal(err)
	}
	f, err := os.OpenFile(e.path(file), os.O_RDWR, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { f.Close() })
	return f
}

// list are the children of PID 1, by their pid outside.
func (f *foreground) list() []string {
	f.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", f.cmd.Process.Pid))
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Fields(string(b))
}

// forks makes ten thousand orphans, one after the other.
const forks = `
	for (1 .. 10_000) {
		defined(my $pid = fork) or die "fork: $!";
		if ($pid) { waitpid $pid, 0; next }
		defined(fork) or die "fork: $!";
		kill KILL => $$;
	}`

func TestEdge02_TenThousandDoubleForks(t *testing.T) {
	e := startEdge(t, services{program("forks", []string{`"Type": "oneshot"`, `"KillMode": "process"`, `"Disabled": true`}, "perl", "-e", forks)})
	e.says("init | ready after")
	before := e.status().Orphans
	done := make(chan string, 1)
	go func() { done <- e.init("start", "forks") }()
	most := 0
	var ended time.Time
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; ended.IsZero() || n > 1; <-tick.C {
		n = len(e.list())
		most = max(most, n)
		select {
		case text := <-done:
			if ended = time.Now(); text != "forks: done\n" {
				t.Fatal(text)
			}
		default:
		}
		if !ended.IsZero() && time.Since(ended) > 5*time.Second {
			t.Fatalf("5 s after the end %d children are left", n)
		}
	}
	took := time.Since(ended)
	t.Logf("%d children at most; the last was gone after %v", most, took)
	if most > 150 || took > 2*time.Second {
		t.Errorf("there were %d children at a time, and the last was gone after %v", most, took)
	}
	if n := e.status().Orphans - before; n < 10_000 { // sshd leaves some too
		t.Errorf("%d orphans are counted", n)
	}
}
