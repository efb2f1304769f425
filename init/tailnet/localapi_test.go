package tailnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// shortRoot is a root of a short name: names of sockets have 107 bytes.
func shortRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return root
}

// TestLocalAPI asks as the command-line tool does, with its own client: tailscale status,
// ping, set, a stream of notifications, nc.
func TestLocalAPI(t *testing.T) {
	ctl := newControl(t)
	root := shortRoot(t)
	b := newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	s := b.running()
	peer := newPeer(t, ctl, "peer")
	v4, _ := peer.TailscaleIPs()
	lc := &local.Client{Socket: filepath.Join(root, localAPI), UseSocketOnly: true}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	eventually(t, func() error {
		st, err := lc.Status(ctx)
		if err == nil && (len(st.Peer) != 1 || st.Self.TailscaleIPs[0].String() != s.Addresses[0]) {
			err = fmt.Errorf("the status is %+v", st)
		}
		return err
	})
	eventually(t, func() error { // a packet may be lost, as long as the peer does not know the box
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		r, err := lc.Ping(ctx, v4, tailcfg.PingDisco)
		if err == nil && r.Err != "" {
			err = errors.New(r.Err)
		}
		return err
	})
	w, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if note, err := w.Next(); err != nil || note.State == nil || *note.State != ipn.Running {
		t.Errorf("the stream begins with %+v (%v)", note, err)
	}
	l, err := peer.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go echoes(l)
	c, err := lc.DialTCP(ctx, v4.String(), 80)
	if err == nil {
		_, err = io.WriteString(c, "nc")
		buf := make([]byte, 2)
		if err == nil {
			_, err = io.ReadFull(c, buf)
		}
		c.Close()
	}
	if err != nil {
		t.Errorf("nc: %v", err)
	}
	if _, err := lc.EditPrefs(ctx, &ipn.MaskedPrefs{Prefs: ipn.Prefs{WantRunning: false}, WantRunningSet: true}); err != nil {
		t.Fatal(err)
	}
	b.wait("switched off", func(s wire.Status) bool { return s.State == wire.Degraded && strings.Contains(s.Text, "switched off") })
	if _, err := lc.EditPrefs(ctx, &ipn.MaskedPrefs{Prefs: ipn.Prefs{WantRunning: true}, WantRunningSet: true}); err != nil {
		t.Fatal(err)
	}
	b.running()
}

func TestLocalAPIForOthers(t *testing.T) {
	p := &program{}
	for path, want := range map[string]int{
		"GET /localapi/v0/status":     http.StatusServiceUnavailable, // there is no node to ask
		"PATCH /localapi/v0/prefs":    http.StatusForbidden,
		"POST /localapi/v0/logout":    http.StatusForbidden,
		"GET /localapi/v0/goroutines": http.StatusForbidden,
		"POST /localapi/v0/dial":      http.StatusForbidden,
	} {
		method, path, _ := strings.Cut(path, " ")
		p.Log = (&logLines{}).logger()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, nil)
		p.localAPIProxy().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, 1000)))
		if w.Code != want {
			t.Errorf("%s %s: %d, not %d", method, path, w.Code, want)
		}
	}
}

func TestLocalAPIOfAnother(t *testing.T) {
	root := shortRoot(t)
	path := filepath.Join(root, localAPI)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &program{Options: Options{Root: root}, status: newBoard(filepath.Join(root, "status"), (&logLines{}).logger())}
	p.serveLocalAPI()()
	if w := p.status.get().Warnings; len(w) != 1 || !strings.Contains(w[0], "another daemon") {
		t.Errorf("the warnings are %q", w)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the other's socket is gone: %v", err)
	} else {
		c.Close()
	}
}

func TestHealthAndMetrics(t *testing.T) {
	ctl := newControl(t, wantsLogin)
	const address = "127.0.0.1:18902"
	b := newBox(t, t.TempDir(), wire.Config{
		Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, LocalAddress: address, Health: true, Metrics: true,
	})
	s := b.wait("a login URL", func(s wire.Status) bool { return s.LoginURL != "" })
	health := func() (int, string) {
		res, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	if code, text := health(); code != http.StatusServiceUnavailable || !strings.Contains(text, s.LoginURL) {
		t.Errorf("without an address: %d %q", code, text)
	}
	ctl.CompleteAuth(s.LoginURL)
	b.running()
	if code, text := health(); code != http.StatusOK || text != "ok\n" {
		t.Errorf("with an address: %d %q", code, text)
	}
	for _, ask := range []func() (string, error){
		func() (string, error) { return fetch(http.DefaultClient, "http://"+address+"/metrics") },
		func() (string, error) { return fetch(b.client(), "http://tailnet/metrics") },
	} {
		if text, err := ask(); err != nil || !strings.Contains(text, "tailscaled_") {
			t.Errorf("the metrics are %q (%v)", text, err)
		}
	}
}

// TestPeers has the path that both can find, and one through the relay alone.
func TestPeers(t *testing.T) {
	ctl := newControl(t, func(ctl *testcontrol.Server) { ctl.AllOnline = true })
	b := newBox(t, t.TempDir(), wire.Config{
		AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Endpoints: []string{"203.0.113.7:40123", "rubbish"},
	})
	s := b.running()
	peer := newPeer(t, ctl, "peer")
	v4, _ := peer.TailscaleIPs()
	eventually(t, func() error {
		text, err := fetch(b.client(), "http://tailnet/peers?ping=1")
		if err != nil {
			return err
		}
		var list []wire.Peer
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 1 {
			return fmt.Errorf("they are %s (%v)", text, err)
		}
		if p := list[0]; p.Name != "peer.tail.test" || p.Address != v4.String() || p.Path != direct || p.Via == "" || p.RTT <= 0 {
			return fmt.Errorf("the peer is %+v", p)
		}
		return nil
	})
	// What the host publishes is told to peers.
	eventually(t, func() error { return announces(ctl.AllNodes(), s.Name, netip.MustParseAddrPort("203.0.113.7:40123")) })
	if s := b.wait("a warning", func(s wire.Status) bool { return len(s.Warnings) > 0 }); !strings.Contains(s.Warnings[0], "rubbish") {
		t.Errorf("the warnings are %q", s.Warnings)
	}
}

func announces(nodes []*tailcfg.Node, name string, want netip.AddrPort) error {
	for _, n := range nodes {
		if strings.TrimSuffix(n.Name, ".") != name {
			continue
		}
		for _, e := range n.Endpoints {
			if e == want {
				return nil
			}
		}
		return fmt.Errorf("%s announces %v", name, n.Endpoints)
	}
	return fmt.Errorf("there is no %s", name)
}
