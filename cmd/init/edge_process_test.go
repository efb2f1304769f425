package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A stop by a signal is no end: the service stays ready, with its process, and
// the status says what is the matter until it goes on.
func TestEdge03_StoppedAndContinued(t *testing.T) {
	t.Parallel()
	e := startEdge(t, services{script("a", "exec sleep 600")})
	first := e.ready("a", 0)
	for range 2 {
		e.init("kill", "-s", "STOP", "a")
		halted := e.waits("a", "halted", func(s service) bool { return s.Note == "halted by SIGSTOP, until a SIGCONT" })
		if halted.State != "ready" || halted.Pid != first.Pid || halted.Restarts != 0 {
			t.Errorf("while it is halted, a is %+v", halted)
		}
		e.init("kill", "-s", "CONT", "a")
		if s := e.waits("a", "going on", func(s service) bool { return s.Note == "" }); s != first {
			t.Errorf("after that a is %+v, and was %+v", s, first)
		}
	}
}

// A stop reaches a process that is stopped: by its own handler, and in the end by KILL.
func TestEdge04_StopOfAStopped(t *testing.T) {
	t.Parallel()
	const handler = `
		$SIG{CONT} = sub { syswrite STDOUT, "got CONT\n" };
		$SIG{TERM} = sub { syswrite STDOUT, "got TERM\n"; exit if shift eq "TERM" && $ARGV[0] eq "tame" };
		syswrite STDOUT, "armed\n";
		select undef, undef, undef, 600 while 1;`
	e := startEdge(t, services{
		program("tame", []string{`"TimeoutStopSec": "30s"`}, "perl", "-e", handler, "tame"),
		program("wild", []string{`"TimeoutStopSec": "300ms"`}, "perl", "-e", handler, "wild"),
	})
	for name, note := range map[string]string{"tame": "", "wild": "killed by SIGKILL"} {
		e.says(name + " | armed")
		e.init("kill", "-s", "STOP", name)
		e.waits(name, "halted", func(s service) bool { return s.Note != "" })
		e.init("stop", name)
		if s := e.service(name); s.State != "stopped" || s.Note != note {
			t.Errorf("%s is %+v, want the note %q", name, s, note)
		}
		for _, line := range []string{"got TERM", "got CONT"} {
			if line == "got CONT" && name == "tame" {
				continue // TERM has the lower number, and comes first
			}
			e.says(name + " | " + line)
		}
	}
}

// daemon becomes one by two forks and a session of its own.
const daemon = `(setsid sh -c 'echo $$ >/run/daemon.pid; exec sleep 60%d' &) ; exit 0`

func TestEdge05_DaemonDoubleForks(t *testing.T) {
	t.Parallel()
	e := startEdge(t, services{
		script("forking", fmt.Sprintf(daemon, 1), `"Type": "forking"`, `"PIDFile": "/run/daemon.pid"`),
		script("simple", strings.ReplaceAll(fmt.Sprintf(daemon, 2), "daemon.pid", "other.pid")),
	})
	pid := func() int {
		b, err := os.ReadFile(e.path("/run/daemon.pid"))
		n, err2 := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return n
	}
	first := e.ready("forking", 0)
	if first.Pid != pid() {
		t.Errorf("its main process is %d, the PIDFile holds %d", first.Pid, pid())
	}
	e.init("kill", "-s", "KILL", "forking")
	if s := e.ready("forking", 1); s.Pid == first.Pid || s.Pid != pid() || s.Restarts != 1 {
		t.Errorf("after %+v came %+v, the PIDFile holds %d", first, s, pid())
	}

	e.waits("simple", "started again", func(s service) bool { return s.Restarts >= 3 })
	if n := e.running("sleep 602"); n > 1 {
		t.Errorf("%d daemons of a simple service run", n)
	}
	e.init("stop", "simple", "forking")
	if n := e.running("sleep 60[12]"); n != 0 {
		t.Errorf("%d daemons outlive the stop of their services", n)
	}
}

// running is how many processes of the box have this command line.
func (e *edge) running(pattern string) int {
	e.t.Helper()
	out := e.inside("sh", "-c", "pgrep -c -x -f '"+pattern+"' || :")
	n, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// A grandchild in a session of its own, whose environment does not name the
// service, holds stdout open. Nobody waits for it, and what it writes arrives.
func TestEdge06_GrandchildHoldsStdout(t *testing.T) {
	t.Parallel()
	const text = `n=$(cat /tmp/n 2>/dev/null || echo 0); echo $((n+1)) >/tmp/n
		[ $n = 0 ] && env -i PATH=$PATH setsid sh -c 'trap "" TERM; echo held; : >/tmp/held; until [ -e /tmp/say ]; do sleep 0.05; done; echo still there; exec sleep 601' &
		until [ -e /tmp/held ]; do sleep 0.05; done # till then TERM to the group would end it
		echo run $n; [ $n -lt 3 ] && exit 1; exec sleep 602`
	e := startEdge(t, services{script("a", text, `"RestartSec": "10ms"`, `"RestartMaxDelaySec": "10ms"`)})
	e.says("a | held")
	began := time.Now()
	s := e.ready("a", 3)
	e.says("a | run 3")
	if took := time.Since(began); took > 5*time.Second { // TimeoutStopSec is 8 s
		t.Errorf("three restarts took %v", took)
	}
	if err := os.WriteFile(e.path("/tmp/say"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	e.says("a | still there")
	if again := e.service("a"); again.Pid != s.Pid || again.State != "ready" {
		t.Errorf("a was %+v and is %+v", s, again)
	}
}

// A service that closes its output goes on, and PID 1 does not spin: a service
// that does nothing else is the measure.
func TestEdge07_ClosedOutput(t *testing.T) {
	t.Parallel()
	e := startEdge(t, services{
		script("a", "echo begins; exec >&- 2>&-; exec sleep 600"),
		script("spins", "while :; do :; done"),
	})
	e.says("a | begins")
	e.says("init | ready after")
	first, spinner := e.ready("a", 0), e.outside(e.ready("spins", 0).Pid)
	before, used := processorOf(t, spinner), e.processor()
	e.until("the other has spun", func() bool { return processorOf(t, spinner)-before > 500*time.Millisecond })
	if cost := e.processor() - used; cost > 200*time.Millisecond {
		t.Errorf("while another one spun for half a second, PID 1 used %v of the processor", cost)
	}
	if s := e.service("a"); s != first {
		t.Errorf("a was %+v and is %+v", first, s)
	}
}

// Nobody reads what PID 1 writes, as while a docker attach is paused: services,
// reaping and control go on. What was dropped is counted where it is missing.
func TestEdge08_OutputIsNotRead(t *testing.T) {
	t.Parallel()
	const lines = 60_000
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := &foreground{t: t, ended: make(chan struct{})}
	f.start(nil, w, append([]string{}, edgeArgs(t, services{
		script("talks", fmt.Sprintf(`exec perl -e 'print "line $_ ", "x" x 100, "\n" for 1 .. %d'`, lines), `"Type": "oneshot"`),
		script("a", "exec sleep 600"),
	})...))
	w.Close()
	go func() {
		defer close(f.ended)
		_ = f.cmd.Wait() // its code is looked at
	}()
	e := &edge{f}
	e.waits("talks", "done", func(s service) bool { return s.State == "done" })
	e.init("kill", "-s", "KILL", "a")
	e.ready("a", 1)
	before := e.status().Orphans
	e.inside("sh", "-c", "(sleep 0.01 &)")
	e.until("the orphan is reaped", func() bool { st, err := e.ask(); return err == nil && st.Orphans > before })

	came, missing := 0, 0
	dropped := regexp.MustCompile(`init \| (\d+) lines are missing here: nobody read this output$`)
	s := bufio.NewScanner(r)
	stopped := false
	for s.Scan() {
		if strings.Contains(s.Text(), " talks | line ") {
			came++
		}
		if m := dropped.FindStringSubmatch(s.Text()); m != nil {
			n, _ := strconv.Atoi(m[1])
			missing += n
		}
		if missing > 0 && !stopped {
			stopped = true
			f.send(unix.SIGTERM)
		}
	}
	if f.code() != 0 || came == lines || came == 0 {
		t.Errorf("exit code %d; %d lines came", f.code(), came)
	}
	// Lines of init are among those dropped.
	if sum := came + missing; sum < lines || sum > lines+20 {
		t.Errorf("%d lines came and %d are said to be missing, of %d", came, missing, lines)
	}
}
