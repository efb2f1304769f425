package tailnet

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/init/tailnet/transparent"
)

// Socket states in /proc/net, see include/net/tcp_states.h.
const (
	tcpListen      = "0A"
	udpUnconnected = "07"
)

// listenerAddresses are the addresses on which something in the box listens on a port:
// network is "tcp" or "udp". Where the kernel does not answer queries, its tables do: there
// listeners come before connections.
func listenerAddresses(root, network string, port uint16) []netip.Addr {
	state := tcpListen
	if network == "udp" {
		state = udpUnconnected
	}
	if list, err := askListeners(network, state, port); err == nil {
		return list
	}
	var list []netip.Addr
	for _, file := range []string{network, network + "6"} {
		list = append(list, scanListeners(filepath.Join(root, "proc/net", file), state, port)...)
	}
	return list
}

// scanListeners reads one of the kernel's tables. A table that is not there, as that of
// IPv6 where it is switched off, has no listeners.
func scanListeners(path, state string, port uint16) []netip.Addr {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	var list []netip.Addr
	wanted := ":" + strings.ToUpper(hex.EncodeToString([]byte{byte(port >> 8), byte(port)}))
	for lines := bufio.NewScanner(f); lines.Scan(); {
		//   sl  local_address rem_address   st …
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != state || !strings.HasSuffix(fields[1], wanted) {
			continue
		}
		if a, ok := parseAddress(strings.TrimSuffix(fields[1], wanted)); ok && !slices.Contains(list, a) {
			list = append(list, a)
			if a.IsUnspecified() {
				return list
			}
		}
	}
	return list
}

// parseAddress reads an address as the kernel prints it: words of 32 bits, each in the
// order of this machine, which is little-endian on both that we build for.
func parseAddress(text string) (netip.Addr, bool) {
	if len(text)%8 != 0 {
		return netip.Addr{}, false
	}
	var b []byte
	for i := 0; i < len(text); i += 8 {
		word, err := strconv.ParseUint(text[i:i+8], 16, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		b = append(b, byte(word), byte(word>>8), byte(word>>16), byte(word>>24))
	}
	a, ok := netip.AddrFromSlice(b)
	return a.Unmap(), ok
}

// Where a socket that listens on every address is reached.
var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// targets are the addresses to dial for a port, the best first. Where private is false,
// nothing that listens on loopback only is among them: not by its own address, nor by that
// of another socket that listens everywhere, since the kernel prefers the closer one. What a
// transparent service binds to the box's address in the tailnet is for peers.
func targets(listeners []netip.Addr, private bool) []netip.Addr {
	var list []netip.Addr
	add := func(a netip.Addr) {
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	taken := func(a netip.Addr) bool { return !private && slices.Contains(listeners, a) }
	for _, a := range listeners {
		if !a.IsUnspecified() {
			continue
		}
		if !taken(loopback4) {
			add(loopback4)
		}
		if a.Is6() && !taken(loopback6) {
			add(loopback6)
		}
	}
	for _, a := range listeners {
		if !a.IsUnspecified() && !a.IsLoopback() || transparent.Home.Contains(a) {
			add(a)
		}
	}
	for _, a := range listeners {
		if private && a.IsLoopback() {
			add(a)
		}
	}
	return list
}
