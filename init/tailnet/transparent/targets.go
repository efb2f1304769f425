package transparent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// targetsFile keeps which address stands for which destination, a line each, since programs
// keep these addresses in their memory.
const targetsFile = "tailnet-targets"

// The relay listens on one port of all addresses of the loopback device, outside of the
// range from which the kernel takes ports for others.
const (
	firstPort = 61064
	lastPort  = 61164
)

// standIns are the addresses that stand for destinations: 127.128.0.0/10.
var standIns = netip.MustParsePrefix("127.128.0.0/10")

const maxTargets = 1<<22 - 2

// keep is how long a connection waits for the program that it was dialed for: the time
// between the answer to its connect and the relay's accept.
const keep = 10 * time.Second

// target is one destination in the tailnet, and the address that stands for it.
type target struct {
	to, at netip.AddrPort
	ready  []*dial
}

type targets struct {
	server *Server
	relay  *net.TCPListener
	port   uint16

	mu     sync.Mutex
	byTo   map[netip.AddrPort]*target
	byAt   map[netip.Addr]*target
	file   *os.File
	closed bool
}

func openTargets(s *Server, path string) (*targets, error) {
	t := &targets{server: s, byTo: map[netip.AddrPort]*target{}, byAt: map[netip.Addr]*target{}}
	if err := t.listen(); err != nil {
		return nil, err
	}
	var err error
	if t.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		t.relay.Close()
		return nil, fmt.Errorf("opening the list of destinations: %w", err)
	}
	lines := bufio.NewScanner(t.file)
	for lines.Scan() { // each line is the next address; of one that cannot be read no program knows
		to, _ := netip.ParseAddrPort(lines.Text())
		t.add(to)
	}
	return t, nil
}

// listen opens the relay, on the loopback device alone: nobody from outside gets in.
func (t *targets) listen() error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) { err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo") })
		return errors.Join(e, os.NewSyscallError("setsockopt(SO_BINDTODEVICE)", err))
	}}
	config.SetMultipathTCP(false)
	var err error
	for port := firstPort; port <= lastPort; port++ {
		var l net.Listener
		if l, err = config.Listen(context.Background(), "tcp4", "0.0.0.0:"+strconv.Itoa(port)); err == nil {
			t.relay, t.port = l.(*net.TCPListener), uint16(port)
			return nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return fmt.Errorf("listening on the loopback device for services that are transparent: %w", err)
}

// add makes the next address stand for a destination. The caller holds the lock, or is alone.
func (t *targets) add(to netip.AddrPort) *target {
	n := uint32(len(t.byAt) + 1)
	at := netip.AddrFrom4([4]byte{127, 128 | byte(n>>16), byte(n >> 8), byte(n)})
	x := &target{to: to, at: netip.AddrPortFrom(at, t.port)}
	t.byTo[to], t.byAt[at] = x, x
	return x
}

// of is the target for a destination.
func (t *targets) of(to netip.AddrPort) (*target, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x := t.byTo[to]; x != nil {
		return x, nil
	}
	if len(t.byAt) >= maxTargets {
		return nil, fmt.Errorf("no address is left to stand for %v", to)
	}
	if _, err := fmt.Fprintln(t.file, to); err != nil {
		return nil, fmt.Errorf("writing the list of destinations: %w", err)
	}
	return t.add(to), nil
}

// behind is the target that an address stands for, or nil.
func (t *targets) behind(at netip.Addr) *target {
	if !standIns.Contains(at) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byAt[at]
}

// spare is a dial whose call was given up: it is as good as a new one, unless it has failed,
// since a listener may have come since.
func (t *targets) spare(x *target) *dial {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range x.ready {
		if d.free && !d.failed() {
			d.free = false
			return d
		}
	}
	return nil
}

// offer keeps a dial for the program that is about to be connected to the relay.
func (t *targets) offer(x *target, d *dial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		d.close()
		return
	}
	x.ready = append(x.ready, d)
	time.AfterFunc(keep, func() {
		defer func() { _ = recover() }() // what closes is the connection's own
		if t.drop(x, d) {
			d.close()
		}
	})
}

// release makes a dial one that anybody may take, since its call was given up.
func (t *targets) release(d *dial) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d.free = true
}

// drop forgets a dial; false where somebody has it.
func (t *targets) drop(x *target, d *dial) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range x.ready {
		if other == d {
			x.ready = append(x.ready[:i], x.ready[i+1:]...)
			return true
		}
	}
	return false
}

// next takes the dial for a connection that the relay accepted, or nil.
func (t *targets) next(x *target) *dial {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, d := range x.ready {
		if !d.free {
			x.ready = append(x.ready[:i], x.ready[i+1:]...)
			return d
		}
	}
	return nil
}

func (t *targets) close() {
	t.relay.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, x := range t.byTo {
		for _, d := range x.ready {
			d.close()
		}
		x.ready = nil
	}
	t.file.Close()
}

// accept takes what programs connect to the relay.
func (s *Server) accept() {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("BUG: panic in the relay", zap.Any("panic", p), zap.Stack("stack"))
		}
		s.running.Done()
	}()
	for {
		conn, err := s.targets.relay.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as no free descriptor
			s.Log.Warn("the relay cannot take a connection; trying on", zap.Error(err))
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.ctx.Done():
				return
			}
			continue
		}
		s.running.Add(1)
		go s.join(conn)
	}
}
