// Package services supervises the services of a container: what a service is,
// the states it goes through, the one goroutine that owns them all, the
// processes it starts, and what these write.
//
// Everything that can happen to a service is an event; next turns (state,
// event) into (state, action); Supervisor.Run, on the program's main thread, is
// the only caller of next, the only place that starts supervised processes and
// the only reaper.
package services

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Service is the definition of one service. It is never changed after it was
// given to a Supervisor. Field names and meaning are those of systemd.service(5)
// and systemd.exec(5) except where a comment says otherwise.
type Service struct {
	Name string `json:"-"`

	Description string `json:"Description,omitempty"`

	// Type simple is ready as soon as it runs, or as soon as its Probe answers;
	// oneshot is done when it ends. Default: simple.
	Type Type `json:"Type,omitempty"`

	// ExecStart is the argument vector; no shell reads it. A program without a
	// slash is searched in the service's PATH.
	ExecStart []string `json:"ExecStart"`

	Environment      map[string]string `json:"Environment,omitempty"`
	UnsetEnvironment []string          `json:"UnsetEnvironment,omitempty"`
	WorkingDirectory string            `json:"WorkingDirectory,omitempty"` // default: /
	User             string            `json:"User,omitempty"`             // name or uid; default: init's own
	Group            string            `json:"Group,omitempty"`            // name or gid; default: the user's

	// Nice is added to the scheduling priority, 19 for the least. Less than 0
	// needs CAP_SYS_NICE, which a rented container does not have.
	Nice int `json:"Nice,omitempty"`

	// After orders: the service starts when each of these has become ready, is
	// done, or has failed once. Requires also wants them ready or done.
	After    []string `json:"After,omitempty"`
	Requires []string `json:"Requires,omitempty"`

	// Restart says after which ends it is started again. Default: always; for
	// oneshot: no.
	Restart Restart `json:"Restart,omitempty"`
	// RestartSec is the first delay; it doubles with each end in a row up to
	// RestartMaxDelaySec and is forgotten once the process has run for 10 s.
	// Where it is not given a process that had been ready for a second is
	// started again at once. Defaults: 100 ms, 30 s.
	RestartSec         Duration `json:"RestartSec,omitempty"`
	RestartMaxDelaySec Duration `json:"RestartMaxDelaySec,omitempty"`

	TimeoutStartSec Duration   `json:"TimeoutStartSec,omitempty"` // default: 90 s; oneshot: none
	TimeoutStopSec  Duration   `json:"TimeoutStopSec,omitempty"`  // default: 8 s, to fit docker stop's 10 s
	KillSignal      KillSignal `json:"KillSignal,omitempty"`      // default: SIGTERM
	KillMode        KillMode   `json:"KillMode,omitempty"`        // default: control-group

	// Essential ends the container, with the service's exit code, when the
	// service has ended for good. (systemd: SuccessAction=exit, FailureAction=exit)
	Essential bool `json:"Essential,omitempty"`

	// Probe tells when a simple service is ready.
	Probe *Probe `json:"Probe,omitempty"`

	// Foreground gives the process the container's own stdin, stdout and stderr,
	// and the terminal where there is one: the main command.
	Foreground bool `json:"-"`
}

// Type says when a service counts as started.
type Type string

// The types of a service.
const (
	Simple  Type = "simple"
	Oneshot Type = "oneshot"
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
)

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

// KillMode says what KillSignal goes to: the process group of the service
// ("control-group", the name that systemd's users know) or its first process
// alone ("process": what that started lives on, as SSH sessions do).
type KillMode string

// The kill modes.
const (
	KillGroup   KillMode = "control-group"
	KillProcess KillMode = "process"
)

// KillSignal is a signal by its name, such as SIGTERM.
type KillSignal string

func (k KillSignal) signal() syscall.Signal { return unix.SignalNum(string(k)) }

// Probe asks a service whether it can serve.
type Probe struct {
	// TCP is a host:port that accepts connections once the service is ready.
	TCP string `json:"TCP"`
	// Send is said to it first, where it would take silence for an error.
	Send string `json:"Send,omitempty"`
	// Expect is how its first line begins; empty: accepting the connection is enough.
	Expect string `json:"Expect,omitempty"`
}

// Duration is a time span. In JSON it is a number of seconds or a string of Go's
// form, such as "1m30s".
type Duration time.Duration

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

// validName keeps names usable as file names and in a log prefix. 64 leaves room
// in a socket path of 107 bytes. (No regexp: compiling one would cost every start
// of the program a tenth of a millisecond.)
func validName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@'
		if !letter && (i == 0 || c != '.' && c != ':' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// Parse reads the JSON of one service, refuses fields that it does not know,
// fills in the defaults and checks the values. The error holds every problem
// found, one a line.
func Parse(name string, b []byte) (Service, error) {
	svc := Service{Name: name}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&svc); err != nil {
		return Service{}, fmt.Errorf("service %s: %w", name, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Service{}, fmt.Errorf("service %s: there is text behind the JSON object", name)
	}
	svc.Name = name
	svc = svc.withDefaults()
	return svc, svc.Validate()
}

// withDefaults returns the definition with each unset field set.
func (svc Service) withDefaults() Service {
	set(&svc.Type, Simple)
	set(&svc.KillSignal, "SIGTERM")
	set(&svc.KillMode, KillGroup)
	set(&svc.WorkingDirectory, "/")
	set(&svc.TimeoutStopSec, Duration(8*time.Second))
	set(&svc.RestartMaxDelaySec, Duration(30*time.Second))
	if svc.Type == Oneshot {
		set(&svc.Restart, RestartNo)
	} else {
		set(&svc.Restart, RestartAlways)
		set(&svc.TimeoutStartSec, Duration(90*time.Second))
	}
	return svc
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate says everything that is wrong with a definition.
func (svc *Service) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("service %s: "+format, append([]any{svc.Name}, args...)...))
	}
	if !validName(svc.Name) {
		bad("the name must be 1 to 64 letters, digits or any of _ . @ : - and not begin with . : or -")
	}
	if len(svc.ExecStart) == 0 || svc.ExecStart[0] == "" {
		bad("ExecStart is empty; give the program and its arguments as a list")
	}
	oneOf(bad, "Type", svc.Type, Simple, Oneshot)
	oneOf(bad, "Restart", svc.Restart, RestartNo, RestartAlways, RestartOnSuccess, RestartOnFailure, RestartOnAbnormal, RestartOnAbort)
	oneOf(bad, "KillMode", svc.KillMode, KillGroup, KillProcess)
	if svc.KillSignal.signal() == 0 {
		bad("KillSignal %q is not a signal; use a name such as SIGTERM", svc.KillSignal)
	}
	if !strings.HasPrefix(svc.WorkingDirectory, "/") {
		bad("WorkingDirectory %q is not an absolute path", svc.WorkingDirectory)
	}
	if svc.Nice < -20 || svc.Nice > 19 {
		bad("Nice %d is not between -20 and 19", svc.Nice)
	}
	for _, k := range slices.Sorted(maps.Keys(svc.Environment)) {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(svc.Environment[k], 0) {
			bad("Environment: %q is not a variable that a process can be given", k)
		}
	}
	for _, arg := range svc.ExecStart {
		if strings.ContainsRune(arg, 0) {
			bad("ExecStart holds a NUL byte")
		}
	}
	if svc.Probe != nil && svc.Type == Oneshot {
		bad("a oneshot has no Probe: it is done when it ends")
	}
	if svc.Probe != nil && portOf(svc.Probe.TCP) == 0 {
		bad("Probe: TCP %q is not of the form host:port", svc.Probe.TCP)
	}
	return errors.Join(errs...)
}

func oneOf[T ~string](bad func(string, ...any), field string, value T, allowed ...T) {
	if !slices.Contains(allowed, value) {
		names := make([]string, len(allowed))
		for i, a := range allowed {
			names[i] = string(a)
		}
		bad("%s %q is none of %s", field, value, strings.Join(names, ", "))
	}
}
