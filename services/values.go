package services

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Type says when a service counts as started.
type Type string

// The types of a service; see systemd.service(5), Type=.
const (
	Simple       Type = "simple"        // when it was forked; with a Probe or a ReadyLine: when that says so
	Exec         Type = "exec"          // the same, once its program could be executed
	Forking      Type = "forking"       // when its first process has ended and left a daemon
	Oneshot      Type = "oneshot"       // when it has ended
	Notify       Type = "notify"        // when it says READY=1, or writes a line to NotificationFd
	NotifyReload Type = "notify-reload" // the same, and it says RELOADING=1 and READY=1 around a reload
)

// NotifyAccess says which processes of a service may notify.
type NotifyAccess string

// The values of NotifyAccess. "exec" is read as all: the socket belongs to one
// service.
const (
	NotifyNone NotifyAccess = "none"
	NotifyMain NotifyAccess = "main"
	NotifyExec NotifyAccess = "exec"
	NotifyAll  NotifyAccess = "all"
)

// Action is what follows when a service has ended for good.
type Action string

// The actions: nothing, or the end of the container.
const (
	ActionNone Action = "none"
	ActionExit Action = "exit"
)

// Restart says after which ends a service is started again.
type Restart string

// The restart policies; see systemd.service(5), Restart=.
const (
	RestartNo         Restart = "no"
	RestartAlways     Restart = "always"
	RestartOnSuccess  Restart = "on-success"
	RestartOnFailure  Restart = "on-failure"
	RestartOnAbnormal Restart = "on-abnormal"
	RestartOnAbort    Restart = "on-abort"
	RestartOnWatchdog Restart = "on-watchdog"
)

// KillMode says what KillSignal goes to when a service is stopped, and what
// SIGKILL. There are no cgroups in a rented container: "control-group", the name
// that systemd's users know, is the process group of the service and every other
// process that carries its INVOCATION_ID.
type KillMode string

// The kill modes.
const (
	KillGroup   KillMode = "control-group"
	KillMixed   KillMode = "mixed"   // KillSignal to the main process, SIGKILL to all
	KillProcess KillMode = "process" // the main process alone: what it started lives on, as SSH sessions do
	KillNone    KillMode = "none"    // ExecStop does it
)

// Signal is a signal by its name, such as SIGTERM.
type Signal string

func (k Signal) number() syscall.Signal { return unix.SignalNum(string(k)) }

// A Command is one program with its arguments.
type Command struct {
	Argv []string `json:"Argv"` // the first is the program
	// Argv0, where it is given, is what the program is told that it is called.
	Argv0 string `json:"Argv0,omitempty"`
	// IgnoreFailure takes any end for a good one.
	IgnoreFailure bool `json:"IgnoreFailure,omitempty"`
	// Privileged runs it as init's own user.
	Privileged bool `json:"Privileged,omitempty"`
	// Expand replaces $NAME and ${NAME} by the service's environment, as systemd does:
	// a word that is $NAME becomes any number of words.
	Expand bool `json:"Expand,omitempty"`
}

// Commands are run one after the other. In JSON a list of strings is one
// command, a list of lists or of objects several.
type Commands []Command

// Argv is the one command with these words.
func Argv(words ...string) Commands { return Commands{{Argv: words}} }

// UnmarshalJSON reads ["cmd","arg"], [["cmd"],["cmd","arg"]] or [{"Argv":[…],…}].
func (c *Commands) UnmarshalJSON(b []byte) error {
	var words []string
	if json.Unmarshal(b, &words) == nil {
		*c = nil
		if len(words) > 0 {
			*c = Argv(words...)
		}
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("a command is a list of words, such as [\"sleep\", \"1\"]: %w", err)
	}
	*c = nil
	for _, item := range list {
		var cmd Command
		if json.Unmarshal(item, &cmd.Argv) != nil {
			d := json.NewDecoder(strings.NewReader(string(item)))
			d.DisallowUnknownFields()
			if err := d.Decode(&cmd); err != nil {
				return fmt.Errorf("a command is a list of words, or an object with Argv: %w", err)
			}
		}
		*c = append(*c, cmd)
	}
	return nil
}

// ExitStatuses is a set of exit codes and signals, each a number or a signal's name.
type ExitStatuses []string

// has says whether an end is in the set.
func (s ExitStatuses) has(x Exit) bool {
	if x.Err != nil {
		return false
	}
	if x.Signal != 0 {
		name := unix.SignalName(x.Signal)
		return slices.Contains(s, name) || slices.Contains(s, strings.TrimPrefix(name, "SIG"))
	}
	return slices.Contains(s, strconv.Itoa(x.Code))
}

// UnmarshalJSON takes numbers beside strings.
func (s *ExitStatuses) UnmarshalJSON(b []byte) error {
	var list []any
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*s = nil
	for _, v := range list {
		switch v := v.(type) {
		case string:
			*s = append(*s, v)
		case float64:
			*s = append(*s, strconv.FormatFloat(v, 'f', -1, 64))
		default:
			return fmt.Errorf("%v is neither an exit code nor a signal", v)
		}
	}
	return nil
}

// Mode is an octal file mode. In JSON it is a string such as "0750".
type Mode struct {
	Set bool
	fs.FileMode
}

// MarshalJSON writes the octal form.
func (m Mode) MarshalJSON() ([]byte, error) {
	if !m.Set {
		return []byte(`""`), nil
	}
	return json.Marshal(fmt.Sprintf("%04o", m.FileMode))
}

// UnmarshalJSON reads the octal form.
func (m *Mode) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("%s is not a file mode such as \"0750\"", b)
	}
	if text == "" {
		*m = Mode{}
		return nil
	}
	parsed, err := ParseMode(text)
	*m = parsed
	return err
}

// ParseMode reads an octal mode such as 0750.
func ParseMode(text string) (Mode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o7777 {
		return Mode{}, fmt.Errorf("%q is not a file mode such as 0750", text)
	}
	return Mode{Set: true, FileMode: fs.FileMode(n)}, nil
}

// Duration is a time span. In JSON it is a number of seconds or a string of Go's
// form, such as "1m30s".
type Duration time.Duration

// Seconds makes a Duration of seconds.
func Seconds(n float64) Duration { return Duration(n * float64(time.Second)) }

// MarshalJSON writes the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads seconds or the string form; it refuses negative spans.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	var span time.Duration
	switch v := v.(type) {
	case float64:
		span = time.Duration(v * float64(time.Second))
	case string:
		var err error
		if span, err = time.ParseDuration(v); err != nil {
			return fmt.Errorf("%q is not a time span such as 5s or 1m30s", v)
		}
	default:
		return fmt.Errorf("%s is not a time span such as 5 or \"5s\"", b)
	}
	if span < 0 {
		return fmt.Errorf("%v is a negative time span", span)
	}
	*d = Duration(span)
	return nil
}
