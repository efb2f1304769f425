package services

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The pace at which a service that starts is asked: often at first, since most
// are ready within milliseconds and somebody waits for it.
const (
	askFirst   = 2 * time.Millisecond
	askMost    = 250 * time.Millisecond
	askTimeout = 3 * time.Second
)

// wait asks until the service answers or ctx ends. The deadline is the
// service's TimeoutStartSec, which cancels ctx.
func (p *Probe) waitOld(ctx context.Context) error {
	pause := askFirst
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		if p.ask(ctx) == nil {
			return nil
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		pause = min(pause+pause/4, askMost)
	}
}

// ask connects once and reads what the service says first.
func (p *Probe) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.TCP)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", p.TCP, err)
	}
	defer conn.Close()
	if p.Expect == "" {
		return nil
	}
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return fmt.Errorf("setting a deadline for %s: %w", p.TCP, err)
	}
	if _, err := io.WriteString(conn, p.Send); err != nil {
		return fmt.Errorf("writing to %s: %w", p.TCP, err)
	}
	// To the end of the line: closing with bytes unread would reset the
	// connection, which servers log as an error.
	line, err := bufio.NewReader(io.LimitReader(conn, 512)).ReadString('\n')
	if !strings.HasPrefix(line, p.Expect) {
		return fmt.Errorf("%s says %q and not %q: %w", p.TCP, line, p.Expect, cmp.Or(err, errAnswer))
	}
	return nil
}

var errAnswer = errors.New("another service answers there")

// portOf is the port of a host:port, or 0.
func portOf(address string) uint16 {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}

// portFree refuses to start a service whose port another process listens on:
// its probe would be answered by that one. It tries to bind, which takes
// microseconds; /proc/net/tcp takes milliseconds on a machine of much memory.
func portFree(address string) error {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil // a name: the service itself will say what is wrong
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
