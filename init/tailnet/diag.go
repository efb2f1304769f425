package tailnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Of linux/inet_diag.h: struct inet_diag_req_v2 has the states to list as bits and the protocol,
// struct inet_diag_msg the family and the local end, in network order.
const (
	diagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagRequest  = 56
	diagAnswer   = 72
	diagPort     = 4
	diagLocal    = 8
)

// diagStates are the numbers of states as in /proc/net.
var diagStates = map[string]uint32{tcpListen: 0x0a, udpUnconnected: 0x07}

// askListeners asks the kernel for sockets in a state that have a port, by a query that looks at
// those alone: of /proc/net/tcp it walks the table of all connections, which takes milliseconds.
func askListeners(network, state string, port uint16) ([]netip.Addr, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("asking for listeners: %w", err)
	}
	defer unix.Close(fd)
	var list []netip.Addr
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if list, err = askFamily(fd, family, network, state, port, list); err != nil {
			return nil, fmt.Errorf("asking for listeners: %w", err)
		}
	}
	return list, nil
}

func askFamily(fd int, family byte, network, state string, port uint16, list []netip.Addr) ([]netip.Addr, error) {
	b := make([]byte, unix.NLMSG_HDRLEN+diagRequest)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], diagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	q := b[unix.NLMSG_HDRLEN:]
	q[0], q[1] = family, unix.IPPROTO_TCP
	if network == "udp" {
		q[1] = unix.IPPROTO_UDP
	}
	binary.NativeEndian.PutUint32(q[4:], 1<<diagStates[state])
	binary.BigEndian.PutUint16(q[8:], port) // only some kernels look at it
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	answer := make([]byte, 32<<10)
	for {
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return nil, err
		}
		for rest := answer[:n]; len(rest) >= unix.NLMSG_HDRLEN; {
			size := int(binary.NativeEndian.Uint32(rest))
			switch kind := binary.NativeEndian.Uint16(rest[4:]); {
			case kind == unix.NLMSG_DONE:
				return list, nil
			case kind != diagByFamily || size < unix.NLMSG_HDRLEN+diagAnswer || size > len(rest):
				return nil, unix.EPROTO // NLMSG_ERROR: this kernel cannot tell
			}
			m := rest[unix.NLMSG_HDRLEN:size]
			if a, ok := diagAddress(m); ok && binary.BigEndian.Uint16(m[diagPort:]) == port && !slices.Contains(list, a) {
				list = append(list, a)
			}
			rest = rest[min((size+3)&^3, len(rest)):]
		}
	}
}

// diagAddress is the local one of a struct inet_diag_msg.
func diagAddress(m []byte) (netip.Addr, bool) {
	size := 4
	if m[0] == unix.AF_INET6 {
		size = 16
	}
	a, ok := netip.AddrFromSlice(m[diagLocal : diagLocal+size])
	return a.Unmap(), ok
}
