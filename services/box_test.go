package services

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// box is a supervisor that runs, and what it wrote.
type box struct {
	*Supervisor
	t       *testing.T
	ctx     context.Context
	dir     string
	signals chan os.Signal
	code    chan int
	journal *Journal
}

// run starts a supervisor on the main thread, once the one before it has ended.
func run(t *testing.T, o Options) *box {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	b := &box{t: t, ctx: ctx, dir: t.TempDir(), signals: make(chan os.Signal, 8), code: make(chan int, 1)}
	out, err := os.Create(filepath.Join(b.dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	b.journal = NewJournal(JournalOptions{Out: out})
	o.Journal, o.Log = b.journal, b.journal.Logger(zap.DebugLevel)
	o.Run = func() (string, error) { return filepath.Join(b.dir, "run"), nil }
	if o.Program == "" {
		o.Program = "/proc/self/exe"
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 9 * time.Second
	}
	b.Supervisor = New(o)
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)
	onMain <- func() {
		b.code <- b.Run(b.signals, child)
		signal.Stop(child)
	}
	t.Cleanup(func() {
		b.end()
		b.end()
	})
	return b
}

// end ends all services and then Run; a second call kills at once.
func (b *box) end() {
	_ = b.ask(context.Background(), func() { b.beginEnd("end of the test", 0, 0) }) // it may have ended
}

func (b *box) add(list ...Service) {
	b.t.Helper()
	if err := b.Add(b.ctx, list...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) service(name string) Status {
	b.t.Helper()
	snap, err := b.Snapshot(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range snap.Services {
		if s.Name == name {
			return s
		}
	}
	b.t.Fatalf("no service %s", name)
	return Status{}
}

// until waits for a service to be as wanted; every change of state wakes it.
func (b *box) until(name string, want func(Status) bool) Status {
	b.t.Helper()
	for {
		snap, err := b.Snapshot(b.ctx)
		if err != nil {
			b.t.Fatal(err)
		}
		i := slices.IndexFunc(snap.Services, func(s Status) bool { return s.Name == name })
		if i >= 0 && want(snap.Services[i]) {
			return snap.Services[i]
		}
		select {
		case <-snap.Changed:
		case <-b.ctx.Done():
			lines, _, _ := b.journal.Lines("", 0, time.Time{}, 0)
			b.t.Fatalf("gave up; the services are %+v, all lines: %v", snap.Services, lines)
		}
	}
}

func (b *box) untilState(name string, state State) Status {
	b.t.Helper()
	return b.until(name, func(s Status) bool { return s.State == state })
}

// line waits for the line with that number of what a service writes, the first being 1.
func (b *box) line(service string, number int) string {
	b.t.Helper()
	for {
		lines, more, _ := b.journal.Lines(service, 0, time.Time{}, 0)
		if len(lines) >= number {
			return lines[number-1].Text
		}
		select {
		case <-more:
		case <-b.ctx.Done():
			b.t.Fatalf("%s wrote %v, and no line %d", service, lines, number)
		}
	}
}

// untilLine waits for a service to write a line.
func (b *box) untilLine(service, text string) {
	b.t.Helper()
	var last uint64
	for {
		lines, more, _ := b.journal.Lines(service, last, time.Time{}, 0)
		for _, l := range lines {
			if strings.Contains(l.Text, text) {
				return
			}
			last = l.Seq
		}
		select {
		case <-more:
		case <-b.ctx.Done():
			all, _, _ := b.journal.Lines("", 0, time.Time{}, 0)
			b.t.Fatalf("%s never wrote %q; all lines: %v", service, text, all)
		}
	}
}

func (b *box) exitCode() int {
	b.t.Helper()
	select {
	case code := <-b.code:
		return code
	case <-b.ctx.Done():
		b.t.Fatal("the supervisor did not end")
		return -1
	}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func sh(name, script string) Service {
	return Service{Name: name, ExecStart: Argv("/bin/sh", "-c", script)}
}
