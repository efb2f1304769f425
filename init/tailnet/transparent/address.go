package transparent

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sizes of struct sockaddr_in and sockaddr_in6, and of the longest that the kernel takes.
const (
	size4   = 16
	size6   = 28
	least6  = 24 // without a scope; RFC 2133 had none
	longest = 128
)

var (
	cgnat = netip.MustParsePrefix("100.64.0.0/10")
	ula   = netip.MustParsePrefix("fd7a:115c:a1e0::/48")
)

// inTailnet says whether an address is one of the tailnet's.
func inTailnet(a netip.Addr) bool { return cgnat.Contains(a) || ula.Contains(a) }

// address is a socket address of a process. wide is true where it is written as IPv6: an
// IPv4 address is mapped then.
type address struct {
	netip.AddrPort
	wide bool
}

// parse reads a struct sockaddr; ok is false for other families.
func parse(b []byte) (a address, ok bool) {
	if len(b) < size4 {
		return a, false
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch family := binary.LittleEndian.Uint16(b); {
	case family == unix.AF_INET:
		return address{netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port), false}, true
	case family == unix.AF_INET6 && len(b) >= least6:
		return address{netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])).Unmap(), port), true}, true
	}
	return a, false
}

// put writes an address over a struct sockaddr of its kind.
func (a address) put(b []byte) {
	binary.BigEndian.PutUint16(b[2:], a.Port())
	if !a.wide {
		four := a.Addr().As4()
		copy(b[4:8], four[:])
		return
	}
	sixteen := a.Addr().As16()
	copy(b[8:24], sixteen[:])
}

// sockaddr is the struct sockaddr of an address.
func (a address) sockaddr() []byte {
	b, family := make([]byte, size4), uint16(unix.AF_INET)
	if a.wide {
		b, family = make([]byte, size6), unix.AF_INET6
	}
	binary.LittleEndian.PutUint16(b, family)
	a.put(b)
	return b
}

// Home are the addresses at which home serves the box's own.
var Home = netip.MustParsePrefix("127.64.0.0/10")

// home is where in the box the tailnet's own address is served: the address of the
// loopback network with the same last 22 bits. Listeners on it are meant for the tailnet.
func home(a netip.Addr) netip.Addr {
	if !cgnat.Contains(a) {
		return netip.AddrFrom4([4]byte{127, 64, 0, 1})
	}
	four := a.As4()
	four[0] = 127
	return netip.AddrFrom4(four)
}
