package transparent

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Of linux/inet_diag.h: the sizes of struct inet_diag_req_v2 and inet_diag_msg, and where the latter
// has the inode.
const (
	diagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	diagRequest  = 56
	diagAnswer   = 72
	diagInode    = 68
)

// inodeOf is the inode of the TCP socket of this network that has these two addresses.
// The kernel looks it up without a search.
func inodeOf(local, remote netip.AddrPort) (uint64, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, fmt.Errorf("asking for a socket: %w", err)
	}
	defer unix.Close(fd)
	b := make([]byte, unix.NLMSG_HDRLEN+diagRequest)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], diagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	q := b[unix.NLMSG_HDRLEN:]
	q[0], q[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(q[4:], ^uint32(0)) // in any state
	from, to := local.Addr().As4(), remote.Addr().As4()
	binary.BigEndian.PutUint16(q[8:], local.Port())
	binary.BigEndian.PutUint16(q[10:], remote.Port())
	copy(q[12:], from[:])
	copy(q[28:], to[:])
	binary.NativeEndian.PutUint64(q[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("asking for a socket: %w", err)
	}
	answer := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return 0, fmt.Errorf("asking for a socket: %w", err)
	}
	if n < unix.NLMSG_HDRLEN+diagAnswer || binary.NativeEndian.Uint16(answer[4:]) != diagByFamily {
		return 0, fmt.Errorf("asking for a socket: %w", unix.ENOENT)
	}
	return uint64(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN+diagInode:])), nil
}
