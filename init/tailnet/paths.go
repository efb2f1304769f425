package tailnet

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/types/views"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// publish tells peers the addresses under which the host publishes the box's UDP port, so
// that they reach it directly: behind a host's address translation nobody else can.
func (n *node) publish() {
	var list []netip.AddrPort
	for _, text := range n.Config.Endpoints {
		e, err := netip.ParseAddrPort(text)
		if err != nil {
			n.status.warn(fmt.Sprintf("%q is no address under which the host publishes the tailnet's port: %v", text, err))
			continue
		}
		list = append(list, e)
	}
	if len(list) > 0 {
		n.srv.Sys().MagicSock.Get().SetStaticEndpoints(views.SliceOf(list))
	}
}

// The paths to a peer.
const (
	direct = "direct"
	relay  = "relay"
)

const (
	// pingTime is how long a peer may take to answer. The first pings go by the relay,
	// and find the direct path.
	pingTime = 3 * time.Second
	// pingsAtOnce bounds what a large tailnet costs.
	pingsAtOnce = 16
)

// peers lists the other machines, by name. With ping each that is online is asked, which
// makes the node look for a direct path.
func (n *node) peers(ctx context.Context, ping bool) ([]wire.Peer, error) {
	pings := map[netip.Addr]*ipnstate.PingResult{}
	st, err := n.lc.Status(ctx)
	if err == nil && ping {
		pings = n.pingAll(ctx, st)
		st, err = n.lc.Status(ctx) // with the paths that were found
	}
	if err != nil {
		return nil, fmt.Errorf("asking the node for its peers: %w", err)
	}
	list := []wire.Peer{}
	for _, p := range st.Peer {
		if len(p.TailscaleIPs) > 0 {
			list = append(list, peer(p, pings[p.TailscaleIPs[0]]))
		}
	}
	slices.SortFunc(list, func(a, b wire.Peer) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Address, b.Address))
	})
	return list, nil
}

// peer makes a line of what is known; pinged may be nil.
func peer(p *ipnstate.PeerStatus, pinged *ipnstate.PingResult) wire.Peer {
	w := wire.Peer{
		Name: strings.TrimSuffix(p.DNSName, "."), Address: p.TailscaleIPs[0].String(), Online: p.Online,
		Sent: p.TxBytes, Received: p.RxBytes,
	}
	switch {
	case p.CurAddr != "":
		w.Path, w.Via = direct, p.CurAddr
	case p.PeerRelay != "":
		w.Path, w.Via = relay, p.PeerRelay
	case p.Relay != "" && (p.Active || pinged != nil):
		w.Path, w.Via = relay, p.Relay
	}
	if pinged != nil {
		w.RTT = float64(time.Duration(pinged.LatencySeconds*float64(time.Second)).Microseconds()) / 1000
	}
	return w
}

// pingAll pings each peer until one answer came directly, or the time is over.
func (n *node) pingAll(ctx context.Context, st *ipnstate.Status) map[netip.Addr]*ipnstate.PingResult {
	ctx, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		results = map[netip.Addr]*ipnstate.PingResult{}
		slots   = make(chan struct{}, pingsAtOnce)
	)
	for _, p := range st.Peer {
		if !p.Online || len(p.TailscaleIPs) == 0 {
			continue
		}
		a := p.TailscaleIPs[0]
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for {
				r, err := n.lc.Ping(ctx, a, tailcfg.PingDisco)
				if err != nil || r.Err != "" {
					return
				}
				mu.Lock()
				results[a] = r
				mu.Unlock()
				if r.Endpoint != "" {
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(pingTime / 10):
				}
			}
		})
	}
	wg.Wait()
	return results
}

// relayed warns of peers with which much is exchanged through a relay: jobs over many
// boxes are an order of magnitude slower there.
func relayed(st *ipnstate.Status) []string {
	const much = 16 << 20 // bytes
	var list []string
	for _, p := range st.Peer {
		if p.Active && p.CurAddr == "" && p.PeerRelay == "" && p.TxBytes+p.RxBytes > much {
			list = append(list, fmt.Sprintf("traffic with %s goes through the relay %q, which is slow: publish UDP port 41641 of one of the two",
				strings.TrimSuffix(p.DNSName, "."), p.Relay))
		}
	}
	slices.Sort(list)
	return list
}
