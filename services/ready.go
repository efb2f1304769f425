package services

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
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
func (p *Probe) wait(ctx context.Context) error {
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
// its probe would be answered by that one.
func portFree(address string) error {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil // a name: the service itself will say what is wrong
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue // no /proc, or no IPv6
		}
		if listens(b, ip, portOf(address)) {
			return fmt.Errorf("port %d is taken by another process of this network", portOf(address))
		}
	}
	return nil
}

// listens reads the kernel's table of TCP sockets (proc_net_tcp.rst): the second
// column is the local address, in 32-bit words of the machine's byte order, and
// port in hex; the fourth is the state, 0A for listening.
func listens(table []byte, ip netip.Addr, port uint16) bool {
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 4 || f[3] != "0A" {
			continue
		}
		addr, hexPort, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hexPort, 16, 16); err != nil || uint16(n) != port {
			continue
		}
		raw, err := hex.DecodeString(addr)
		if err != nil || len(raw)%4 != 0 {
			continue
		}
		for word := range slices.Chunk(raw, 4) {
			slices.Reverse(word) // both architectures that we build for are little-endian
		}
		local, ok := netip.AddrFromSlice(raw)
		if ok && (local.IsUnspecified() || local.Unmap() == ip.Unmap()) {
			return true
		}
	}
	return false
}
