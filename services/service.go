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
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Service is the definition of one service. It is never changed after it was
// given to a Supervisor. Field names and meaning are those of systemd.unit(5),
// systemd.service(5), systemd.exec(5) and systemd.kill(5) except where a comment
// says otherwise.
type Service struct {
	Name string `json:"-"`

	// Source is where the definition was read, for messages: "FILE" or "FILE:LINE".
	Source string `json:"-"`
	// Unapplied lists the directives of the source that are understood and have no
	// effect in a container, such as ProtectSystem.
	Unapplied []string `json:"-"`

	Description string `json:"Description,omitempty"`
	// Disabled services are known, and run when somebody starts them.
	Disabled bool `json:"Disabled,omitempty"`

	// Type says when the service counts as started; see Type. Default: simple.
	Type Type `json:"Type,omitempty"`
	// RemainAfterExit keeps a service that ended well done, so that stopping it
	// runs ExecStop, instead of starting it again or forgetting it.
	RemainAfterExit bool `json:"RemainAfterExit,omitempty"`
	// PIDFile holds the number of a forking service's main process.
	PIDFile string `json:"PIDFile,omitempty"`
	// NotifyAccess says whose notifications count. Default: all for the types
	// notify and notify-reload and where there is a watchdog, else none.
	NotifyAccess NotifyAccess `json:"NotifyAccess,omitempty"`
	// NotificationFd is the descriptor to which the process writes a line once it
	// is ready: s6's protocol. 0: none.
	NotificationFd int `json:"NotificationFd,omitempty"`

	// ExecStart is the argument vector; no shell reads it. A program without a
	// slash is searched in the service's PATH. Only a oneshot may have several.
	ExecStart     Commands `json:"ExecStart"`
	ExecCondition Commands `json:"ExecCondition,omitempty"`
	ExecStartPre  Commands `json:"ExecStartPre,omitempty"`
	ExecStartPost Commands `json:"ExecStartPost,omitempty"`
	ExecReload    Commands `json:"ExecReload,omitempty"`
	ReloadSignal  Signal   `json:"ReloadSignal,omitempty"` // of notify-reload; default: SIGHUP
	ExecStop      Commands `json:"ExecStop,omitempty"`
	ExecStopPost  Commands `json:"ExecStopPost,omitempty"`

	// Conditions are lines such as "ConditionPathExists=!/etc/ssh/no"; where one
	// does not hold the service is done without having run, and has failed where
	// it begins with Assert instead.
	Conditions []string `json:"Conditions,omitempty"`

	Execution

	// After orders: the service starts when each of these has become ready, is
	// done, or has failed once. Before is the same from the other side. (The stop
	// goes in reverse.)
	After  []string `json:"After,omitempty"`
	Before []string `json:"Before,omitempty"`
	// AfterStart waits only until their processes run (process-compose: process_started).
	AfterStart []string `json:"AfterStart,omitempty"`
	// Wants starts these too. Requires also waits until they are ready or done,
	// with or without an After, fails where they have failed, and stops and
	// restarts with them. BindsTo is Requires, and stops when one is not running
	// any more for whatever reason. PartOf only stops and restarts with them.
	Wants    []string `json:"Wants,omitempty"`
	Requires []string `json:"Requires,omitempty"`
	BindsTo  []string `json:"BindsTo,omitempty"`
	PartOf   []string `json:"PartOf,omitempty"`
	// Conflicts are stopped before the service starts, and the other way round.
	Conflicts []string `json:"Conflicts,omitempty"`
	// PropagatesReloadTo are reloaded with the service, where they can be;
	// ReloadPropagatedFrom is the same from the other side.
	PropagatesReloadTo   []string `json:"PropagatesReloadTo,omitempty"`
	ReloadPropagatedFrom []string `json:"ReloadPropagatedFrom,omitempty"`

	// Restart says after which ends it is started again. Default: always; for
	// oneshot: no.
	Restart Restart `json:"Restart,omitempty"`
	// RestartSec is the first delay; it doubles with each end in a row up to
	// RestartMaxDelaySec and is forgotten once the process has run for 10 s. With
	// RestartSteps it grows in so many equal ratios instead. Where RestartSec is
	// not given a process that had been ready for a second is started again at
	// once. Defaults: 100 ms, 30 s.
	RestartSec         *Duration `json:"RestartSec,omitempty"`
	RestartSteps       int       `json:"RestartSteps,omitempty"`
	RestartMaxDelaySec Duration  `json:"RestartMaxDelaySec,omitempty"`
	// MaxRestarts of them at most until it is failed (process-compose:
	// availability.max_restarts). 0: no limit.
	MaxRestarts int `json:"MaxRestarts,omitempty"`
	// StartLimitBurst starts within StartLimitIntervalSec (default: 10 s) and the
	// service is failed. Default: no limit, since the delay grows.
	StartLimitIntervalSec Duration `json:"StartLimitIntervalSec,omitempty"`
	StartLimitBurst       int      `json:"StartLimitBurst,omitempty"`

	SuccessExitStatus        ExitStatuses `json:"SuccessExitStatus,omitempty"`
	RestartPreventExitStatus ExitStatuses `json:"RestartPreventExitStatus,omitempty"`
	RestartForceExitStatus   ExitStatuses `json:"RestartForceExitStatus,omitempty"`

	TimeoutStartSec Duration `json:"TimeoutStartSec,omitempty"` // default: 90 s; oneshot: none
	TimeoutStopSec  Duration `json:"TimeoutStopSec,omitempty"`  // default: 8 s, to fit docker stop's 10 s
	KillSignal      Signal   `json:"KillSignal,omitempty"`      // default: SIGTERM
	KillMode        KillMode `json:"KillMode,omitzero"`         // default: control-group
	SendSIGHUP      bool     `json:"SendSIGHUP,omitempty"`
	// KeepAlive, the opposite of SendSIGKILL, leaves what outlives TimeoutStopSec alone.
	KeepAlive bool `json:"KeepAlive,omitempty"`
	// WatchdogSec is the longest pause between two WATCHDOG=1 of a notifying
	// service; after it the process gets SIGABRT.
	WatchdogSec Duration `json:"WatchdogSec,omitempty"`

	// Essential ends the container, with the service's exit code, when the
	// service has ended for good. It is SuccessAction=exit with FailureAction=exit.
	Essential     bool   `json:"Essential,omitempty"`
	SuccessAction Action `json:"SuccessAction,omitempty"`
	FailureAction Action `json:"FailureAction,omitempty"`
	// The container's exit code then; default: the service's own.
	SuccessActionExitStatus *int `json:"SuccessActionExitStatus,omitempty"`
	FailureActionExitStatus *int `json:"FailureActionExitStatus,omitempty"`

	// Probe tells when a simple or exec service is ready, Liveness whether it
	// still works; where it does not, it is restarted. ReadyLine is a text that it
	// writes once it is ready.
	Probe     *Probe `json:"Probe,omitempty"`
	Liveness  *Probe `json:"Liveness,omitempty"`
	ReadyLine string `json:"ReadyLine,omitempty"`

	// Sockets are opened before the first start, kept over restarts, and given to
	// the process from descriptor 3 on, with LISTEN_FDS (see sd_listen_fds(3)).
	Sockets []Socket `json:"Sockets,omitempty"`
	// Descriptors are files that init itself has open, given to the process behind its
	// sockets. They stay init's: nothing here closes them.
	Descriptors []Descriptor `json:"-"`
	// FileDescriptorStoreMax is how many descriptors it may leave with us for its
	// next run, by FDSTORE=1.
	FileDescriptorStoreMax int `json:"FileDescriptorStoreMax,omitempty"`

	// LogLocation is a file that gets what the service writes, as it wrote it,
	// beside the log of all (process-compose: log_location).
	LogLocation string `json:"LogLocation,omitempty"`

	// Foreground gives the process the container's own stdin, stdout and stderr,
	// and the terminal where there is one: the main command.
	Foreground bool `json:"-"`
}

// Execution is the surroundings in which the commands of a service run.
type Execution struct {
	Environment      map[string]string `json:"Environment,omitempty"`
	EnvironmentFile  []string          `json:"EnvironmentFile,omitempty"` // "-" before a path: it may be absent
	UnsetEnvironment []string          `json:"UnsetEnvironment,omitempty"`

	// WorkingDirectory is absolute, or "~" for the user's home; "-" before it: / where
	// it cannot be entered. Default: /
	WorkingDirectory    string   `json:"WorkingDirectory,omitempty"`
	User                string   `json:"User,omitempty"`  // name or uid; default: init's own
	Group               string   `json:"Group,omitempty"` // name or gid; default: the user's
	SupplementaryGroups []string `json:"SupplementaryGroups,omitempty"`

	// Nice is added to the scheduling priority, 19 for the least. Less than 0
	// needs CAP_SYS_NICE, which a rented container does not have.
	Nice           int  `json:"Nice,omitempty"`
	OOMScoreAdjust *int `json:"OOMScoreAdjust,omitempty"` // -1000 to 1000; less than init's own needs CAP_SYS_RESOURCE; default: 100 more than that
	UMask          Mode `json:"UMask,omitzero"`           // default: init's own, 0022 in most engines

	// Limit maps the name behind "Limit", such as NOFILE, to "SOFT:HARD", to one
	// value for both, or to "infinity"; see getrlimit(2) for the units.
	Limit           map[string]string `json:"Limit,omitempty"`
	NoNewPrivileges bool              `json:"NoNewPrivileges,omitempty"`

	// Directories below /run, /var/lib, /var/cache, /var/log and /etc that are made,
	// given to User, and named to the process in RUNTIME_DIRECTORY and so on.
	// RuntimeDirectory is removed when the service has ended.
	RuntimeDirectory           []string `json:"RuntimeDirectory,omitempty"`
	RuntimeDirectoryMode       Mode     `json:"RuntimeDirectoryMode,omitzero"`
	RuntimeDirectoryPreserve   string   `json:"RuntimeDirectoryPreserve,omitempty"` // no, yes, restart
	StateDirectory             []string `json:"StateDirectory,omitempty"`
	StateDirectoryMode         Mode     `json:"StateDirectoryMode,omitzero"`
	CacheDirectory             []string `json:"CacheDirectory,omitempty"`
	CacheDirectoryMode         Mode     `json:"CacheDirectoryMode,omitzero"`
	LogsDirectory              []string `json:"LogsDirectory,omitempty"`
	LogsDirectoryMode          Mode     `json:"LogsDirectoryMode,omitzero"`
	ConfigurationDirectory     []string `json:"ConfigurationDirectory,omitempty"`
	ConfigurationDirectoryMode Mode     `json:"ConfigurationDirectoryMode,omitzero"`

	// Tailnet is transparent for a service whose connections to addresses of the tailnet
	// go there wherever the kernel has no device for it. Default: none.
	Tailnet Tailnet `json:"Tailnet,omitempty"`

	// LoadCredential copies files, each "ID:PATH", to the directory that the process finds
	// in CREDENTIALS_DIRECTORY: in memory, readable by User alone.
	LoadCredential []string `json:"LoadCredential,omitempty"`

	// StandardInput is null (the default) or file:PATH; StandardOutput and
	// StandardError are journal, null, file:PATH, append:PATH or truncate:PATH.
	// Defaults: journal, and for StandardError inherit: what StandardOutput is.
	StandardInput  string `json:"StandardInput,omitempty"`
	StandardOutput string `json:"StandardOutput,omitempty"`
	StandardError  string `json:"StandardError,omitempty"`
}

// Probe asks a service whether it works. Exactly one of Exec, HTTP and TCP is set.
type Probe struct {
	// Exec is good when it ends with 0. It has the service's user and environment.
	Exec []string `json:"Exec,omitempty"`
	// HTTP is a URL, without TLS, that answers with a status of 200 to 399, or with
	// Status. Redirects are not followed.
	HTTP   string `json:"HTTP,omitempty"`
	Status int    `json:"Status,omitempty"`
	// Headers go with the question to HTTP.
	Headers map[string]string `json:"Headers,omitempty"`
	// TCP is a host:port that accepts connections.
	TCP string `json:"TCP,omitempty"`
	// Send is said to it first, where it would take silence for an error.
	Send string `json:"Send,omitempty"`
	// Expect is how its first line begins; empty: accepting the connection is enough.
	Expect string `json:"Expect,omitempty"`

	// InitialDelaySec passes before the first question. PeriodSec between two; default:
	// 10 s for Liveness, and for readiness 2 ms growing to 250 ms, 50 ms to 1 s for
	// Exec.
	InitialDelaySec Duration `json:"InitialDelaySec,omitempty"`
	PeriodSec       Duration `json:"PeriodSec,omitempty"`
	TimeoutSec      Duration `json:"TimeoutSec,omitempty"` // default: 3 s
	// So many good answers in a row count as one (default: 1), and so many bad ones
	// (default: 3; of readiness: no number, TimeoutStartSec decides). Of readiness
	// without PeriodSec a bad one counts once a second.
	SuccessThreshold int `json:"SuccessThreshold,omitempty"`
	FailureThreshold int `json:"FailureThreshold,omitempty"`
}

// Socket is a listening socket that init opens for a service.
type Socket struct {
	// Listen is a host:port, a port, or the path of a unix socket.
	Listen string `json:"Listen"`
	// Type is stream (the default), datagram or seqpacket.
	Type  string `json:"Type,omitempty"`
	Name  string `json:"Name,omitempty"`  // in LISTEN_FDNAMES; default: the service's
	Mode  Mode   `json:"Mode,omitzero"`   // of a unix socket; default: 0666
	User  string `json:"User,omitempty"`  // its owner
	Group string `json:"Group,omitempty"` // its group
}

// Descriptor is a file that init has open for a service.
type Descriptor struct {
	Name string // in LISTEN_FDNAMES
	File *os.File
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
	svc = svc.WithDefaults()
	return svc, svc.Validate()
}

// parseTogether is how many definitions one goroutine is worth.
const parseTogether = 32

// ParseAll is Parse for many: the results are in the order of the names. A
// thousand definitions take as long to read as a hundred processes to start.
func ParseAll(names []string, definition func(name string) []byte) ([]Service, []error) {
	list, errs := make([]Service, len(names)), make([]error, len(names))
	parse := func(from int) {
		for i := from; i < min(from+parseTogether, len(names)); i++ {
			list[i], errs[i] = Parse(names[i], definition(names[i]))
		}
	}
	var done sync.WaitGroup
	for from := parseTogether; from < len(names); from += parseTogether {
		done.Add(1)
		go func() {
			defer func() {
				if p := recover(); p != nil {
					errs[from] = fmt.Errorf("BUG: panic while reading the services from %s on: %v", names[from], p)
				}
				done.Done()
			}()
			parse(from)
		}()
	}
	parse(0)
	done.Wait()
	return list, errs
}

// WithDefaults returns the definition with each unset field set.
func (svc Service) WithDefaults() Service {
	set(&svc.Type, Simple)
	set(&svc.KillSignal, "SIGTERM")
	set(&svc.ReloadSignal, "SIGHUP")
	set(&svc.KillMode, KillGroup)
	set(&svc.WorkingDirectory, "/")
	set(&svc.TimeoutStopSec, Duration(8*time.Second))
	set(&svc.RestartMaxDelaySec, Duration(30*time.Second))
	set(&svc.StartLimitIntervalSec, Duration(10*time.Second))
	if svc.Type == Oneshot {
		set(&svc.Restart, RestartNo)
	} else {
		set(&svc.Restart, RestartAlways)
		set(&svc.TimeoutStartSec, Duration(90*time.Second))
	}
	if svc.notifies() {
		set(&svc.NotifyAccess, NotifyAll)
	} else {
		set(&svc.NotifyAccess, NotifyNone)
	}
	for _, mode := range []*Mode{&svc.RuntimeDirectoryMode, &svc.StateDirectoryMode, &svc.CacheDirectoryMode,
		&svc.LogsDirectoryMode, &svc.ConfigurationDirectoryMode} {
		set(mode, Mode{Set: true, FileMode: fs.FileMode(0o755)})
	}
	set(&svc.RuntimeDirectoryPreserve, "no")
	if svc.Essential {
		set(&svc.SuccessAction, ActionExit)
		set(&svc.FailureAction, ActionExit)
	}
	return svc
}

// notifies says whether the definition has use for notifications.
func (svc *Service) notifies() bool {
	return svc.Type == Notify || svc.Type == NotifyReload || svc.WatchdogSec > 0 || svc.FileDescriptorStoreMax > 0
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
