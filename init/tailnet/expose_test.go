package tailnet

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

func TestExpose(t *testing.T) {
	private := []uint16{8100}
	for _, test := range []struct {
		text     string
		yes, no  []uint16
		loopback bool
	}{
		{text: "", yes: []uint16{1, 22, 65535}, no: private},
		{text: "all", yes: []uint16{1, 22, 65535}, no: private},
		{text: "none", no: []uint16{22, 8100}},
		{text: "22, 8000-9000", yes: []uint16{22, 8000, 8888, 9000}, no: []uint16{21, 23, 7999, 9001, 8100}},
		{text: "8100", no: private},
		{text: "loopback", yes: []uint16{22}, no: private, loopback: true},
		{text: "loopback,80", yes: []uint16{80}, no: []uint16{22}, loopback: true},
	} {
		e, err := parseExpose(test.text, private)
		if err != nil || e.loopback != test.loopback {
			t.Errorf("%q: %+v (%v)", test.text, e, err)
		}
		for _, port := range test.yes {
			if !e.admits(port) {
				t.Errorf("%q does not admit %d", test.text, port)
			}
		}
		for _, port := range test.no {
			if e.admits(port) {
				t.Errorf("%q admits %d", test.text, port)
			}
		}
	}
	for _, text := range []string{"no", "all,none", "0", "65536", "9000-8000", "-1", "80-", "-", "ssh"} {
		e, err := parseExpose(text, nil)
		if err == nil || e.admits(80) {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTargets(t *testing.T) {
	addr := func(list ...string) (addrs []netip.Addr) {
		for _, text := range list {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		return addrs
	}
	for _, test := range []struct {
		name          string
		listeners     []netip.Addr
		public, whole []netip.Addr // what peers may reach, and with loopback
	}{
		{name: "nothing"},
		{"everywhere", addr("0.0.0.0"), addr("127.0.0.1"), addr("127.0.0.1")},
		{"everywhere by IPv6", addr("::"), addr("127.0.0.1", "::1"), addr("127.0.0.1", "::1")},
		{"one address", addr("10.0.0.5"), addr("10.0.0.5"), addr("10.0.0.5")},
		{"loopback", addr("127.0.0.1"), nil, addr("127.0.0.1")},
		{"another loopback", addr("127.1.2.3", "::1"), nil, addr("127.1.2.3", "::1")},
		{"loopback in front of everywhere", addr("127.0.0.1", "::"), addr("::1"), addr("127.0.0.1", "::1")},
		{"loopback in front, IPv4", addr("127.0.0.1", "0.0.0.0"), nil, addr("127.0.0.1")},
		{"loopback beside an address", addr("127.0.0.1", "10.0.0.5"), addr("10.0.0.5"), addr("10.0.0.5", "127.0.0.1")},
	} {
		if got := targets(test.listeners, false); !slices.Equal(got, test.public) {
			t.Errorf("%s: peers reach %v, not %v", test.name, got, test.public)
		}
		if got := targets(test.listeners, true); !slices.Equal(got, test.whole) {
			t.Errorf("%s: all of it is %v, not %v", test.name, got, test.whole)
		}
	}
}

// TestListeners compares both ways to learn of listeners, and what listeners there are.
func TestListeners(t *testing.T) {
	for _, c := range []struct {
		network, address string
		want             []netip.Addr
	}{
		{"tcp", "0.0.0.0:0", []netip.Addr{netip.IPv4Unspecified()}},
		{"tcp", "127.0.0.1:0", []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		{"tcp", "[::]:0", []netip.Addr{netip.IPv6Unspecified()}},
		{"tcp", "[::1]:0", []netip.Addr{netip.IPv6Loopback()}},
		{"udp", "0.0.0.0:0", []netip.Addr{netip.IPv4Unspecified()}},
		{"udp", "127.0.0.1:0", []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
	} {
		var at net.Addr
		family := c.network + "4" // else Go takes IPv6 for both
		if c.want[0].Is6() {
			family = c.network + "6"
		}
		if c.network == "tcp" {
			l, err := net.Listen(family, c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			at = l.Addr()
			conn, err := net.Dial("tcp", at.String()) // is no listener
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		} else {
			l, err := net.ListenPacket(family, c.address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			at = l.LocalAddr()
		}
		port := netip.MustParseAddrPort(at.String()).Port()
		state := map[string]string{"tcp": tcpListen, "udp": udpUnconnected}[c.network]
		asked, err := askListeners(c.network, state, port)
		if err != nil || !slices.Equal(asked, c.want) {
			t.Errorf("%s: the kernel answers %v %v", at, asked, err)
		}
		var read []netip.Addr
		for _, file := range []string{c.network, c.network + "6"} {
			read = append(read, scanListeners("/proc/net/"+file, state, port)...)
		}
		if !slices.Equal(read, c.want) {
			t.Errorf("%s: its tables say %v", at, read)
		}
		if none, err := askListeners(c.network, state, 1); err != nil || len(none) > 0 {
			t.Errorf("on port 1: %v %v", none, err)
		}
	}
}

func BenchmarkListeners(b *testing.B) {
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	b.Run("asked", func(b *testing.B) {
		for b.Loop() {
			if _, err := askListeners("tcp", tcpListen, port); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			scanListeners("/proc/net/tcp", tcpListen, port)
			scanListeners("/proc/net/tcp6", tcpListen, port)
		}
	})
}
