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

	// Root is what the directories of services hang off, Run the directory for
	// sockets and credentials; "" for none.
	Root, Run string

	// Program is our own executable, which starts services that need more than
	// fork and exec give; see shim.
	Program string

	// StopTimeout is how long all services together get to end; docker kills
	// everything 10 s after its SIGTERM.
	StopTimeout time.Duration

	// Ending is called once, when the container begins to end.
	Ending func()

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
	pids    map[int]*record // of main processes and commands
	environ []string
	stdin   *os.File
	changed chan struct{} // closed and replaced at each change
	end     *ending
	orphans int
	kills   uint64 // of the kernel, for want of memory, so far
	score   int    // our own oom_score_adj

	replacing  bool          // some definition waits for an end
	datagram   []byte        // for notifications
	collected  []collected   // by the reaper in this pass
	owners     map[int]owner // of adopted children
	askAt      time.Time     // when one of them is asked again; zero: never
	children   []int         // the adopted ones
	adoptedNow bool          // children is of this pass
}

// New makes a supervisor without services.
func New(o Options) *Supervisor {
	s := &Supervisor{
		opts:     o,
		requests: make(chan func()),
		over:     make(chan struct{}),
		records:  map[string]*record{},
		pids:     map[int]*record{},
		owners:   map[int]owner{},
		changed:  make(chan struct{}),
	}
	s.kills, _ = oomKills()
	s.score, _ = readNumber("/proc/self/oom_score_adj") // 0 without a /proc
	return s
}

// thawed is by how much the loop must have overslept to take it for a pause of
// the whole container (docker pause) and not for a busy machine.
const thawed = 3 * time.Second

// Run supervises until the container has to end, and returns its exit code. It
// must be called on the program's main goroutine, locked to the main thread
// (see reap). signals brings every signal but SIGCHLD, child SIGCHLD.
func (s *Supervisor) Run(signals, child <-chan os.Signal) int {
	defer close(s.over)
	timer := time.NewTimer(time.Hour)
	for {
		wait := s.untilNext()
		timer.Reset(wait)
		slept := time.Now()
		var what string
		var do func()
		select {
		case <-child:
			what, do = "reaping", s.reap
		case sig := <-signals:
			what, do = "handling a signal", func() { s.signal(sig.(syscall.Signal)) }
		case do = <-s.requests:
			what = "handling a request"
		case <-timer.C:
			// SIGCHLD is not a count, and one may be lost while a stopped
			// container thaws: a pass over the children costs nothing.
			what, do = "handling timers", func() { s.reap(); s.expire(time.Now()) }
		}
		s.guard(what, func() {
			// Whatever is handled first: behind it the timer would not look late any more.
			if now := time.Now(); now.Sub(slept)-wait > thawed {
				s.postpone(now, now.Sub(slept))
			}
			do()
		})
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
	}
	if r.waits {
		st.WaitsFor, _ = r.blockedBy()
	}
	return st
}
