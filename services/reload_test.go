package services

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReloadIsBounded: a reload that does not end fails after TimeoutStartSec, and
// the service runs on.
func TestReloadIsBounded(t *testing.T) {
	b := run(t, Options{})
	hangs := sh("hangs", "exec sleep 60")
	hangs.ExecReload, hangs.TimeoutStartSec = Commands{shell("exec sleep 60")}, Duration(100*time.Millisecond)
	mute := talker(t, "mute", "trap : HUP; say READY=1; while :; do sleep 0.02; done")
	mute.Type, mute.TimeoutStartSec = NotifyReload, Duration(2*time.Second)
	own := talker(t, "own", "say READY=1; say RELOADING=1; exec sleep 60") // nobody asked it to
	own.TimeoutStartSec = Duration(500 * time.Millisecond)
	b.add(hangs, mute, own)
	pid := b.untilState("hangs", Ready).Pid
	b.untilState("mute", Ready)
	if err := b.Reload(b.ctx, "hangs", "mute"); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(b.ctx, "mute"); err == nil || !strings.Contains(err.Error(), "cannot reload while a reload is under way") {
		t.Errorf("a second reload beside the first: %v", err)
	}
	for _, name := range []string{"hangs", "mute", "own"} {
		s := b.until(name, func(s Status) bool { return s.ReloadFailure != "" })
		if s.State != Ready || s.Reloading || !strings.HasPrefix(s.Note, "the reload failed: it took longer than ") {
			t.Errorf("%+v", s)
		}
	}
	b.poll("the end of ExecReload", func() bool { return b.Reload(b.ctx, "hangs") == nil })
	if s := b.service("hangs"); s.Pid != pid || s.Restarts != 0 || s.ReloadFailure != "" || !s.Reloading {
		t.Errorf("%+v", s)
	}
}

// TestReloadIsRefused while a command or a reload runs.
func TestReloadIsRefused(t *testing.T) {
	b := run(t, Options{})
	gate := filepath.Join(b.dir, "gate")
	a := sh("a", "exec sleep 60")
	a.ExecReload = Commands{shell("while [ ! -e " + gate + " ]; do sleep 0.01; done")}
	b.add(a)
	b.untilState("a", Ready)
	if err := b.Reload(b.ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(b.ctx, "a"); err == nil || !strings.Contains(err.Error(), "cannot reload while ExecReload runs") {
		t.Errorf("%v", err)
	}
	touch(t, gate)
	b.until("a", func(s Status) bool { return !s.Reloading })
	if s := b.service("a"); s.Note != "" || s.ReloadFailure != "" {
		t.Errorf("%+v", s)
	}
}

// TestReloadLeavesNoDeadline behind, with which a later moment would count as late.
func TestReloadLeavesNoDeadline(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "exec sleep 60")
	a.ExecReload = Commands{shell("true")}
	bad := sh("bad", "exec sleep 60")
	bad.ExecReload = Commands{shell("exit 3")}
	c := talker(t, "c", "trap 'say READY=1' HUP; say READY=1; while :; do sleep 0.02; done")
	c.Type = NotifyReload
	b.add(a, bad, c)
	for _, name := range []string{"a", "bad", "c"} {
		b.untilState(name, Ready)
	}
	if err := b.Reload(b.ctx, "a", "bad", "c"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "bad", "c"} {
		b.until(name, func(s Status) bool { return !s.Reloading })
		var at time.Time
		if err := b.ask(b.ctx, func() { at = b.records[name].deadline }); err != nil || !at.IsZero() {
			t.Errorf("%s: after the reload there is a deadline in %v (%v)", name, time.Until(at), err)
		}
	}
	if s := b.service("bad"); s.State != Ready || s.Note != "the reload failed: exit code 3" || s.ReloadFailure != "exit code 3" {
		t.Errorf("%+v", s)
	}
}

// TestReloadPropagates to those that can reload, and on from them.
func TestReloadPropagates(t *testing.T) {
	b := run(t, Options{})
	file := filepath.Join(b.dir, "order")
	list := []Service{}
	for _, name := range []string{"a", "b", "c", "unable", "stopped"} {
		svc := sh(name, "exec sleep 60")
		if name != "unable" {
			svc.ExecReload = Commands{shell("echo " + name + " >> " + file)}
		}
		list = append(list, svc)
	}
	list[0].PropagatesReloadTo = []string{"b", "unable", "stopped"}
	list[2].ReloadPropagatedFrom = []string{"b"}
	list[4].Disabled = true
	list[2].PropagatesReloadTo = []string{"a"} // a circle
	b.add(list...)
	for _, name := range []string{"a", "b", "c", "unable"} {
		b.untilState(name, Ready)
	}
	if err := b.Reload(b.ctx, "a", "b"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		b.until(name, func(s Status) bool { return !s.Reloading })
	}
	if words := strings.Fields(contents(t, file)); len(words) != 3 {
		t.Errorf("reloaded were %v", words)
	}
	if s := b.service("unable"); s.Note != "" || s.ReloadFailure != "" {
		t.Errorf("%+v", s)
	}
}
