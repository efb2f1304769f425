package tailnet

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/util/dnsname"
)

// names are the tailnet's machines, as MagicDNS has them.
type names struct {
	mu      sync.Mutex
	byName  map[string][]netip.Addr
	byAddr  map[netip.Addr]bool
	entries []entry
}

// entry is one machine.
type entry struct {
	full, short string // short is empty for a machine of another tailnet
	addrs       []netip.Addr
}

// set takes the machines from the node's status, and says whether they are others than
// before.
func (s *names) set(st *ipnstate.Status) bool {
	suffix := ""
	if st.CurrentTailnet != nil {
		suffix = strings.ToLower(st.CurrentTailnet.MagicDNSSuffix)
	}
	var list []entry
	for _, peer := range st.Peer {
		list = appendEntry(list, peer, suffix)
	}
	if st.Self != nil {
		list = appendEntry(list, st.Self, suffix)
	}
	slices.SortFunc(list, func(a, b entry) int {
		return strings.Compare(a.full+a.addrs[0].String(), b.full+b.addrs[0].String())
	})
	byName, byAddr := map[string][]netip.Addr{}, map[netip.Addr]bool{}
	for _, e := range list {
		byName[e.full] = e.addrs
		if e.short != "" {
			byName[e.short] = e.addrs
		}
		for _, a := range e.addrs {
			byAddr[a] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same := slices.EqualFunc(list, s.entries, func(a, b entry) bool {
		return a.full == b.full && a.short == b.short && slices.Equal(a.addrs, b.addrs)
	})
	s.byName, s.byAddr, s.entries = byName, byAddr, list
	return !same
}

func appendEntry(list []entry, peer *ipnstate.PeerStatus, suffix string) []entry {
	if len(peer.TailscaleIPs) == 0 {
		return list
	}
	e := entry{full: strings.ToLower(strings.TrimSuffix(peer.DNSName, ".")), addrs: peer.TailscaleIPs}
	if short, ok := strings.CutSuffix(e.full, "."+suffix); ok && suffix != "" && !strings.Contains(short, ".") {
		e.short = short
	}
	return append(list, e)
}

// lookup finds a name, with or without the tailnet's domain.
func (s *names) lookup(host string) []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byName[strings.ToLower(strings.TrimSuffix(host, "."))]
}

// has says whether a machine has an address.
func (s *names) has(a netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byAddr[a.Unmap()]
}

// list is every machine whose name can be written down: the control server is trusted with
// the tailnet's names, and not to put lines of its own into a file.
func (s *names) list() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []entry
	for _, e := range s.entries {
		if e.full != "" && dnsname.ValidHostname(e.full) == nil && strings.Contains(e.full, ".") {
			list = append(list, e)
		}
	}
	return list
}
