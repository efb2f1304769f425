package services

import (
	"testing"
	"time"
)

// WATCHDOG_USEC= is a word of one run: the definition stays, so that a reload finds
// nothing that differs, and the next run begins with it.
func TestWatchdogSpanIsOfOneRun(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", `if [ -e `+b.dir+`/again ]; then exec say READY=1 wait; fi; touch `+b.dir+`/again; exec say 'READY=1|WATCHDOG_USEC=300000' wait`)
	svc.WatchdogSec = Duration(time.Hour)
	svc.RestartSec = new(Duration(0))
	b.add(svc)
	first := b.untilState("a", Ready)
	changes, err := b.Reconcile(b.ctx, []Service{svc})
	if err != nil || len(changes.Same) != 1 || len(changes.Changed) != 0 {
		t.Errorf("a reload finds %+v, %v", changes, err)
	}
	b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	if s := b.service("a"); s.Restarts != 1 {
		t.Errorf("a is %+v", s)
	}
}

// NOTIFYACCESS= takes the place of the definition's, for as long as the process runs.
func TestNotifyAccessIsChanged(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", `say READY=1 STATUS=child; say NOTIFYACCESS=main; say STATUS=dropped; echo said; exec say STATUS=main NOTIFYACCESS=none STATUS=silenced fd wait`)
	b.add(svc)
	b.until("a", func(s Status) bool { return s.Text == "main" })
	b.untilLine("init", "NotifyAccess is main")
	b.untilLine("a", "fds=")
	if s := b.service("a"); s.Text != "main" || s.State != Ready {
		t.Errorf("a is %+v", s)
	}
}

// STOPPING=1 is told, and takes the watchdog off.
func TestStoppingIsTold(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", `exec say READY=1 STOPPING=1 wait`)
	svc.WatchdogSec = Duration(300 * time.Millisecond)
	b.add(svc)
	first := b.until("a", func(s Status) bool { return s.Note == "is about to end" })
	other := talker(t, "b", `exec say READY=1 wait`)
	other.WatchdogSec = svc.WatchdogSec
	b.add(other)
	b.until("b", func(s Status) bool { return s.Restarts > 0 }) // its watchdog has passed, and so would a's
	if s := b.service("a"); s.Pid != first.Pid || s.Restarts != 0 {
		t.Errorf("a is %+v", s)
	}
}

// FDSTOREREMOVE=1 lets go of what FDSTORE=1 has left.
func TestStoredDescriptorsAreRemoved(t *testing.T) {
	b := run(t, Options{})
	svc := talker(t, "a", `if [ -e `+b.dir+`/again ]; then exec say fd READY=1 wait; fi; touch `+b.dir+`/again
		exec say 'fd:FDSTORE=1|FDNAME=mine' 'fd:FDSTORE=1|FDNAME=other' 'FDSTOREREMOVE=1|FDNAME=mine' READY=1 wait`)
	svc.FileDescriptorStoreMax = 4
	b.add(svc)
	first := b.untilState("a", Ready)
	_ = b.Restart(b.ctx, "a")
	b.until("a", func(s Status) bool { return s.State == Ready && s.Pid != first.Pid })
	b.untilLine("a", "fds=1 names=other own=true")
}

// SendSIGHUP sends a HUP behind the signal to end.
func TestSendSIGHUP(t *testing.T) {
	b := run(t, Options{})
	a := sh("a", "trap 'echo got HUP; exit' HUP; trap 'echo got USR1' USR1; echo armed; while :; do sleep 0.02; done")
	a.SendSIGHUP, a.KillSignal = true, "SIGUSR1"
	b.add(a)
	b.untilLine("a", "armed")
	_ = b.Stop(b.ctx, "a")
	b.untilState("a", Stopped)
	b.untilLine("a", "got HUP")
}

// SuccessAction ends the container when the service has ended well, with the given code.
func TestSuccessActionWithAStatus(t *testing.T) {
	b := run(t, Options{})
	bad, good := sh("bad", "exit 3"), sh("good", "exit 0")
	bad.Restart, bad.SuccessAction = RestartNo, ActionExit
	good.Restart, good.SuccessAction, good.SuccessActionExitStatus, good.After = RestartNo, ActionExit, new(44), []string{"bad"}
	b.add(bad, good)
	if code := b.exitCode(); code != 44 {
		t.Errorf("the container ended with %d", code)
	}
}
