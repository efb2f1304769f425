package services

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"

	"golang.org/x/sys/unix"
)

// portOf is the port of a host:port, or 0.
func portOf(address string) uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0 // n is the largest number then
	}
	return uint16(n)
}

// portFree refuses to start a service whose port another process listens on:
// its probe would be answered by that one. Names are not looked up: the service
// itself will say what is wrong.
func (p *Probe) portFree() error {
	if p.HTTP == "" {
		return portFree(p.TCP)
	}
	u, err := url.Parse(p.HTTP)
	if err != nil {
		return nil // Validate has seen it
	}
	return portFree(httpAddress(u))
}

// portFree tries to bind, which takes microseconds; /proc/net/tcp takes
// milliseconds on a machine of much memory.
func portFree(address string) error {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil // a name, or none
	}
	var family int
	var local unix.Sockaddr
	if ip = ip.Unmap(); ip.Is4() {
		family, local = unix.AF_INET, &unix.SockaddrInet4{Port: int(portOf(address)), Addr: ip.As4()}
	} else {
		family, local = unix.AF_INET6, &unix.SockaddrInet6{Port: int(portOf(address)), Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil // a network without this family
	}
	defer unix.Close(fd)
	// With it, connections that are closing do not count; a listener does.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("looking whether port %d is free: %w", portOf(address), err)
	}
	if err := unix.Bind(fd, local); err == unix.EADDRINUSE {
		return fmt.Errorf("port %d is taken by another process", portOf(address))
	}
	return nil // other errors are the service's to find
}
