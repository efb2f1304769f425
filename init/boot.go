package boot

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
)

// A Step is one stage of boot. Run says in its note what it changed ("" for
// nothing); an error is kept for the status, and boot goes on.
type Step struct {
	Name    string
	Timeout time.Duration // 0: 10 s
	Run     func(ctx context.Context, c *Container) (note string, err error)
}

// Container is what the steps share. It is filled from left to right: a step
// may rely on what the steps before it set.
type Container struct {
	Root     string // every path hangs off it; "/" in a box
	Config   image.Config
	Settings Settings
	Environ  []string // "K=V", without secrets: what services and sessions get; set by Environment
	Log      *zap.Logger

	PasswordSet bool     // root's password in /etc/shadow can be logged in with over SSH; set by Accounts
	Keys        int      // usable lines in root's authorized_keys, ours and others; set by SSHKeys
	Problems    []string // one sentence for each input that was left out; any step may append

	Version    string   // of this program
	Command    []string // the main command; empty: the container lives until it is stopped
	Journal    *services.Journal
	Supervisor *services.Supervisor
	Progress   *Progress // what status tells of the boot
	startedIn  string    // the main command's directory
	defined    *defined  // where the services come from
	filters    *filters  // of what is transparent

	runDir func() (string, error) // the run directory; not to be asked before Mounts is over
}

// stepTimeout bounds a step that says nothing else. The steps take milliseconds;
// what can take longer is a file system that does not answer.
const stepTimeout = 10 * time.Second

// StepStatus is what became of one step.
type StepStatus struct {
	Name  string        `json:"name"`
	OK    bool          `json:"ok"`
	Took  time.Duration `json:"took_ns"`
	Note  string        `json:"note,omitempty"`
	Error string        `json:"error,omitempty"`
}

// Progress is how far boot has come. It is written by Run and read by status.
type Progress struct {
	mu       sync.Mutex
	began    time.Time
	steps    []StepStatus
	over     bool
	changed  chan struct{}
	keys     int
	password bool
	problems []string
	took     time.Duration // from began to ready, the first time; 0: not yet
}

// NewProgress starts the clock of the boot.
func NewProgress() *Progress { return &Progress{began: time.Now(), changed: make(chan struct{})} }

func (p *Progress) add(c *Container, s StepStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, s)
	p.keys, p.password, p.problems = c.Keys, c.PasswordSet, slices.Clone(c.Problems)
	close(p.changed)
	p.changed = make(chan struct{})
}

// failed says whether one of the named steps did. The caller holds the lock.
func (p *Progress) failed(names ...string) bool {
	return slices.ContainsFunc(p.steps, func(s StepStatus) bool { return !s.OK && slices.Contains(names, s.Name) })
}

func (p *Progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	close(p.changed)
	p.changed = make(chan struct{})
}

// Run takes the steps in their order. It gives each a deadline, times it, logs
// one line and keeps the same line for status. No step ends the boot: a box
// whose accounts or GPU are broken must still give its owner a shell.
func Run(ctx context.Context, c *Container, steps []Step) {
	defer c.Progress.finish()
	for _, step := range steps {
		if ctx.Err() != nil {
			return
		}
		began, known := time.Now(), len(c.Problems)
		note, err := step.run(ctx, c)
		took := time.Since(began)
		status := StepStatus{Name: step.Name, OK: err == nil, Took: took, Note: note}
		if err != nil {
			status.Error = err.Error()
			c.Log.Warn(fmt.Sprintf("%s: failed after %v: %v", step.Name, services.Round(took), err))
		} else {
			c.Log.Info(join(fmt.Sprintf("%s: ok in %v", step.Name, services.Round(took)), note))
		}
		for _, problem := range c.Problems[min(known, len(c.Problems)):] {
			c.Log.Warn(step.Name + ": " + problem)
		}
		c.Progress.add(c, status)
	}
}

func join(head, note string) string {
	if note == "" {
		return head
	}
	return head + ": " + note
}

// run runs one step under its deadline. A step that hangs in the kernel is left
// behind: there is no way to end it, and others need not wait for it.
func (s Step) run(ctx context.Context, c *Container) (string, error) {
	limit := s.Timeout
	if limit == 0 {
		limit = stepTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type result struct {
		note string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.Log.Error("BUG: panic in step "+s.Name, zap.Any("panic", p), zap.Stack("stack"))
				done <- result{err: fmt.Errorf("panic: %v", p)}
			}
		}()
		growStack()
		note, err := s.Run(ctx, c)
		done <- result{note, err}
	}()
	select {
	case r := <-done:
		return r.note, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("gave up waiting: %w", ctx.Err())
	}
}
