package transparent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

const (
	// longPatience is how long a dial may take in all: what Linux' kernel gives it.
	longPatience = 127 * time.Second
	// patience is how long a connect that does not block waits: a moment, in which a
	// destination that is there has answered.
	patience = 250 * time.Millisecond
	// firstTry is how long the first attempt of a dial may take; each further one has twice
	// the time of the one before. A stack sends a lost SYN again, but from the same port: where
	// the other end drops what comes from that, as for an attempt that it has not done with, only
	// another port helps.
	firstTry = 5 * time.Second
)

// dial is a connection to a destination in the making, or one that no program has yet.
type dial struct {
	cancel context.CancelFunc
	done   chan struct{}
	conn   net.Conn // it or err is good once done is closed
	err    error
	free   bool // the call that it was made for was given up; of targets.mu
}

// dial begins to connect to a destination.
func (s *Server) dial(to netip.AddrPort) *dial {
	ctx, cancel := context.WithTimeout(s.ctx, longPatience)
	d := &dial{cancel: cancel, done: make(chan struct{})}
	s.running.Add(1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("BUG: panic while dialing for a service", zap.Any("panic", p), zap.Stack("stack"))
				d.err = fmt.Errorf("dialing %v: panic: %v", to, p)
			}
			close(d.done)
			cancel()
			s.running.Done()
		}()
		d.conn, d.err = s.attempts(ctx, to)
	}()
	return d
}

// attempts dials until there is an answer, of whatever kind.
func (s *Server) attempts(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	for limit := firstTry; ; limit *= 2 {
		attempt, cancel := context.WithTimeout(ctx, limit)
		conn, err := s.Tailnet.Dial(attempt, "tcp", to.String())
		late := errors.Is(attempt.Err(), context.DeadlineExceeded)
		cancel()
		if err == nil || !late || ctx.Err() != nil {
			return conn, err
		}
		s.Log.Debug("a destination does not answer; dialing from another port", zap.Stringer("to", to), zap.Duration("waited", limit))
	}
}

// failed says whether a dial has ended without a connection.
func (d *dial) failed() bool {
	select {
	case <-d.done:
		return d.err != nil
	default:
		return false
	}
}

// close gives up a dial that nobody has.
func (d *dial) close() {
	d.cancel()
	<-d.done
	if d.conn != nil {
		d.conn.Close()
	}
}
