// Package transparent answers for programs under a filter of package intercept: what they
// connect to in the tailnet goes there, without a device, a route or a privilege.
//
// A program keeps its own socket. Where it connects to an address of the tailnet, 100.64.0.0/10
// or Tailscale's part of IPv6, the destination is dialed first. What comes of that is what
// connect returns; where it is a connection, the address in the program's memory is
// replaced by one of the loopback network that stands for the destination, and the call goes on.
// There a relay accepts the connection and joins the two. A socket that does not block
// waits for the dialing no longer than patience: then it is connected, and reset
// should the destination turn out not to answer.
//
// The replacing address stays in the program's memory, and may be used again: each destination has
// one and keeps it, also over a restart of this program.
//
// The box's own address in the tailnet is, inside, an address of the loopback network, see home.
// A program that binds a port of the kernel's choice on an interface, as NCCL and gloo do to tell
// others the address, learns the tailnet's address from getsockname.
//
// UDP: a datagram to an address of the tailnet other than our own fails with ENETUNREACH, as does connect:
// the sender's address could not be told to the program. Nothing leaves in clear.
//
// What is guaranteed: where an address of the tailnet stands in memory when the call is
// made, and still does when the kernel reads it, nothing goes anywhere but into the tailnet.
// It is no wall against the program itself. A thread that writes the address of another into memory
// while a call on an address that is none of the tailnet's is under way connects to that.
package transparent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// State is how the tailnet stands.
type State struct {
	// Addresses are the box's own; none as long as it has not joined.
	Addresses []netip.Addr
	// Device is true where the kernel has a device for the tailnet: no call needs us.
	Device bool
	// Err is why there is no connection to be had, such as that somebody has to log in. Nil while
	// the box joins: Dial waits for that.
	Err error
}

// Tailnet carries the connections.
type Tailnet interface {
	State() State
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Options are what a Server needs.
type Options struct {
	Tailnet Tailnet
	// Dir keeps what the next run of the program has to know.
	Dir string
	Log *zap.Logger
	// Memory opens the memory of a process where we may not, as with Yama: there only an
	// ancestor may. Nil: nobody else does.
	Memory func(tid int) (int, error)
}

// Server answers the calls.
type Server struct {
	Options
	targets *targets
	sockets *sockets
	slots   *slots
	stop    *os.File // at its end listeners stop
	stopped *os.File
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	waiting atomic.Int64 // calls that wait for a dial
	denied  sync.Map     // of processes whose memory could not be read, said once
}

// Start opens the relay. The error is why no service can be transparent.
func Start(o Options) (*Server, error) {
	s := &Server{Options: o, sockets: newSockets()}
	var err error
	if s.stopped, s.stop, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.slots, err = openSlots(filepath.Join(o.Dir, slotsFile)); err == nil {
		s.targets, err = openTargets(s, filepath.Join(o.Dir, targetsFile))
	}
	if err != nil {
		s.stop.Close()
		s.stopped.Close()
		s.cancel()
		return nil, err
	}
	s.running.Add(1)
	go s.accept()
	return s, nil
}

// Close stops answering, and ends the connections. Calls wait from now on.
func (s *Server) Close() {
	s.cancel()
	s.stop.Close()
	s.targets.close()
	s.running.Wait()
	s.stopped.Close()
	s.slots.close()
}

// Add answers what comes by a listener, until the last process under its filter has ended. It
// takes the descriptor over.
func (s *Server) Add(f *os.File) error {
	if err := intercept.Check(int(f.Fd())); err != nil {
		return errors.Join(err, f.Close())
	}
	s.running.Add(1)
	go s.answer(f)
	return nil
}

// takeTime is how long somebody who connects may take to send a listener.
const takeTime = 5 * time.Second

// Take adds the listener that comes by a connection, confirms it with a byte, and closes the connection.
func (s *Server) Take(conn *net.UnixConn) error {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(takeTime)); err != nil {
		return fmt.Errorf("receiving a listener: %w", err)
	}
	f, err := intercept.ReceiveFrom(conn)
	if err != nil {
		return err
	}
	if err := s.Add(f); err != nil {
		return err
	}
	_, err = conn.Write([]byte{0})
	return err
}

// answer is the life of a listener.
func (s *Server) answer(f *os.File) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("BUG: panic while answering a call", zap.Any("panic", p), zap.Stack("stack"))
		}
		s.running.Done()
	}()
	l := &listener{Server: s, fd: int(f.Fd())}
	defer func() {
		l.pending.Wait() // they answer by the descriptor
		f.Close()
	}()
	intercept.Quicken(l.fd)
	for _, slot := range s.slots.leftTo(l.fd) {
		if l.one(slot) {
			s.slots.put(slot)
		}
	}
	slot := s.slots.take()
	for l.wait() {
		if err := intercept.Receive(l.fd, slot); err != nil {
			*slot = intercept.Notification{} // given up, or interrupted
			if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINTR) {
				break
			}
			continue
		}
		if l.one(slot) {
			continue
		}
		slot = s.slots.take()
	}
	s.slots.put(slot)
}

// listener is one filter's.
type listener struct {
	*Server
	fd      int
	pending sync.WaitGroup
}

// wait is for a call; false is for the end of the filter or of us.
func (l *listener) wait() bool {
	for {
		p := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}, {Fd: int32(l.stopped.Fd()), Events: unix.POLLIN}}
		_, err := unix.Poll(p, -1)
		if err != nil && err != unix.EINTR {
			l.Log.Error("waiting for calls of services has failed", zap.Error(err))
			return false
		}
		switch {
		case p[1].Revents != 0:
			return false
		case p[0].Revents&unix.POLLIN != 0:
			return true
		case p[0].Revents != 0:
			return false
		}
	}
}

// one answers a call, and says whether its slot is free again; else it is answered later,
// and gives its slot back itself.
func (l *listener) one(slot *intercept.Notification) bool {
	n := *slot
	answer, later := l.judge(&n)
	if later == nil {
		_ = intercept.Send(l.fd, n.ID, answer) // ENOENT: nobody waits any more
		*slot = intercept.Notification{}
		return true
	}
	l.pending.Add(1)
	l.waiting.Add(1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				l.Log.Error("BUG: panic while dialing for a service", zap.Any("panic", p), zap.Stack("stack"))
				_ = intercept.Send(l.fd, n.ID, intercept.Fail(unix.ENETUNREACH))
			}
			l.waiting.Add(-1)
			l.pending.Done()
		}()
		if later() { // else the next run of this program answers
			l.slots.put(slot)
		}
	}()
	return false
}

// own says whether an address is the box's own in the tailnet.
func (st State) own(a netip.Addr) bool { return slices.Contains(st.Addresses, a) }

// first is the box's own IPv4 address; ok is false where there is none yet.
func (st State) first() (netip.Addr, bool) {
	for _, a := range st.Addresses {
		if a.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}
