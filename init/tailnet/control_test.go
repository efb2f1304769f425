package tailnet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"tailscale.com/types/logger"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// cable is the way to a control server, which can be cut.
type cable struct {
	t       *testing.T
	address string
	backend string
	carry   func(to, from net.Conn) // nil: at once

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{t: t, address: "127.0.0.1:0", backend: u.Host}
	c.mend()
	t.Cleanup(c.cut)
	return c
}

func (c *cable) mend() {
	c.t.Helper()
	l, err := net.Listen("tcp", c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.l, c.address = l, l.Addr().String()
	go c.serve(l)
}

func (c *cable) serve(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		backend, err := net.Dial("tcp", c.backend)
		if err != nil {
			client.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, client, backend)
		c.mu.Unlock()
		if c.carry != nil {
			go c.carry(backend, client)
			go c.carry(client, backend)
			continue
		}
		go join(client, backend)
	}
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.l.Close()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// TestControlCut takes the control server from a box that is in the tailnet, and from one
// that starts.
func TestControlCut(t *testing.T) {
	t.Parallel() // it waits for Tailscale's own timers
	ctl := newControl(t)
	way := newCable(t, ctl.HTTPTestServer.URL)
	root := t.TempDir()
	c := wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: "http://" + way.address}
	b := newBox(t, root, c)
	s := b.running()
	peer := newPeer(t, ctl, "peer")
	port := echo(t, "tcp", "0.0.0.0:0")
	hello := func() { t.Helper(); greet(t, peer, net.JoinHostPort(s.Addresses[0], port)) }
	hello()
	way.cut()
	if cut := b.reason(wire.ControlUnreachable); cut.State != wire.Degraded || cut.Addresses[0] != s.Addresses[0] {
		t.Errorf("with the way cut: %+v", cut)
	}
	hello()
	way.mend()
	b.running()

	b.stop()
	way.cut()
	b = newBox(t, root, c)
	if cut := b.reason(wire.ControlUnreachable); cut.State != wire.Starting || cut.Cure == "" {
		t.Errorf("started with the way cut: %+v", cut)
	}
	way.mend()
	if again := b.running(); again.Addresses[0] != s.Addresses[0] {
		t.Errorf("the address is %v, and was %v", again.Addresses, s.Addresses)
	}
}

// TestControlSaysNothing has a server that accepts, and never answers.
func TestControlSaysNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, c)
		}
	}()
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: "http://" + l.Addr().String()})
	if s := b.reason(wire.ControlUnreachable); s.State != wire.Starting || !strings.Contains(s.Text, l.Addr().String()) {
		t.Errorf("the status is %+v", s)
	}
}

// TestClock has a box whose clock is a year ahead of that of the control server's certificate, and
// one that is a year behind: which of the two is wrong cannot be told, so both are named.
func TestClock(t *testing.T) {
	t.Parallel()
	year := 365 * 24 * time.Hour
	for name, from := range map[string]time.Time{"ahead": time.Now().Add(-year), "behind": time.Now().Add(year)} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = logger.StdLogger(logger.Discard)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, from, from.Add(24*time.Hour))}}
			server.StartTLS()
			t.Cleanup(server.Close)
			b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: server.URL})
			s := b.wait("a clock", func(s wire.Status) bool { return strings.Contains(s.Cure, "clock of the box") })
			if s.State != wire.Starting || s.Reason != wire.ControlUnreachable || !strings.Contains(s.Text, "expired or is not yet valid") {
				t.Errorf("the status is %+v", s)
			}
		})
	}
}

// certificate is one of loopback that is valid for a time.
func certificate(t *testing.T, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
