package tailnet

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// board is where the status stands.
type board struct {
	path string
	log  *zap.Logger

	mu      sync.Mutex
	current wire.Status
	// base is what holds whatever the node does: mode, proxy, warnings.
	base wire.Status
	// lines are on their way to init; the latest is enough.
	lines chan string
}

func newBoard(path string, log *zap.Logger) *board {
	return &board{path: path, log: log, lines: make(chan string, 1)}
}

// tellInit sends lines to init until ctx ends. Where init does not listen, nobody else
// has to wait for it.
func (b *board) tellInit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case text := <-b.lines:
			notify("STATUS=" + text)
		}
	}
}

// get is the status as last told.
func (b *board) get() wire.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.current
}

// set tells of a status: in the file, to init, and in the log where the state or the
// reason is another. Since is kept while both stay. A status that says nothing new costs
// nothing.
func (b *board) set(s wire.Status) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tell(s)
}

// amend changes what holds whatever the node does.
func (b *board) amend(change func(base *wire.Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.current
	s.Warnings = s.Warnings[min(len(b.base.Warnings), len(s.Warnings)):]
	change(&b.base)
	if err := b.tell(s); err != nil {
		b.log.Error(err.Error())
	}
}

// warn adds a sentence to the warnings, and logs it, once.
func (b *board) warn(text string) {
	b.amend(func(base *wire.Status) {
		if !slices.Contains(base.Warnings, text) {
			base.Warnings = append(base.Warnings, text)
			b.log.Warn(text)
		}
	})
}

// tell does the work of set. The caller holds the lock.
func (b *board) tell(s wire.Status) error {
	s.Proxy, s.Mode, s.ModeText, s.Transparent = b.base.Proxy, b.base.Mode, b.base.ModeText, b.base.Transparent
	s.Warnings = slices.Concat(b.base.Warnings, s.Warnings)
	turned := s.State != b.current.State || s.Reason != b.current.Reason
	s.Since = b.current.Since
	if turned {
		s.Since = time.Now().UTC().Truncate(time.Second)
	}
	if reflect.DeepEqual(s, b.current) {
		return nil
	}
	news := s.LoginURL != "" && s.LoginURL != b.current.LoginURL
	b.current = s
	if turned || news {
		b.log.Info("tailnet: " + line(s))
	}
	err := b.write(s) // first: who hears of it may look
	select {
	case <-b.lines:
	default:
	}
	b.lines <- line(s) // the lock makes this the only sender, and there is room
	return err
}

// write replaces the file, so that no reader sees half of it.
func (b *board) write(s wire.Status) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(b.path), "."+filepath.Base(b.path)+"-*")
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if end := f.Close(); err == nil {
		err = end
	}
	if err == nil {
		err = os.Rename(f.Name(), b.path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}

// line is a status in one line.
func line(s wire.Status) string {
	parts := []string{string(s.State)}
	if s.Reason != "" {
		parts[0] += " (" + string(s.Reason) + ")"
	}
	if s.State == wire.Running || s.State == wire.Degraded {
		parts = append(parts, s.Name, strings.Join(s.Addresses, " "), s.Mode)
	}
	parts = append(parts, s.Text)
	if s.LoginURL != "" {
		parts = append(parts, "to let this box in, open "+s.LoginURL)
	} else {
		parts = append(parts, s.Cure)
	}
	var said []string
	for _, part := range parts {
		if part = strings.Join(strings.Fields(part), " "); part != "" {
			said = append(said, part)
		}
	}
	return strings.Join(said, ", ")
}

// notify tells init, where there is one. There is nothing to do about a failure: init ends
// a service that should have said that it is ready and did not.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
