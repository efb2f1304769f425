package services

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// backlog is how many connections wait in the kernel while the service starts,
// or restarts. It is systemd's; the kernel's own limit, net.core.somaxconn, may
// be lower.
const backlog = 4096

// openSockets opens the sockets of the service, the paths of unix ones below
// root, and returns them with their names for LISTEN_FDNAMES.
func (svc *Service) openSockets(root string) (files []*os.File, names []string, err error) {
	for _, s := range svc.Sockets {
		fd, err := s.open(root)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, nil, fmt.Errorf("opening the socket %s: %w", s.Listen, err)
		}
		files = append(files, os.NewFile(uintptr(fd), s.Listen))
		names = append(names, cmp.Or(s.Name, svc.Name))
	}
	return files, names, nil
}

func (s *Socket) open(root string) (int, error) {
	kind := map[string]int{"": unix.SOCK_STREAM, "stream": unix.SOCK_STREAM, "datagram": unix.SOCK_DGRAM, "seqpacket": unix.SOCK_SEQPACKET}[s.Type]
	if strings.HasPrefix(s.Listen, "/") {
		return s.openUnix(filepath.Join(root, s.Listen), kind)
	}
	if kind == unix.SOCK_SEQPACKET {
		return -1, errors.New("seqpacket is for unix sockets alone")
	}
	list, err := addresses(s.Listen)
	if err != nil {
		return -1, err
	}
	var errs []error
	for _, addr := range list {
		fd, err := openInet(addr, kind)
		if err == nil {
			return fd, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, unix.EAFNOSUPPORT) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break // the next is for a machine without IPv6, not for a port in use
		}
	}
	return -1, errors.Join(errs...)
}

// addresses are those to try in turn. A host name is none: nothing may wait for
// a name server here.
func addresses(listen string) ([]netip.AddrPort, error) {
	host, port, both := cutLast(listen, ":")
	if !both {
		host, port = "", listen
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%q is no port", port)
	}
	any6, any4 := netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n)), netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n))
	switch host {
	case "", "*":
		return []netip.AddrPort{any6, any4}, nil
	case "localhost":
		return []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(n))}, nil
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if err != nil || addr.Zone() != "" {
		return nil, fmt.Errorf("%s is no IP address; give one, or the port alone", host)
	}
	return []netip.AddrPort{netip.AddrPortFrom(addr, uint16(n))}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func openInet(addr netip.AddrPort, kind int) (fd int, err error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()})
	if addr.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	if fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func(opened int) {
		if err != nil {
			unix.Close(opened)
		}
	}(fd)
	if kind == unix.SOCK_STREAM { // for datagrams it would let another program have the port too
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	if family == unix.AF_INET6 && addr.Addr().IsUnspecified() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Bind(fd, to); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, listen(fd, kind)
}

func listen(fd, kind int) error {
	if kind == unix.SOCK_DGRAM {
		return nil
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlog))
}

func (s *Socket) openUnix(path string, kind int) (fd int, err error) {
	if len(path) > 107 {
		return -1, errors.New("the path is longer than the 107 bytes that the kernel takes")
	}
	owner, err := s.owner()
	if err != nil {
		return -1, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return -1, err
	}
	if err := removeStale(path, kind); err != nil {
		return -1, err
	}
	if fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func(opened int) {
		if err != nil {
			unix.Close(opened)
		}
	}(fd)
	// bind gives the file the mode of the socket: nobody gets in before it has its owner.
	if err := unix.Fchmod(fd, 0); err != nil {
		return -1, os.NewSyscallError("fchmod", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	if err := s.giveUnix(path, owner); err != nil {
		return -1, err
	}
	return fd, listen(fd, kind)
}

// owner is the uid and gid that the file is given to; -1 for no change.
func (s *Socket) owner() (ids [2]int, err error) {
	ids = [2]int{-1, -1}
	if s.User != "" {
		u, err := lookupUser(s.User)
		if err != nil {
			return ids, err
		}
		ids = [2]int{int(number(u.Uid)), int(number(u.Gid))}
	}
	if s.Group != "" {
		gid, err := lookupGroup(s.Group)
		if err != nil {
			return ids, err
		}
		ids[1] = int(number(gid))
	}
	return ids, nil
}

// giveUnix sets owner and mode of the socket's file, by a descriptor: in a
// directory of the service's user the name may lead elsewhere by now.
func (s *Socket) giveUnix(path string, owner [2]int) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s was replaced while it was made", path)
	}
	mode := uint32(0o666)
	if s.Mode.Set {
		mode = uint32(s.Mode.FileMode)
	}
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: path, Err: err}
	}
	if owner == [2]int{-1, -1} {
		return nil
	}
	if err := unix.Fchownat(fd, "", owner[0], owner[1], unix.AT_EMPTY_PATH); err != nil {
		return &fs.PathError{Op: "chown", Path: path, Err: err}
	}
	return nil
}

// removeStale removes a socket's file that nobody listens at any more, as a run
// of the container before this one leaves it.
func removeStale(path string, kind int) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s is there and is no socket", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err == unix.ECONNREFUSED || err == unix.ENOENT {
		return os.Remove(path)
	}
	return fmt.Errorf("%s: %w: another program listens there", path, unix.EADDRINUSE)
}
