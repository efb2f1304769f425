package tailnet

import (
	"net"
	"slices"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// slowLink leads to a server, and holds back for a while whatever goes either way.
func slowLink(t *testing.T, to string, delay time.Duration) (url string) {
	t.Helper()
	way := newCable(t, to)
	way.cut()
	way.carry = func(to, from net.Conn) {
		defer to.Close()
		for b := make([]byte, 1<<16); ; {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			<-time.After(delay) // the link, which is what is tested
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	way.mend()
	return "http://" + way.address
}

// TestControlSlow: a control server that takes its time is no failure as long as it is heard of.
func TestControlSlow(t *testing.T) {
	t.Parallel()
	ctl := newControl(t)
	url := slowLink(t, ctl.HTTPTestServer.URL, 700*time.Millisecond)
	began := time.Now()
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: url})
	s := b.wait("running, or a failure", func(s wire.Status) bool { return s.State == wire.Running || s.Reason != "" })
	if s.Reason != "" || len(s.Addresses) == 0 {
		t.Errorf("the status is %+v", s)
	}
	if took := time.Since(began); took < 5*700*time.Millisecond {
		t.Errorf("it was no slow server: %v", took)
	}
}

// nodeAt is the control server's node with an address.
func nodeAt(t *testing.T, ctl *testcontrol.Server, address string) *tailcfg.Node {
	t.Helper()
	nodes := ctl.AllNodes()
	i := slices.IndexFunc(nodes, func(n *tailcfg.Node) bool { return n.Addresses[0].Addr().String() == address })
	if i < 0 {
		t.Fatalf("no node has the address %s", address)
	}
	return nodes[i]
}

// TestKeyRotation has a node's key run out and somebody log in anew: the box has another key and
// the same address, and peers find it there.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	ctl := newControl(t)
	peer := newPeer(t, ctl, "peer")
	ctl.RequireAuth = true // a login in a browser ends the old key
	b := newBox(t, t.TempDir(), wire.Config{Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	login := func() {
		t.Helper()
		if s := b.wait("a login URL", func(s wire.Status) bool { return s.LoginURL != "" }); !ctl.CompleteAuth(s.LoginURL) {
			t.Fatalf("%q is no login URL", s.LoginURL)
		}
	}
	login()
	s := b.running()
	port := echo(t, "tcp", "0.0.0.0:0")
	hello := func() { t.Helper(); greet(t, peer, net.JoinHostPort(s.Addresses[0], port)) }
	hello()
	node := nodeAt(t, ctl, s.Addresses[0])
	old := node.Key
	node.KeyExpiry = time.Now().Add(-time.Minute)
	ctl.UpdateNode(node)
	b.reason(wire.Expired)
	login()
	eventually(t, func() error {
		if node = nodeAt(t, ctl, s.Addresses[0]); node.Key == old || ctl.NumNodes() != 2 {
			return errNo("the node has no other key")
		}
		return nil
	})
	node.KeyExpiry = time.Time{}
	ctl.UpdateNode(node)
	if again := b.running(); !slices.Equal(again.Addresses, s.Addresses) {
		t.Errorf("the addresses are %v, and were %v", again.Addresses, s.Addresses)
	}
	hello()
}
