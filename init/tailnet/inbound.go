package tailnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"tailscale.com/types/nettype"
	"tailscale.com/wgengine/netstack"
)

const (
	// answerTime is how long a listener of the box may take to accept. It is in the same
	// kernel, so only a full queue makes it slow, or a machine that is very busy. A peer that
	// has lost its patience is gone before.
	answerTime = dialTime
	// quietTime ends a UDP flow in which nothing is said, as Tailscale's own does.
	quietTime = 2 * time.Minute
	sshPort   = 22
	// sshAside is where peers reach sshd while Tailscale SSH has port 22.
	sshAside = 2222
)

// receive makes the node hand connections from peers to what listens in the box. tsnet
// itself serves only what its own program listens to.
func (n *node) receive() {
	stack, ok := n.srv.Sys().Netstack.Get().(*netstack.Impl)
	if !ok {
		n.status.warn("peers cannot reach the box: the network stack is not the one that is known")
		return
	}
	stack.GetTCPHandlerForFlow = n.receiveTCP
	stack.GetUDPHandlerForFlow = n.receiveUDP
}

// own says whether an address is the box's in the tailnet.
func (n *node) own(a netip.Addr) bool {
	v4, v6 := n.srv.TailscaleIPs()
	return a.IsValid() && (a == v4 || a == v6)
}

// receiveTCP decides on a connection before it is accepted: without a listener that takes
// it the peer gets a RST, as from a kernel.
func (n *node) receiveTCP(src, dst netip.AddrPort) (func(net.Conn), bool) {
	if !n.own(dst.Addr()) {
		return nil, false // a subnet that the box routes
	}
	port := dst.Port()
	if !n.expose.admits(port) {
		return nil, true
	}
	backend, err := n.dialBox(context.Background(), port, n.expose.loopback)
	if err != nil && port == sshAside && n.Config.SSH && n.expose.admits(sshPort) {
		backend, err = n.dialBox(context.Background(), sshPort, n.expose.loopback)
	}
	if err != nil {
		return nil, true
	}
	return func(peer net.Conn) {
		defer n.identify("tcp", backend, src.Addr())()
		join(peer, backend)
	}, true
}

// errNoListener is the box's own "connection refused".
var errNoListener = errors.New("connection refused: nothing in the box listens there")

// dialBox connects to what listens on a TCP port of the box.
func (n *node) dialBox(ctx context.Context, port uint16, private bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := errNoListener
	for _, a := range targets(listenerAddresses(n.Root, "tcp", port), private) {
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(a, port).String()); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// identify lets whois tell the peer behind a connection that comes from loopback.
func (n *node) identify(network string, c net.Conn, peer netip.Addr) (forget func()) {
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil || n.srv.Sys().ProxyMapper().RegisterIPPortIdentity(network, local, peer) != nil {
		return func() {}
	}
	return func() { n.srv.Sys().ProxyMapper().UnregisterIPPortIdentity(network, local) }
}

// receiveUDP decides on the first datagram of a flow.
func (n *node) receiveUDP(src, dst netip.AddrPort) (func(nettype.ConnPacketConn), bool) {
	if !n.own(dst.Addr()) {
		return nil, false
	}
	port := dst.Port()
	if !n.expose.admits(port) || port == n.srv.Sys().MagicSock.Get().LocalPort() {
		return nil, true
	}
	list := targets(listenerAddresses(n.Root, "udp", port), n.expose.loopback)
	switch {
	case len(list) == 0:
		return nil, true
	case list[0] == loopback4:
		return nil, false // netstack forwards to it
	}
	return func(peer nettype.ConnPacketConn) {
		defer peer.Close()
		backend, err := net.Dial("udp", netip.AddrPortFrom(list[0], port).String())
		if err != nil {
			return
		}
		defer backend.Close()
		defer n.identify("udp", backend, src.Addr())()
		go carry(peer, backend)
		carry(backend, peer)
	}, true
}

// carry copies datagrams until nothing comes for a while.
func carry(to, from net.Conn) {
	buf := make([]byte, 1<<16)
	for {
		if err := from.SetReadDeadline(time.Now().Add(quietTime)); err != nil {
			return
		}
		k, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:k]); err != nil {
			return
		}
	}
}

// join copies both ways until both ends have said all, and closes them.
func join(a, b net.Conn) {
	defer a.Close()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		half(a, b)
	}()
	half(b, a)
	<-done
}

// half copies one way and passes on the end: an end of file as such, an error by closing
// both, since the other direction would wait for ever.
func half(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if w, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		if w.CloseWrite() == nil {
			return
		}
	}
	to.Close()
	from.Close()
}
