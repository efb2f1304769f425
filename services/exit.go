package services

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended, or why it never ran.
type Exit struct {
	Code   int            // exit code; 0 where a signal ended it
	Signal syscall.Signal // the signal that ended it, or 0
	Err    error          // it could not be started
	Cause  Cause          // why it was ended without having been asked for
	Why    string         // of the cause: more words
	OOM    bool           // the kernel killed something for want of memory at that time
}

// Cause is why the supervisor ended a service, or never ran it.
type Cause string

// The causes.
const (
	Timeout    Cause = "was not ready in time"
	Watchdog   Cause = "its watchdog was silent"
	Unhealthy  Cause = "its Liveness probe failed"
	Protocol   Cause = "it broke the protocol of its Type"
	Bound      Cause = "a service that it is bound to ended"
	Dependency Cause = "a service that it requires failed"
	Skipped    Cause = "skipped"
)

// exitOf reads a wait status.
func exitOf(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Signal: ws.Signal()}
	}
	return Exit{Code: ws.ExitStatus()}
}

// Success is true for exit code 0 of a process that nothing had to kill.
func (x Exit) Success() bool { return x.Code == 0 && x.Signal == 0 && x.Err == nil && x.Cause == "" }

// ContainerCode is the exit code of a container that ends since this process
// did: 128+n for signal n, 127 for a program that is not there and 126 for one
// that cannot be run, as shells have it.
func (x Exit) ContainerCode() int {
	switch {
	case errors.Is(x.Err, fs.ErrNotExist):
		return 127
	case x.Err != nil:
		return 126
	case x.Signal != 0:
		return 128 + int(x.Signal)
	}
	return x.Code
}

func (x Exit) String() string {
	var s string
	switch {
	case x.Cause == Skipped || x.Cause == Dependency:
		return x.why()
	case x.Err != nil:
		return "could not be started: " + x.Err.Error()
	case x.Signal != 0:
		s = "killed by " + unix.SignalName(x.Signal)
	default:
		s = fmt.Sprintf("exit code %d", x.Code)
	}
	if x.OOM {
		s += " (out of memory)"
	}
	if x.Cause != "" {
		s += ", " + x.why()
	}
	return s
}

func (x Exit) why() string {
	if x.Why == "" {
		return string(x.Cause)
	}
	return string(x.Cause) + ": " + x.Why
}

// success is what systemd calls a clean exit: code 0, for what is no oneshot also
// the signals that ask a program to end, and what SuccessExitStatus adds.
func (svc *Service) success(x Exit) bool {
	if x.Err != nil || x.Cause != "" {
		return false
	}
	switch x.Signal {
	case 0:
		return x.Code == 0 || svc.SuccessExitStatus.has(x)
	case unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE:
		return svc.Type != Oneshot || svc.SuccessExitStatus.has(x)
	}
	return svc.SuccessExitStatus.has(x)
}

// restarts says whether the service is started again after this end; see the
// table in systemd.service(5), Restart=.
func (svc *Service) restarts(x Exit) bool {
	switch {
	case svc.RestartPreventExitStatus.has(x):
		return false
	case svc.RestartForceExitStatus.has(x):
		return true
	}
	clean := svc.success(x)
	switch svc.Restart {
	case RestartAlways:
		return true
	case RestartOnSuccess:
		return clean
	case RestartOnFailure:
		return !clean
	case RestartOnAbnormal:
		return !clean && (x.Signal != 0 || x.Cause != "")
	case RestartOnAbort:
		return !clean && x.Signal != 0 && x.Cause == ""
	case RestartOnWatchdog:
		return x.Cause == Watchdog
	}
	return false
}

// result is systemd's word for an end; see systemd.exec(5), $SERVICE_RESULT.
func (svc *Service) result(x Exit) string {
	switch {
	case svc.success(x), x.Cause == Bound:
		return "success"
	case x.Cause == Timeout:
		return "timeout"
	case x.Cause == Watchdog:
		return "watchdog"
	case x.Cause == Skipped:
		return "exec-condition"
	case x.Cause != "":
		return "protocol"
	case x.OOM:
		return "oom-kill"
	case x.Err != nil:
		return "resources"
	case x.Signal != 0:
		return "signal"
	}
	return "exit-code"
}
