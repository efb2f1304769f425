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

	// Root is what the directories of services hang off.
	Root string

	// Run returns the directory for sockets and credentials, or why there is none;
	// always the same. It is asked when a service first needs it, so that a mount
	// which the boot makes may hold it.
	Run func() (string, error)

	// Program is our own executable, which starts services that need more than
	// fork and exec give; see shim.
	Program string

	// StopTimeout is how long all services together get to end; docker kills
	// everything 10 s after its SIGTERM.
	StopTimeout time.Duration

	// Instead are the signals that the main command gets in the place of others; 0: none,
	// as if init had not got one either. See dumb-init --rewrite.
	Instead map[syscall.Signal]syscall.Signal
	// MainAlone: signals are for the main command, and not for its process group.
	MainAlone bool

	// EndWithLast ends the container once all services that somebody defined have ended
	// for good; see endWithLast.
	EndWithLast bool

	// Ending is called once, when the container begins to end.
	Ending func()

	// Interceptor is the service that answers for those with Tailnet set. Intercepted takes
	// the listener of each process of theirs that init starts, and closes it; see package intercept.
	Interceptor string
	Intercepted func(service string, listener *os.File)

	// Alone is true for PID 1: everything in its namespace is its own to end.
	Alone bool
}

// Supervisor owns the services of a container. Run is the one goroutine that
// reads and changes their states; every other method asks it to.
type Supervisor struct {
	opts     Options
	requests chan func()
	over     chan struct{} // closed when Run has returned

	// What tests replace.
	oomKills     func() (count uint64, ok bool)
	invocationOf func(pid int) (id string, ok bool)
	asker        func(dir string, env []string, cred *syscall.Credential) asker

	// All that follows belongs to the goroutine of Run.
	records map[string]*record
	order   []*record
	pids    map[int]*record // of main processes and commands
	environ []string
	stdin   *os.File
	changed chan struct{} // closed and replaced at each change
	end     *ending
	orphans int
	kills   uint64 // of the kernel, for want of memory, before this pass
	score   int    // our own oom_score_adj
	spare   int    // what is added to it for others: expendable; 0 until learnMemory

	holds      int           // how many do not want the end of the last service to be that of the container
	lastEnded  bool          // a service has ended by itself since endWithLast looked
	replacing  bool          // some definition waits for an end
	datagram   []byte        // for notifications
	collected  []collected   // by the reaper in this pass
	owners     map[int]owner // of adopted children
	askAt      time.Time     // when one of them is asked again; zero: never
	reapAfter  time.Time     // before this the children are not looked at again
	reapAt     time.Time     // when they are, having ended before it; zero: none has
	children   []int         // the adopted ones
	adoptedNow bool          // children is of this pass
}

// New makes a supervisor without services.
func New(o Options) *Supervisor {
	return &Supervisor{
		opts:     o,
		requests: make(chan func()),
		over:     make(chan struct{}),
		records:  map[string]*record{},
		pids:     map[int]*record{},
		owners:   map[int]owner{},
		oomKills: oomKills, invocationOf: invocationOf, asker: newAsker,
		changed: make(chan struct{}),
		holds:   1,
	}
}

// thawed is by how much the loop must have overslept to take it for a pause of
// the whole container (docker pause) and not for a busy machine.
const thawed = 3 * time.Second

// shortestPause is by how much at least for a watchdog that is shorter: see isPause.
const shortestPause = 500 * time.Millisecond

// exact is by how much a timer may be late: with that given back nothing would be due at the
// first look, and the next one is a millisecond later, which is the least that epoll sleeps.
const exact = 10 * time.Millisecond

// Run supervises until the container has to end, and returns its exit code. It
// must be called on the program's main goroutine, locked to the main thread
// (see reap). signals brings every signal but SIGCHLD, child SIGCHLD.
func (s *Supervisor) Run(signals, child <-chan os.Signal) int {
	defer close(s.over)
	timer := time.NewTimer(time.Hour)
	idle := time.Now() // since when there is nothing to do
	for {
		wait := s.untilNext()
		timer.Reset(wait)
		var what string
		var do func()
		select {
		case <-child:
			what, do = "reaping", s.reapSoon
		case sig := <-signals:
			what, do = "handling a signal", func() { s.signal(sig.(syscall.Signal)) }
		case do = <-s.requests:
			what = "handling a request"
		case <-timer.C:
			// SIGCHLD is not a count, and one may be lost while a stopped
			// container thaws: a pass over the children costs nothing.
			what, do = "handling timers", func() { s.reap(); s.countKills(); s.expire(time.Now()) }
		}
		s.guard(what, func() {
			// Whatever is handled first: behind it the timer would not look late any more.
			woken := time.Now()
			s.overslept(woken, woken.Sub(idle), wait)
			do()
			// A pause may fall into the handling too. Work is none: what it made due is due.
			if now := time.Now(); now.Sub(woken) > shortestPause {
				s.overslept(now, now.Sub(woken), 0)
			}
		})
		idle = time.Now()
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
	s.adoptedNow = false
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

// Add takes definitions over and starts those that are not disabled. A dependency
// that does not exist, or that would close a circle, is cut and reported: one wrong
// line must not keep the others from running.
func (s *Supervisor) Add(ctx context.Context, list ...Service) error {
	var errs []error
	err := s.ask(ctx, func() {
		if s.end != nil {
			errs = append(errs, ErrOver)
			return
		}
		added := map[string]bool{}
		for _, svc := range list {
			if s.records[svc.Name] != nil {
				errs = append(errs, fmt.Errorf("service %s: the name is taken", svc.Name))
				continue
			}
			if err := s.take(svc); err != nil {
				errs = append(errs, err)
				continue
			}
			added[svc.Name] = true
		}
		errs = append(errs, s.connect(func(name string) bool { return added[name] })...)
		errs = append(errs, s.startAdded(added)...)
		s.settle()
	})
	return errors.Join(append(errs, err)...)
}

// take makes a record of a definition, or says what is wrong with that.
func (s *Supervisor) take(svc Service) error {
	svc = svc.WithDefaults()
	if err := svc.Validate(); err != nil {
		return err
	}
	r := &record{Service: svc, since: time.Now()}
	s.records[svc.Name] = r
	s.order = append(s.order, r)
	return nil
}

// startAdded starts new services; of two that conflict the first.
func (s *Supervisor) startAdded(added map[string]bool) []error {
	var errs []error
	for _, r := range s.order {
		if !added[r.Name] || r.Disabled {
			continue
		}
		if foe := r.runningFoe(); foe != nil {
			errs = append(errs, fmt.Errorf("service %s: not started, since it conflicts with %s", r.Name, foe.Name))
			continue
		}
		s.start(r)
	}
	return errs
}

func (r *record) runningFoe() *record {
	for _, foe := range r.foes {
		if foe.active() {
			return foe
		}
	}
	return nil
}

// Status is a copy of where one service stands.
type Status struct {
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Type        Type      `json:"type"`
	State       State     `json:"state"`
	Since       time.Time `json:"since"`
	Pid         int       `json:"pid,omitempty"`
	Pids        []int     `json:"pids,omitempty"` // leaders of the groups that it runs in
	Restarts    int       `json:"restarts"`
	Note        string    `json:"note,omitempty"`
	Text        string    `json:"status_text,omitempty"` // the latest STATUS= of its process
	WaitsFor    string    `json:"waits_for,omitempty"`   // the service that it waits for
	ExitCode    int       `json:"exit_code"`             // of the latest end, as ContainerCode has it
	Result      string    `json:"result"`                // systemd's word for that end, such as success or exit-code
	Disabled    bool      `json:"disabled,omitempty"`
	Source      string    `json:"source,omitempty"`
	Unapplied   []string  `json:"unapplied,omitempty"`
	Reloading   bool      `json:"reloading,omitempty"`
	// ReloadFailure is why its latest reload failed, of this run.
	ReloadFailure string `json:"reload_failure,omitempty"`
	// Tailnet is "transparent" where the service wants that, or why it is not.
	Tailnet string `json:"tailnet,omitempty"`
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
			snap.Services = append(snap.Services, r.status())
		}
	})
	return snap, err
}

func (r *record) status() Status {
	st := Status{
		Name: r.Name, Description: r.Description, Type: r.Type, State: r.state, Since: r.since, Pid: r.pid,
		Pids: slices.Clone(r.groups), Restarts: r.restarts, Note: r.note, Text: r.said, ExitCode: r.exit.ContainerCode(),
		Result: r.result(r.exit), Disabled: r.Disabled, Source: r.Source, Unapplied: r.Unapplied,
		Reloading: r.reloads, ReloadFailure: r.reloadFailure, Tailnet: r.tailnet(),
	}
	if r.waits {
		st.WaitsFor, _ = r.blockedBy()
	}
	return st
}
