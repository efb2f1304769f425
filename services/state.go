package services

import "fmt"

// State is where a service stands. There are seven, and only next moves a
// service from one to another:
//
//	          Start                     Ready
//	stopped ────────► starting ───────────────────► ready
//	   ▲                 ▲ │ │                       │ │
//	   │       Timeout or│ │ │ Exited                │ │ Exited
//	   │           Start │ │ │                       │ │
//	   │              backoff◄────────(Restart)──────┘ │
//	   │                   │ ├───────────► done        │  ended as it should
//	   │                   │ └───────────► failed      │  ended, not to be retried
//	   │  Exited           │ Stop, Fault             │ │ Stop, Fault
//	   └───────────── stopping ◄─────────────────────┴─┘
//
// Start takes done and failed back to starting; Stop takes backoff, done and
// failed to stopped. A process that was ended for a fault (not ready in time, no
// watchdog, no answer) goes on from stopping as one that ended by itself. Within
// starting the commands of ExecCondition, ExecStartPre, ExecStart and
// ExecStartPost follow each other, within stopping those of ExecStop, KillSignal,
// SIGKILL and ExecStopPost.
type State uint8

// The states of a service.
const (
	Stopped  State = iota // not running, and nobody wants it to
	Starting              // waiting for what it is After, or running and not yet ready
	Ready                 // running and able to serve
	Stopping              // asked to end
	Backoff               // ended; will be started again when its delay is over
	Failed                // ended badly; not retried
	Done                  // ended as it should: a oneshot that finished
)

var stateNames = [...]string{"stopped", "starting", "ready", "stopping", "backoff", "failed", "done"}

func (s State) String() string { return stateNames[s] }

// MarshalText gives the name that status and log use.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *State) UnmarshalText(b []byte) error {
	for i, name := range stateNames {
		if name == string(b) {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("unknown service state %q", b)
}

// eventKind says what happened to a service.
type eventKind uint8

const (
	evStart   eventKind = iota // somebody wants it to run
	evStop                     // somebody wants it to end
	evReady                    // it can serve
	evFault                    // it runs and does not work: watchdog, Liveness, a service that it is bound to
	evExited                   // its process, and what that left behind, is gone
	evTimeout                  // the deadline of the state it is in has passed
)

// event is one input of next.
type event struct {
	kind  eventKind
	exit  Exit // of evExited
	again bool // of evExited while stopping: it was a restart
	limit bool // of evExited: it has been started as often as it may be
}

// action is what the supervisor has to do after a change of state.
type action uint8

const (
	actNone      action = iota
	actSpawn            // start it as soon as what it is After allows
	actTerminate        // run ExecStop, send KillSignal, and arm the stop timeout
	actKill             // send SIGKILL
	actDelay            // arm the back-off timer
)

// next is the whole life of a service: a pure function, tested over every pair
// of state and event.
func next(s State, e event, svc *Service) (State, action) {
	switch e.kind {
	case evStart:
		if s == Stopped || s == Backoff || s == Failed || s == Done && !svc.RemainAfterExit {
			return Starting, actSpawn
		}
	case evStop:
		switch {
		case s == Starting || s == Ready || s == Done && svc.RemainAfterExit:
			return Stopping, actTerminate
		case s == Backoff || s == Failed || s == Done:
			return Stopped, actNone
		}
	case evReady:
		if s == Starting && svc.Type != Oneshot {
			return Ready, actNone
		}
	case evFault:
		if s == Starting || s == Ready {
			return Stopping, actTerminate
		}
	case evExited:
		switch {
		case s == Starting || s == Ready:
			return ended(e, svc)
		case s == Stopping && e.again:
			return Starting, actSpawn
		case s == Stopping && e.exit.Cause != "":
			return ended(e, svc)
		case s == Stopping:
			return Stopped, actNone
		}
	case evTimeout:
		switch s {
		case Starting:
			return Stopping, actTerminate
		case Stopping:
			return Stopping, actKill
		case Backoff:
			return Starting, actSpawn
		}
	}
	return s, actNone
}

// neverAgain is the exit code with which a service says that it must not be
// started again: s6's finish script and gokrazy use the same number.
const neverAgain = 125

// ended decides what follows the end of a process that nobody asked to stop.
func ended(e event, svc *Service) (State, action) {
	x := e.exit
	switch {
	case x.Cause == Skipped:
		return Done, actNone
	case x.Cause == Dependency || x.Code == neverAgain && x.Signal == 0 && x.Err == nil:
		return Failed, actNone
	case svc.restarts(x) && e.limit:
		return Failed, actNone
	case svc.restarts(x):
		return Backoff, actDelay
	case svc.success(x):
		return Done, actNone
	default:
		return Failed, actNone
	}
}
