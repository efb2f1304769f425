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
	Code     int            // exit code; 0 where a signal ended it
	Signal   syscall.Signal // the signal that ended it, or 0
	Err      error          // it could not be started
	TimedOut bool           // it was ended since it did not become ready or done in time
}

// exitOf reads a wait status.
func exitOf(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Signal: ws.Signal()}
	}
	return Exit{Code: ws.ExitStatus()}
}

// Success is true for exit code 0 of a process that nothing had to kill.
func (x Exit) Success() bool { return x.Code == 0 && x.Signal == 0 && x.Err == nil && !x.TimedOut }

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
	case x.Err != nil:
		return "could not be started: " + x.Err.Error()
	case x.Signal != 0:
		s = "killed by " + unix.SignalName(x.Signal)
	default:
		s = fmt.Sprintf("exit code %d", x.Code)
	}
	if x.TimedOut {
		s += ", was not ready in time"
	}
	return s
}

func (r Restart) covers(x Exit) bool {
	switch r {
	case RestartAlways:
		return true
	case RestartOnSuccess:
		return x.Success()
	case RestartOnFailure:
		return !x.Success()
	case RestartOnAbnormal:
		return x.Signal != 0 || x.TimedOut
	case RestartOnAbort:
		return x.Signal != 0 && !x.TimedOut
	}
	return false
}
