package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Options are what a Supervisor needs to know of the container.
type Options struct {
	Log     *zap.Logger
	Journal *Journal // takes what the services write

	// StopTimeout is how long all services together get to end; docker kills
	// everything 10 s after its SIGTERM.
	StopTimeout time.Duration

	// Alone is true for PID 1: everything in its namespace is its own to end.
	Alone bool
}

// Supervisor owns the services of a container. Run is the one goroutine that
// reads and changes their states; every other method asks it to.
type Supervisor struct {
	opts     Options
	requests chan func()
	over     chan struct{} // closed when Run has returned

	// All that follows belongs to the goroutine of Run.
	records map[string]*record
	order   []*record
	pids    map[int]*record
	environ []string
	stdin   *os.File
	changed chan struct{} // closed and replaced at each change
	end     *ending
	orphans int
}

// record is one service and where it stands.
type record struct {
	Service
	state    State
	since    time.Time
	note     string
	pid      int  // of its process; 0: none
	lingers  bool // its process ended, others of its group did not
	waits    bool // to be spawned as soon as what it is After allows
	again    bool // to be started again once it has stopped
	exit     Exit
	started  time.Time // of its process
	readyAt  time.Time
	deadline time.Time // when evTimeout is due; zero: never
	spawnAt  time.Time // not before; set when the kernel had no room for a process
	failures int       // ends in a row, for the back-off
	restarts int
	pipe     *pipe
	probe    context.CancelFunc
}

// New makes a supervisor without services.
func New(o Options) *Supervisor {
	return &Supervisor{
		opts:     o,
		requests: make(chan func()),
		over:     make(chan struct{}),
		records:  map[string]*record{},
		pids:     map[int]*record{},
		changed:  make(chan struct{}),
	}
}

// Run supervises until the container has to end, and returns its exit code. It
// must be called on the program's main goroutine, locked to the main thread
// (see reap). signals brings every signal but SIGCHLD, child SIGCHLD.
func (s *Supervisor) Run(signals, child <-chan os.Signal) int {
	defer close(s.over)
	timer := time.NewTimer(time.Hour)
	for {
		timer.Reset(s.untilNext())
		select {
		case <-child:
			s.guard("reaping", s.reap)
		case sig := <-signals:
			s.guard("handling a signal", func() { s.signal(sig.(syscall.Signal)) })
		case do := <-s.requests:
			s.guard("handling a request", do)
		case <-timer.C:
			// SIGCHLD is not a count, and one may be lost while a stopped
			// container thaws: a pass over the children costs nothing.
			s.guard("handling timers", func() { s.reap(); s.expire(time.Now()) })
		}
		if s.end != nil && s.end.finished {
			return s.end.code
		}
	}
}

// guard keeps a bug in one event from ending the container.
func (s *Supervisor) guard(what string, do func()) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Log.Error("BUG: panic while "+what, zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	do()
}

// ErrOver is what every request gets once the supervisor has ended.
var ErrOver = errors.New("the container is ending")

// ask runs do on the goroutine of Run and waits for it.
func (s *Supervisor) ask(ctx context.Context, do func()) error {
	done := make(chan struct{})
	select {
	case s.requests <- func() { defer close(done); do() }:
		<-done // a request never blocks
		return nil
	case <-s.over:
		return ErrOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetEnviron sets what every service's environment starts from, "K=V" each.
func (s *Supervisor) SetEnviron(ctx context.Context, environ []string) error {
	return s.ask(ctx, func() { s.environ = slices.Clone(environ) })
}

// Add takes definitions over and starts them. A dependency that does not exist,
// or that would close a circle, is cut and reported: one wrong line must not
// keep the others from running.
func (s *Supervisor) Add(ctx context.Context, list ...Service) error {
	var errs []error
	err := s.ask(ctx, func() {
		if s.end != nil {
			errs = append(errs, ErrOver)
			return
		}
		var added []*record
		for _, svc := range list {
			if s.records[svc.Name] != nil {
				errs = append(errs, fmt.Errorf("service %s: the name is taken", svc.Name))
				continue
			}
			svc = svc.WithDefaults()
			if err := svc.Validate(); err != nil {
				errs = append(errs, err)
				continue
			}
			r := &record{Service: svc, since: time.Now()}
			s.records[svc.Name] = r
			s.order = append(s.order, r)
			added = append(added, r)
		}
		errs = append(errs, s.cut(added)...)
		for _, r := range added {
			if !r.Disabled {
				s.apply(r, event{kind: evStart})
			}
		}
		s.settle()
	})
	return errors.Join(append(errs, err)...)
}

// Start, Stop and Restart act on the named services and return at once; the
// state tells what became of it. An unknown name is an error and nothing
// happens to the others either.
func (s *Supervisor) Start(ctx context.Context, names ...string) error {
	return s.each(ctx, names, func(r *record) { s.apply(r, event{kind: evStart}) })
}

// Stop ends the named services; they stay stopped.
func (s *Supervisor) Stop(ctx context.Context, names ...string) error {
	return s.each(ctx, names, func(r *record) { r.again = false; s.apply(r, event{kind: evStop}) })
}

// Restart ends the named services where they run, and starts them.
func (s *Supervisor) Restart(ctx context.Context, names ...string) error {
	return s.each(ctx, names, func(r *record) {
		s.apply(r, event{kind: evStop})
		if r.state == Stopping {
			r.again = true
			return
		}
		s.apply(r, event{kind: evStart})
	})
}

func (s *Supervisor) each(ctx context.Context, names []string, do func(*record)) error {
	var unknown error
	err := s.ask(ctx, func() {
		for _, name := range names {
			if s.records[name] == nil {
				unknown = &UnknownError{Name: name, Known: s.names()}
				return
			}
		}
		if s.end != nil {
			unknown = ErrOver
			return
		}
		for _, name := range names {
			do(s.records[name])
		}
		s.settle()
	})
	if unknown != nil {
		return unknown
	}
	return err
}

// UnknownError is the answer to a name that no service has.
type UnknownError struct {
	Name  string
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("no service is called %s; there are: %v", e.Name, e.Known)
}

func (s *Supervisor) names() []string {
	var names []string
	for _, r := range s.order {
		names = append(names, r.Name)
	}
	return names
}

// Status is a copy of where one service stands.
type Status struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	Since    time.Time `json:"since"`
	Pid      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Note     string    `json:"note,omitempty"`

	Type        Type   `json:"type"`
	Description string `json:"description,omitempty"`
	Text        string `json:"status_text,omitempty"` // what the service says of itself
	Disabled    bool   `json:"disabled,omitempty"`
	Source      string `json:"source,omitempty"`
	Result      string `json:"result,omitempty"` // of the last run, in systemd's words
	ExitCode    int    `json:"exit_code,omitempty"`
}

// Snapshot is where all services stand at one moment. Changed is closed when
// that is no longer so.
type Snapshot struct {
	Services []Status
	Orphans  int // processes of others that were adopted and reaped
	Ending   bool
	Changed  <-chan struct{}
}

// Snapshot copies the state of all services, in the order in which they were added.
func (s *Supervisor) Snapshot(ctx context.Context) (Snapshot, error) {
	var snap Snapshot
	err := s.ask(ctx, func() {
		snap = Snapshot{Orphans: s.orphans, Ending: s.end != nil, Changed: s.changed}
		for _, r := range s.order {
			snap.Services = append(snap.Services, Status{
				Name: r.Name, State: r.state, Since: r.since, Pid: r.pid, Restarts: r.restarts, Note: r.note,
				Type: r.Type, Description: r.Description, Disabled: r.Disabled, Source: r.Source,
				Result: r.exit.stubResult(), ExitCode: r.exit.Code,
			})
		}
	})
	return snap, err
}
