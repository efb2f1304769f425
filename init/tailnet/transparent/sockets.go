package transparent

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// maxSockets is how many sockets are remembered. Of older ones programs are told the
// addresses of the loopback network.
const maxSockets = 1 << 16

// record is what a program is told of a socket of its own.
type record struct {
	local, peer address     // invalid where the kernel's answer is right
	port        chan uint16 // of a socket that the relay accepts: comes when it does
}

// sockets remembers sockets by their inodes.
type sockets struct {
	mu    sync.Mutex
	known map[uint64]record
	order []uint64 // a ring: the oldest is forgotten first
	next  int
	// served are the ports that were bound on an interface and told as the tailnet's.
	served map[uint16]netip.Addr
	// chosen are the ports that we wrote into a program's memory in place of 0.
	chosen map[choice]bool
}

// choice is a port at a place in the memory of a service.
type choice struct {
	listener int
	where    uint64
	at       netip.AddrPort
}

func newSockets() *sockets {
	return &sockets{known: map[uint64]record{}, served: map[uint16]netip.Addr{}, chosen: map[choice]bool{}}
}

// change edits the record of a socket; edit returns false where there is none to be.
func (s *sockets) change(inode uint64, edit func(*record) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, old := s.known[inode]
	if !edit(&r) {
		delete(s.known, inode)
		return
	}
	s.known[inode] = r
	switch {
	case old:
	case len(s.order) < maxSockets:
		s.order = append(s.order, inode)
	default:
		delete(s.known, s.order[s.next])
		s.order[s.next] = inode
		s.next = (s.next + 1) % maxSockets
	}
}

// empty says that nothing is known of any socket, which saves asking for the inode.
func (s *sockets) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known) == 0
}

func (s *sockets) of(inode uint64) record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[inode]
}

// connected remembers where a socket leads to, by the relay or not.
func (s *sockets) connected(t *thread, fd int, peer address, relayed bool) {
	inode, ok := t.inode(fd)
	if !ok {
		return
	}
	s.change(inode, func(r *record) bool {
		r.peer, r.port = peer, nil
		if relayed {
			r.port = make(chan uint16, 1)
		}
		return true
	})
}

// accepted remembers the port that the kernel gave to a socket, which is that of our side's peer.
func (s *sockets) accepted(inode uint64, port uint16) {
	s.of(inode).again(port)
}

// again keeps a port for the next who asks.
func (r record) again(port uint16) {
	select {
	case r.port <- port:
	default: // known already; or nobody's, and then the channel is nil
	}
}

// bound remembers the address that a socket is told to have.
func (s *sockets) bound(t *thread, fd int, local address) {
	if inode, ok := t.inode(fd); ok {
		s.change(inode, func(r *record) bool { r.local = local; return true })
	}
}

// forget is for a socket that leads elsewhere.
func (s *sockets) forget(t *thread, fd int) {
	if s.empty() {
		return
	}
	if inode, ok := t.inode(fd); ok {
		s.change(inode, func(*record) bool { return false })
	}
}

// inside is where in the box an address of its own in the tailnet is served.
func (s *sockets) inside(to netip.AddrPort) netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.served[to.Port()]; ok && listens(netip.AddrPortFrom(a, to.Port())) {
		return netip.AddrPortFrom(a, to.Port())
	}
	return netip.AddrPortFrom(home(to.Addr()), to.Port())
}

// maxServed bounds what is remembered of binds.
const maxServed = 1 << 14

func (s *sockets) serve(at netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.served) >= maxServed {
		clear(s.served)
	}
	s.served[at.Port()] = at.Addr()
}

// choose finds a port for a bind of any port; the same memory may hold one that we chose before.
func (s *sockets) choose(listener int, where uint64, at netip.AddrPort) (netip.AddrPort, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.Port() != 0 && (!s.chosen[choice{listener, where, at}] || !listens(at)) {
		return at, nil
	}
	port, err := freePort(at.Addr())
	if err != nil {
		return at, err
	}
	at = netip.AddrPortFrom(at.Addr(), port)
	if len(s.chosen) >= maxServed {
		clear(s.chosen)
	}
	s.chosen[choice{listener, where, at}] = true
	return at, nil
}

// again says whether the port in a program's memory is one of ours.
func (s *sockets) again(listener int, where uint64, at netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chosen[choice{listener, where, at}]
}

// listens says whether a TCP port is taken: it cannot be bound then.
func listens(at netip.AddrPort) bool {
	fd, err := bindTCP(at)
	if err == nil {
		unix.Close(fd)
	}
	return err == unix.EADDRINUSE
}

// freePort is a port that nobody has at this moment.
func freePort(a netip.Addr) (uint16, error) {
	fd, err := bindTCP(netip.AddrPortFrom(a, 0))
	if err != nil {
		return 0, fmt.Errorf("choosing a port of %v: %w", a, err)
	}
	defer unix.Close(fd)
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return 0, fmt.Errorf("choosing a port of %v: %w", a, err)
	}
	return uint16(sa.(*unix.SockaddrInet4).Port), nil
}

func bindTCP(at netip.AddrPort) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// port is the local port of a socket, by the kernel's lists; 0 where none of them has it.
func (t *thread) port(inode uint64) (port uint16) {
	wanted := strconv.FormatUint(inode, 10)
	for _, list := range []string{"net/tcp", "net/tcp6", "net/udp", "net/udp6"} {
		_ = t.asItself(func() error { // a list that cannot be read has nothing to tell
			f, err := os.Open(t.path(list))
			if err != nil {
				return err
			}
			defer f.Close()
			for lines := bufio.NewScanner(f); lines.Scan(); {
				fields := strings.Fields(lines.Text())
				if len(fields) < 10 || fields[9] != wanted {
					continue
				}
				_, hex, _ := strings.Cut(fields[1], ":")
				n, err := strconv.ParseUint(hex, 16, 16)
				port = uint16(n)
				return err
			}
			return nil
		})
		if port != 0 {
			break
		}
	}
	return port
}
