package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Log is the output of a container that is being passed on.
type Log struct {
	container *Container
	out, err  passed
	done      chan struct{} // closed when no more comes
	failure   error         // good once done is closed
	stop      context.CancelFunc
}

// Follow begins to pass the container's output on, from its beginning to the container's
// end. A Ctrl-C at the terminal does not cut it, nor does the end of ctx: that ends the
// container, and what it says of that is part of its output. Somebody has to call End.
func (c *Container) Follow(ctx context.Context, out, err io.Writer) *Log {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Log{container: c, out: passed{w: out}, err: passed{w: err}, done: make(chan struct{}), stop: stop}
	follow := c.Runtime.command("logs", "--follow", c.Name)
	follow.Out, follow.Err, follow.Apart = &l.out, &l.err, true
	go func() {
		defer close(l.done)
		if err := follow.Run(ctx); err != nil && ctx.Err() == nil {
			l.failure = fmt.Errorf("following the log of %s: %w", c.Name, err)
		}
	}()
	return l
}

// Done is closed when no more comes.
func (l *Log) Done() <-chan struct{} { return l.done }

// End waits for the rest of the output, of a container that has ended and is not removed
// yet. After so long it is cut. It goes on when ctx has ended.
func (l *Log) End(ctx context.Context, limit time.Duration) error {
	defer l.stop()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
		l.stop()
		<-l.done
		return fmt.Errorf("the log of %s does not end: what follows its first %d bytes was not waited for", l.container.Name, l.out.n+l.err.n)
	}
	return errors.Join(l.failure, l.rest(ctx))
}

// Cut ends the following of a container that goes on.
func (l *Log) Cut() {
	l.stop()
	<-l.done
}

// rest passes on what the follower left out: podman's sees the end of a container before it
// has read all that came with it.
func (l *Log) rest(ctx context.Context) error {
	if l.container.Runtime.Name != Podman {
		return nil
	}
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer end()
	again := l.container.Runtime.command("logs", l.container.Name)
	again.Out, again.Err, again.Apart = &after{l.out.w, l.out.n}, &after{l.err.w, l.err.n}, true
	if err := again.Run(ctx); err != nil {
		return fmt.Errorf("reading the end of the log of %s: %w", l.container.Name, err)
	}
	return nil
}

// passed knows how much was written.
type passed struct {
	w io.Writer
	n int64
}

func (c *passed) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// after passes on what follows the first bytes.
type after struct {
	w    io.Writer
	left int64 // of those first ones
}

func (a *after) Write(p []byte) (int, error) {
	known := min(a.left, int64(len(p)))
	a.left -= known
	if known == int64(len(p)) {
		return len(p), nil
	}
	n, err := a.w.Write(p[known:])
	return int(known) + n, err
}
