package tailnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/tsaddr"
	"tailscale.com/net/tstun"
)

// link is what the kernel has been told about the device.
type link struct {
	up     bool
	addrs  []netip.Addr
	routes []netip.Prefix
}

// configure gives the device the node's addresses, and the routes of the tailnet and of
// the subnets that are accepted from peers. Only differences are done. tsnet leaves all
// of it to its caller.
func (n *node) configure(st *ipnstate.Status) error {
	if len(st.TailscaleIPs) == 0 {
		return nil
	}
	l, err := netlink.LinkByName(linkName)
	if err != nil {
		return fmt.Errorf("configuring the device: %w", err)
	}
	if !n.link.up {
		if err := netlink.LinkSetMTU(l, int(tstun.DefaultTUNMTU())); err != nil {
			return fmt.Errorf("setting the MTU of %s: %w", linkName, err)
		}
	}
	if err := n.setAddresses(l, st.TailscaleIPs); err != nil {
		return err
	}
	if !n.link.up {
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("switching %s on: %w", linkName, err)
		}
		n.link.up = true
	}
	routes := []netip.Prefix{tsaddr.CGNATRange(), tsaddr.TailscaleULARange()}
	if n.Config.AcceptRoutes {
		routes = append(routes, accepted(st)...)
	}
	return n.setRoutes(l, routes)
}

// accepted are the subnets that peers route for the box. A default route is an exit node,
// which is not offered here.
func accepted(st *ipnstate.Status) []netip.Prefix {
	var list []netip.Prefix
	for _, peer := range st.Peer {
		if peer.PrimaryRoutes == nil {
			continue
		}
		for _, r := range peer.PrimaryRoutes.All() {
			if r.Bits() > 0 && !slices.Contains(list, r) {
				list = append(list, r)
			}
		}
	}
	return list
}

// setAddresses makes the device's addresses those. Where the host has no IPv6, the box
// goes without.
func (n *node) setAddresses(l netlink.Link, want []netip.Addr) error {
	for _, a := range want {
		if slices.Contains(n.link.addrs, a) {
			continue
		}
		err := netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen()))})
		if a.Is6() && noIPv6(err) {
			n.Log.Debug("no IPv6 in the tailnet: the box has none", zap.Error(err))
		} else if err != nil {
			return fmt.Errorf("giving %s the address %s: %w", linkName, a, err)
		}
		n.link.addrs = append(n.link.addrs, a)
	}
	for _, a := range slices.Clone(n.link.addrs) {
		if slices.Contains(want, a) {
			continue
		}
		err := netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen()))})
		if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("taking the address %s from %s: %w", a, linkName, err)
		}
		n.link.addrs = slices.DeleteFunc(n.link.addrs, func(b netip.Addr) bool { return a == b })
	}
	return nil
}

// setRoutes makes the device's routes those.
func (n *node) setRoutes(l netlink.Link, want []netip.Prefix) error {
	route := func(p netip.Prefix) *netlink.Route {
		return &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(p), Scope: netlink.SCOPE_LINK}
	}
	for _, p := range want {
		if slices.Contains(n.link.routes, p) {
			continue
		}
		if taken := routeTo(p, l.Attrs().Index); taken != "" {
			n.status.warn(fmt.Sprintf("the subnet %s of a peer is not used: %s has a route to it", p, taken))
		} else if err := netlink.RouteReplace(route(p)); p.Addr().Is6() && noIPv6(err) {
			n.Log.Debug("no IPv6 in the tailnet: the box has none", zap.Error(err))
		} else if err != nil {
			return fmt.Errorf("routing %s to %s: %w", p, linkName, err)
		}
		n.link.routes = append(n.link.routes, p)
	}
	for _, p := range slices.Clone(n.link.routes) {
		if slices.Contains(want, p) {
			continue
		}
		if err := netlink.RouteDel(route(p)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("taking the route %s from %s: %w", p, linkName, err)
		}
		n.link.routes = slices.DeleteFunc(n.link.routes, func(q netip.Prefix) bool { return p == q })
	}
	return nil
}

// routeTo names the other device that has a route to exactly these addresses: that of the
// box's own network, say, which must not be replaced.
func routeTo(p netip.Prefix, own int) string {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Dst: ipNet(p)}, netlink.RT_FILTER_DST)
	if err != nil {
		return ""
	}
	for _, r := range routes {
		if r.LinkIndex == own {
			continue
		}
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			return l.Attrs().Name
		}
		return "another device"
	}
	return ""
}

// noIPv6 says whether an error means that the box has no IPv6: Docker switches it off.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EPERM)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
