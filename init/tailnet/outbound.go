package tailnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"tailscale.com/net/tsaddr"
)

// inTailnet says whether an address can only be meant as one of a tailnet. A connection to
// it never leaves by the box's own network.
func inTailnet(a netip.Addr) bool {
	a = a.Unmap()
	return tsaddr.CGNATRange().Contains(a) || tsaddr.TailscaleULARange().Contains(a)
}

// dialTime is how long a connection may take, of whatever kind.
const dialTime = 30 * time.Second

// dial connects to a peer by address or name, to the box itself by its tailnet address,
// and to everything else as any program does. It is what the proxies use.
func (p *program) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, portText)
	if err != nil {
		return nil, err
	}
	addrs, err := p.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		var c net.Conn
		if c, err = p.dialAddress(ctx, network, netip.AddrPortFrom(a, uint16(port))); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// resolve finds a host's addresses: the tailnet's names before the world's.
func (p *program) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	if n := p.life.Load(); n != nil {
		if addrs := n.names.lookup(host); len(addrs) > 0 {
			return addrs, nil
		}
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(host, "."))
	if err != nil {
		return nil, err
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}

// dialAddress connects to one address.
func (p *program) dialAddress(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	n := p.life.Load()
	up := n != nil && n.up()
	switch {
	case up && n.own(to.Addr()) && strings.HasPrefix(network, "tcp"):
		return n.dialBox(ctx, to.Port(), true)
	case inTailnet(to.Addr()) && !up:
		return nil, fmt.Errorf("%s is in the tailnet, which is %s", to, line(p.status.get()))
	case inTailnet(to.Addr()) && !n.knows(ctx, to.Addr()):
		return nil, fmt.Errorf("no machine of the tailnet has the address %s: %w", to.Addr(), syscall.ENETUNREACH)
	case up:
		return n.srv.Dial(ctx, network, to.String()) // a subnet of a peer may have it
	default:
		return new(net.Dialer).DialContext(ctx, network, to.String())
	}
}

// up says whether the node can be dialled through: it is in the tailnet, whether or not
// the control server can be reached at the moment.
func (n *node) up() bool { return n.working.Load() != nil }

// meeting is how long a node that works may take to hear of all machines.
const meeting = 5 * time.Second

// knows says whether an address is one of the tailnet's machines.
func (n *node) knows(ctx context.Context, a netip.Addr) bool {
	for {
		if n.names.has(a) {
			return true
		}
		// A machine that has joined a moment ago.
		if _, err := n.lc.WhoIs(ctx, a.String()); err == nil {
			return true
		}
		if since := n.working.Load(); since == nil || time.Since(*since) > meeting {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(joinTick):
		}
	}
}
