package main

import (
	"strings"
	"testing"
)

// A service forks for ever, each child in a session of its own, until its container is
// full: the others run on, init answers, and a stop leaves none of them.
func TestForksForEver(t *testing.T) {
	t.Parallel()
	const bomb = `use POSIX; $| = 1; print "begins\n";
		while (1) { my $pid = fork; if (!defined $pid) { print "full\n" unless $told++; select(undef, undef, undef, 0.05) }
			elsif (!$pid) { POSIX::setsid(); exec "sleep", "607" } }`
	e := startEdge(t, services{
		script("web", "exec sleep 608"),
		program("bomb", []string{`"Disabled": true`}, "perl", "-e", bomb),
	})
	e.says("init | ready after")
	web := e.ready("web", 0)
	group := newGroup(t, "pids")
	group.add(e.cmd.Process.Pid)
	group.set("pids.max", "200")
	e.init("start", "bomb")
	e.says("bomb | full")
	e.until("it is refused again", func() bool { return group.refusals() >= 3 })
	if s := e.service("web"); s != web {
		t.Errorf("web was %+v and is %+v", web, s)
	}
	e.init("stop", "bomb")
	if n := e.running("sleep 607"); n != 0 {
		t.Errorf("%d of its processes outlive the stop", n)
	}
	e.init("restart", "web")
	if s := e.service("web"); s.State != "ready" || s.Pid == web.Pid {
		t.Errorf("web is %+v", s)
	}
}

// A probe that never ends is a bad answer when its time is over: the service is
// restarted, or not ready; nothing of the probe is left, and the others run on.
func TestProbesNeverEnd(t *testing.T) {
	t.Parallel()
	const probe = `{"Exec": ["sh", "-c", "trap '' TERM; setsid sleep 605 & sleep 606"], "PeriodSec": "50ms", "TimeoutSec": "300ms", "FailureThreshold": 2}`
	e := startEdge(t, services{
		script("web", "exec sleep 608"),
		script("deaf", "exec sleep 609", `"Liveness": `+probe),
		script("mute", "exec sleep 610", `"Probe": `+probe, `"TimeoutStartSec": "20s"`, `"StartLimitBurst": 2`, `"StartLimitIntervalSec": "1h"`),
	})
	web := e.ready("web", 0)
	e.waits("deaf", "restarted", func(s service) bool { return s.Restarts >= 2 })
	s := e.waits("mute", "failed", func(s service) bool { return s.State == "failed" })
	for name, note := range map[string]string{"mute": s.Note, "deaf": e.String()} {
		if !strings.Contains(note, "300ms") {
			t.Errorf("%s: it is not said that the probe has no answer after 300ms: %s", name, note)
		}
	}
	e.init("stop", "deaf")
	e.until("no probe is left", func() bool { return e.running("sleep 60[56]") == 0 })
	if s := e.service("web"); s != web {
		t.Errorf("web was %+v and is %+v", web, s)
	}
}
