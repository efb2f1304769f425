// Package tailnet joins the box to a tailnet and keeps it there. It is the program of the
// service tailnet, and the only package that links Tailscale: its memory grows with what
// goes through it, and a panic in it ends this process and no other.
//
// It says what it is doing in three ways: a wire.Status as a file in init's run directory,
// replaced on each change, the same over the socket beside it, and a line for sd_notify.
// It is ready once the socket answers; joining may take a person with a browser.
//
// What can be tried again is tried again for ever, and stands in the status meanwhile. Run
// returns only when it is told to stop, or when it cannot say anything to anybody.
package tailnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"tailscale.com/envknob"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// Options are what a program is started with.
type Options struct {
	// Root stands before each path of the box: "/", or a directory of a test.
	Root string
	// Run is init's run directory, as seen by the program.
	Run    string
	Config wire.Config
	// Filters are the listeners of the services that are transparent and already run.
	Filters []*os.File
	Log     *zap.Logger
}

// program is one process, whatever happens to its connection.
type program struct {
	Options
	status *board
	// life is the node that is up, nil between two.
	life atomic.Pointer[node]
}

// How long is waited before something that failed is tried again: at first, and at most.
const (
	firstPause = 5 * time.Second
	lastPause  = 5 * time.Minute
)

// errAgain ends a node that has to start anew, with its credentials.
var errAgain = errors.New("the node starts anew to log in with its credentials")

// Run joins, and stays until ctx ends. It returns an error where the run directory cannot
// be written, since nobody would learn of anything.
func Run(ctx context.Context, o Options) error {
	quiet(o.Config)
	p := &program{Options: o, status: newBoard(filepath.Join(o.Run, wire.StatusFile), o.Log)}
	if err := p.status.set(wire.Status{State: wire.Starting}); err != nil {
		return err
	}
	go p.status.tellInit(ctx)
	closeSocket, err := p.serve(ctx)
	if err != nil {
		return err
	}
	defer closeSocket()
	defer p.proxies()()
	defer p.serveLocalAPI()()
	defer p.serveHealth()()
	defer p.serveTransparent()()
	notify("READY=1")
	p.lives(ctx)
	notify("STOPPING=1")
	return nil
}

// quiet takes from Tailscale what it would read from the environment, so that the
// configuration is its only source, and its upload of logs where nobody asked for it.
func quiet(c wire.Config) {
	for _, name := range []string{
		"TS_AUTHKEY", "TS_AUTH_KEY", "TS_CLIENT_SECRET", "TS_CLIENT_ID", "TS_ID_TOKEN", "TS_AUDIENCE", "TS_CONTROL_URL",
	} {
		envknob.Setenv(name, "")
	}
	if !c.Logs {
		envknob.SetNoLogsNoSupport()
	}
}

// lives starts nodes, one after another, until ctx ends.
func (p *program) lives(ctx context.Context) {
	force := false
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := p.live(ctx, force)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		force = errors.Is(err, errAgain)
		p.failed(err, pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// failed tells why a node could not start, and when it is tried again.
func (p *program) failed(err error, pause time.Duration) {
	if errors.Is(err, errAgain) {
		p.Log.Info(err.Error(), zap.Duration("in", pause))
		return
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{text: err.Error()}
	}
	p.Log.Error("the tailnet cannot start", zap.Error(err), zap.String("cure", f.cure), zap.Duration("again in", pause))
	p.tell(wire.Status{State: wire.Failed, Reason: f.reason, Text: f.Error(), Cure: f.cure})
}

// tell writes the status. Where that fails, the log is what is left.
func (p *program) tell(s wire.Status) {
	if err := p.status.set(s); err != nil {
		p.Log.Error("the status cannot be written", zap.Error(err))
	}
}

// failure is an error that somebody has to do something about.
type failure struct {
	reason     wire.Reason
	text, cure string
	err        error
}

func (f *failure) Error() string {
	if f.err != nil {
		return fmt.Sprintf("%s: %v", f.text, f.err)
	}
	return f.text
}

func (f *failure) Unwrap() error { return f.err }
