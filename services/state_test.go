package services

import (
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNext walks every pair of state and event, for each way in which a process
// can end that next distinguishes. The service is restarted on failure.
func TestNext(t *testing.T) {
	events := map[string]event{
		"start":   {kind: evStart},
		"stop":    {kind: evStop},
		"ready":   {kind: evReady},
		"good":    {kind: evExited},
		"bad":     {kind: evExited, exit: Exit{Code: 1}},
		"killed":  {kind: evExited, exit: Exit{Signal: unix.SIGKILL}},
		"never":   {kind: evExited, exit: Exit{Code: 125}},
		"again":   {kind: evExited, again: true},
		"late":    {kind: evExited, exit: Exit{Cause: Timeout}},
		"skipped": {kind: evExited, exit: Exit{Cause: Skipped}},
		"needs":   {kind: evExited, exit: Exit{Cause: Dependency}},
		"limit":   {kind: evExited, exit: Exit{Code: 1}, limit: true},
		"enough":  {kind: evExited, limit: true}, // a good end needs no start
		"fault":   {kind: evFault},
		"timeout": {kind: evTimeout},
	}
	type to struct {
		State
		action
	}
	stay := func(s State) map[string]to {
		m := map[string]to{}
		for name := range events {
			m[name] = to{s, actNone}
		}
		return m
	}
	want := map[State]map[string]to{}
	for s := Stopped; s <= Done; s++ {
		want[s] = stay(s)
	}
	for _, s := range []State{Stopped, Backoff, Failed, Done} {
		want[s]["start"] = to{Starting, actSpawn}
	}
	for _, s := range []State{Backoff, Failed, Done} {
		want[s]["stop"] = to{Stopped, actNone}
	}
	for _, s := range []State{Starting, Ready} {
		want[s]["stop"] = to{Stopping, actTerminate}
		want[s]["good"] = to{Done, actNone}
		want[s]["again"] = to{Done, actNone} // nobody asked for it in this state
		want[s]["bad"] = to{Backoff, actDelay}
		want[s]["killed"] = to{Backoff, actDelay}
		want[s]["late"] = to{Backoff, actDelay}
		want[s]["never"] = to{Failed, actNone}
		want[s]["skipped"] = to{Done, actNone}
		want[s]["needs"] = to{Failed, actNone}
		want[s]["limit"] = to{Failed, actNone}
		want[s]["enough"] = to{Done, actNone}
		want[s]["fault"] = to{Stopping, actTerminate}
	}
	want[Starting]["ready"] = to{Ready, actNone}
	want[Starting]["timeout"] = to{Stopping, actTerminate}
	want[Stopping]["timeout"] = to{Stopping, actKill}
	for _, end := range []string{"good", "bad", "killed", "never", "limit", "enough"} {
		want[Stopping][end] = to{Stopped, actNone}
	}
	want[Stopping]["again"] = to{Starting, actSpawn}
	want[Stopping]["late"] = to{Backoff, actDelay}
	want[Stopping]["skipped"] = to{Done, actNone}
	want[Stopping]["needs"] = to{Failed, actNone}
	want[Backoff]["timeout"] = to{Starting, actSpawn}

	svc := Service{Type: Simple, Restart: RestartOnFailure}
	for s := Stopped; s <= Done; s++ {
		for name, e := range events {
			state, act := next(s, e, &svc)
			if got := (to{state, act}); got != want[s][name] {
				t.Errorf("%v + %s = %v, want %v", s, name, got, want[s][name])
			}
		}
	}
}

// TestRemainAfterExit: what ended well counts as running; only a stop changes it.
func TestRemainAfterExit(t *testing.T) {
	svc := Service{Type: Oneshot, RemainAfterExit: true}
	for kind, want := range map[eventKind]State{evStart: Done, evStop: Stopping, evReady: Done, evFault: Done, evTimeout: Done, evExited: Done} {
		if s, _ := next(Done, event{kind: kind}, &svc); s != want {
			t.Errorf("done + %d = %v, want %v", kind, s, want)
		}
	}
}

func TestOneshotIsNeverReady(t *testing.T) {
	if s, _ := next(Starting, event{kind: evReady}, &Service{Type: Oneshot}); s != Starting {
		t.Errorf("a oneshot became %v", s)
	}
}

func TestRestartPolicies(t *testing.T) {
	ends := []Exit{{}, {Code: 3}, {Signal: unix.SIGSEGV}, {Cause: Timeout, Signal: unix.SIGTERM}, {Err: fs.ErrNotExist},
		{Signal: unix.SIGTERM}, {Code: 9}, {Code: 8}, {Signal: unix.SIGUSR1}, {Cause: Watchdog, Signal: unix.SIGABRT}}
	for policy, want := range map[Restart]string{
		// exit 0, 3, SEGV, late, not started, TERM, 9 (prevented), 8 (forced), USR1 (a success), watchdog
		RestartNo:         "no no no no no no no yes no no",
		RestartAlways:     "yes yes yes yes yes yes no yes yes yes",
		RestartOnSuccess:  "yes no no no no yes no yes yes no",
		RestartOnFailure:  "no yes yes yes yes no no yes no yes",
		RestartOnAbnormal: "no no yes yes no no no yes no yes",
		RestartOnAbort:    "no no yes no no no no yes no no",
		RestartOnWatchdog: "no no no no no no no yes no yes",
	} {
		svc := Service{Restart: policy, RestartPreventExitStatus: ExitStatuses{"9"}, RestartForceExitStatus: ExitStatuses{"8"}, SuccessExitStatus: ExitStatuses{"USR1"}}
		got := ""
		for i, x := range ends {
			if i > 0 {
				got += " "
			}
			if svc.restarts(x) {
				got += "yes"
			} else {
				got += "no"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", policy, got, want)
		}
	}
}

func TestExit(t *testing.T) {
	for _, c := range []struct {
		Exit
		code int
		text string
	}{
		{Exit{}, 0, "exit code 0"},
		{Exit{Code: 7}, 7, "exit code 7"},
		{Exit{Signal: unix.SIGTERM}, 143, "killed by SIGTERM"},
		{Exit{Signal: unix.SIGKILL, Cause: Timeout}, 137, "killed by SIGKILL, was not ready in time"},
		{Exit{Err: &fs.PathError{Op: "exec", Path: "/x", Err: unix.ENOENT}}, 127, "could not be started: exec /x: no such file or directory"},
		{Exit{Err: &fs.PathError{Op: "exec", Path: "/x", Err: unix.EACCES}}, 126, "could not be started: exec /x: permission denied"},
	} {
		if got := c.ContainerCode(); got != c.code {
			t.Errorf("%v: container code %d, want %d", c.Exit, got, c.code)
		}
		if got := c.String(); got != c.text {
			t.Errorf("%q, want %q", got, c.text)
		}
	}
}

func TestStateNames(t *testing.T) {
	for s := Stopped; s <= Done; s++ {
		var back State
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s {
			t.Errorf("%v came back as %v, %v", s, back, err)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("up")); err == nil || fmt.Sprint(err) != `unknown service state "up"` {
		t.Errorf("an unknown name gave %v", err)
	}
}
