package tailnet

import (
	"net"
	"testing"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// TestProxyHalves: who has said all through SOCKS5 still gets the answer.
func TestProxyHalves(t *testing.T) {
	ctl := newControl(t)
	const address = "127.0.0.1:18057"
	s := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, SOCKS5: address}).running()
	peer := newPeer(t, ctl, "peer")
	l, err := peer.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go echoes(l)
	v4, _ := peer.TailscaleIPs()
	for name, to := range map[string]string{
		"a peer":         v4.String() + ":80",
		"the box itself": s.Addresses[0] + ":" + echo(t, "tcp", "0.0.0.0:0"),
		"beside":         net.JoinHostPort("127.0.0.1", echo(t, "tcp", "127.0.0.1:0")),
	} {
		eventually(t, func() error {
			c, err := dialVia(to, address)
			if err == nil {
				err = says(c)
			}
			if err != nil {
				t.Logf("%s: %v", name, err)
			}
			return err
		})
	}
}
