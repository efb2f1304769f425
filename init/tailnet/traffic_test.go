package tailnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/sys/unix"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/types/key"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// echo answers each connection with what it says.
func echo(t *testing.T, network, address string) (port string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go echoes(l)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func echoes(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// says sends a sentence, ends its half, and wants it back.
func says(c net.Conn) error {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit)) // a forwarded connection has none
	const sentence = "hello over the tailnet"
	if _, err := io.WriteString(c, sentence); err != nil {
		return err
	}
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		if err := w.CloseWrite(); err != nil {
			return err
		}
	} else {
		got := make([]byte, len(sentence))
		_, err := io.ReadFull(c, got)
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && string(got) != sentence {
		err = fmt.Errorf("it says %q", got)
	}
	return err
}

func dialPeer(t *testing.T, from *tsnet.Server, network, address string) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return from.Dial(ctx, network, address)
}

// device is an address of the test network's own device.
const device = "192.0.2.77"

// echoUDP answers each datagram with itself.
func echoUDP(t *testing.T, address string) (port string) {
	t.Helper()
	l, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		buf := make([]byte, 2000)
		for {
			k, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			l.WriteTo(buf[:k], from)
		}
	}()
	return fmt.Sprint(l.LocalAddr().(*net.UDPAddr).Port)
}

func saysUDP(c net.Conn, within time.Duration) error {
	if _, err := io.WriteString(c, "datagram"); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(within))
	buf := make([]byte, 100)
	k, err := c.Read(buf)
	if err == nil && string(buf[:k]) != "datagram" {
		err = fmt.Errorf("it says %q", buf[:k])
	}
	return err
}

func TestInbound(t *testing.T) {
	ctl := newControl(t)
	b := newBox(t, t.TempDir(), wire.Config{
		AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Private: []uint16{18100},
	})
	s := b.running()
	peer := newPeer(t, ctl, "peer")
	at := func(port string) string { return net.JoinHostPort(s.Addresses[0], port) }

	for name, address := range map[string]string{"everywhere": "0.0.0.0:0", "by IPv6": "[::]:0", "on a device": device + ":0"} {
		c, err := dialPeer(t, peer, "tcp", at(echo(t, "tcp", address)))
		if err == nil {
			err = says(c)
		}
		if err != nil {
			t.Errorf("what listens %s: %v", name, err)
		}
	}
	private, closed := echo(t, "tcp", "127.0.0.1:0"), "18101"
	echo(t, "tcp", "0.0.0.0:18100")
	for name, port := range map[string]string{"a closed port": closed, "a port of ours": "18100", "a port on loopback only": private} {
		began := time.Now()
		c, err := dialPeer(t, peer, "tcp", at(port))
		if err == nil {
			c.Close()
			t.Errorf("%s is open", name)
		} else if !strings.Contains(err.Error(), "refused") || time.Since(began) > 3*time.Second {
			t.Errorf("%s was not refused, but after %v: %v", name, time.Since(began), err)
		}
	}

	for _, address := range []string{"0.0.0.0:0", "[::]:0", device + ":0"} {
		c, err := dialPeer(t, peer, "udp", at(echoUDP(t, address)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		eventually(t, func() error { return saysUDP(c, time.Second) })
	}
	c, err := dialPeer(t, peer, "udp", at(echoUDP(t, "127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := saysUDP(c, time.Second/2); err == nil {
		t.Error("what receives on loopback only answers a peer")
	}

	lc, err := peer.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if r, err := lc.Ping(ctx, netip.MustParseAddr(s.Addresses[0]), tailcfg.PingICMP); err != nil || r.Err != "" {
		t.Errorf("ping: %+v (%v)", r, err)
	}
}

// TestInboundBusy has a listener whose queue is full for a moment: peers wait for it as
// neighbours do, and are not refused.
func TestInboundBusy(t *testing.T) {
	ctl := newControl(t)
	s := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL}).running()
	peer := newPeer(t, ctl, "peer")
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{}), unix.Listen(fd, 0))
	}
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(os.NewFile(uintptr(fd), "listener"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	full, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	result := make(chan error, 1)
	go func() {
		c, err := dialPeer(t, peer, "tcp", net.JoinHostPort(s.Addresses[0], port))
		if err == nil {
			err = says(c)
		}
		result <- err
	}()
	select {
	case err := <-result:
		t.Fatalf("with a full queue: %v", err)
	case <-time.After(700 * time.Millisecond):
	}
	go echoes(l)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestExposedLoopback(t *testing.T) {
	ctl := newControl(t)
	port := echo(t, "tcp", "127.0.0.1:0")
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Expose: "loopback," + port})
	s := b.running()
	peer := newPeer(t, ctl, "peer")
	c, err := dialPeer(t, peer, "tcp", net.JoinHostPort(s.Addresses[0], port))
	if err == nil {
		err = says(c)
	}
	if err != nil {
		t.Error(err)
	}
	other := echo(t, "tcp", "0.0.0.0:0")
	if c, err := dialPeer(t, peer, "tcp", net.JoinHostPort(s.Addresses[0], other)); err == nil {
		c.Close()
		t.Error("a port that TS_EXPOSE leaves out is open")
	}
}

// TestSubnet lets a peer reach a network behind the box.
func TestSubnet(t *testing.T) {
	ctl := newControl(t)
	const subnet = "192.0.2.0/24"
	b := newBox(t, t.TempDir(), wire.Config{
		AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Routes: []string{subnet, "192.0.2.1"},
	})
	s := b.running()
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "192.0.2.1") {
		t.Errorf("the warnings are %q", s.Warnings)
	}
	var key key.NodePublic
	for _, n := range ctl.AllNodes() {
		key = n.Key
	}
	ctl.SetSubnetRoutes(key, []netip.Prefix{netip.MustParsePrefix(subnet)})
	peer := newPeer(t, ctl, "peer")
	lc, err := peer.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lc.EditPrefs(t.Context(), &ipn.MaskedPrefs{Prefs: ipn.Prefs{RouteAll: true}, RouteAllSet: true}); err != nil {
		t.Fatal(err)
	}
	port := echo(t, "tcp", device+":0")
	load := make([]byte, 100_000)
	eventually(t, func() error {
		c, err := dialPeer(t, peer, "tcp", net.JoinHostPort(device, port))
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err = c.Write(load); err == nil {
			_, err = io.ReadFull(c, make([]byte, len(load)))
		}
		if err != nil {
			return err
		}
		// The peer is in the same network here: what counts is the way that it took.
		text, err := fetch(b.client(), "http://tailnet/peers")
		var list []wire.Peer
		if err == nil {
			err = json.Unmarshal([]byte(text), &list)
		}
		if err == nil && (len(list) != 1 || list[0].Received < int64(len(load))) {
			err = errNo("it did not go through the box: " + text)
		}
		return err
	})
}

// TestProxy goes out, by both proxies on one address, to a peer by name and by address, to
// the box itself, and beside the tailnet.
func TestProxy(t *testing.T) {
	ctl := newControl(t)
	const address = "127.0.0.1:18055"
	b := newBox(t, t.TempDir(), wire.Config{
		AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, SOCKS5: address, HTTP: address,
	})
	s := b.running()
	if s.Proxy != address {
		t.Errorf("the proxy is at %q", s.Proxy)
	}
	peer := newPeer(t, ctl, "peer")
	l, err := peer.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "peer as ", r.Host) }))
	v4, _ := peer.TailscaleIPs()
	beside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "beside") }))
	t.Cleanup(beside.Close)
	own := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "own") }))
	t.Cleanup(own.Close)
	_, ownPort, _ := net.SplitHostPort(own.Listener.Addr().String())

	socks, err := proxy.SOCKS5("tcp", address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, transport := range map[string]*http.Transport{
		"SOCKS5": {DialContext: socks.(proxy.ContextDialer).DialContext},
		"HTTP":   {Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: address})},
	} {
		client := &http.Client{Transport: transport, Timeout: limit}
		for to, want := range map[string]string{
			"http://peer/":                "peer as peer",
			"http://PEER.tail.test/":      "peer as PEER.tail.test",
			"http://" + v4.String() + "/": "peer as " + v4.String(),
			beside.URL:                    "beside",
			"http://" + net.JoinHostPort(s.Addresses[0], ownPort): "own",
		} {
			eventually(t, func() error {
				got, err := fetch(client, to)
				if err == nil && got != want {
					err = fmt.Errorf("%s to %s: %q", name, to, got)
				}
				return err
			})
		}
		if got, err := fetch(client, "http://100.99.98.97/"); err == nil && !strings.Contains(got, "no machine of the tailnet") {
			t.Errorf("%s to nobody: %q", name, got)
		}
	}
	tunnel(t, address, "peer:80")
}

func fetch(client *http.Client, to string) (string, error) {
	res, err := client.Get(to)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// tunnel asks for a page by CONNECT.
func tunnel(t *testing.T, proxy, to string) {
	t.Helper()
	c, err := net.Dial("tcp", proxy)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET / HTTP/1.0\r\n\r\n", to, to)
	r := bufio.NewReader(c)
	for _, want := range []string{"HTTP/1.1 200", "HTTP/1.0 200"} {
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("no %s: %v (%v)", want, res, err)
		}
	}
}

// TestNothingLeavesInClear dials the tailnet without one: a listener with an address of
// the tailnet in the box's own network must not be reached.
func TestNothingLeavesInClear(t *testing.T) {
	p := &program{status: newBoard(t.TempDir()+"/status", (&logLines{}).logger())}
	for _, to := range []string{"100.64.0.9:80", "[fd7a:115c:a1e0::9]:80", "[::ffff:100.64.0.9]:80"} {
		c, err := p.dial(t.Context(), "tcp", to)
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "in the tailnet") || errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("%s: %v", to, err)
		}
	}
}
