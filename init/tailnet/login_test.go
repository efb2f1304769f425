package tailnet

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

func wantsLogin(ctl *testcontrol.Server) { ctl.RequireAuth = true }

func TestLoginWithBrowser(t *testing.T) {
	ctl := newControl(t, wantsLogin)
	b := newBox(t, t.TempDir(), wire.Config{Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	s := b.wait("a login URL", func(s wire.Status) bool { return s.LoginURL != "" })
	if s.State != wire.NeedsLogin || s.Reason != wire.NoKey || s.Cure == "" {
		t.Errorf("the status is %+v", s)
	}
	if !ctl.CompleteAuth(s.LoginURL) {
		t.Fatalf("%q is no login URL", s.LoginURL)
	}
	if s := b.running(); s.LoginURL != "" || s.Reason != "" {
		t.Errorf("after the login the status is %+v", s)
	}
	if k := strings.Count(b.log.text(), s.LoginURL); k != 1 {
		t.Errorf("the login URL was logged %d times", k)
	}

	// Logging out stays so, until somebody logs in again.
	b.post("/logout", "", http.StatusOK)
	b.wait("logged out", func(s wire.Status) bool {
		return s.State == wire.NeedsLogin && strings.Contains(s.Text, "logged this box out")
	})
	b.post("/login", "", http.StatusOK)
	s = b.wait("a login URL", func(s wire.Status) bool { return s.LoginURL != "" })
	ctl.CompleteAuth(s.LoginURL)
	b.running()
}

func TestBadKey(t *testing.T) {
	ctl := newControl(t, wantsKey)
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: "tskey-auth-bad", Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	s := b.reason(wire.BadKey)
	if s.State != wire.NeedsLogin || s.Text != "invalid authkey" || s.Cure == "" {
		t.Errorf("the status is %+v", s)
	}
	b.post("/login", `{"authKey":"`+goodKey+`"}`, http.StatusOK)
	b.running()
}

func TestClientSecretWithoutTags(t *testing.T) {
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: "tskey-client-secret", Hostname: "box", ControlURL: "http://127.0.0.1:1"})
	s := b.reason(wire.BadKey)
	if s.State != wire.Failed || !strings.Contains(s.Text, "advertise-tags") {
		t.Errorf("the status is %+v", s)
	}
}

func TestIdentityToken(t *testing.T) {
	b := newBox(t, t.TempDir(), wire.Config{ClientID: "id", IDToken: "token", Hostname: "box", ControlURL: "http://127.0.0.1:1"})
	if s := b.reason(wire.BadKey); s.State != wire.Failed || !strings.Contains(s.Cure, "TS_CLIENT_SECRET") {
		t.Errorf("the status is %+v", s)
	}
}

func TestApproval(t *testing.T) {
	ctl := newControl(t, func(ctl *testcontrol.Server) { ctl.RequireMachineAuth = true })
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	if s := b.reason(wire.NeedsApproval); s.State != wire.NeedsLogin || s.Cure == "" {
		t.Errorf("the status is %+v", s)
	}
	nodes := ctl.AllNodes()
	if len(nodes) != 1 {
		t.Fatalf("there are %d nodes", len(nodes))
	}
	node := nodes[0]
	node.MachineAuthorized = true
	ctl.UpdateNode(node)
	b.running()
}

func TestControlUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := "http://" + l.Addr().String()
	l.Close()
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: nowhere})
	s := b.reason(wire.ControlUnreachable)
	if s.State != wire.Starting || !strings.Contains(s.Text, "connection refused") {
		t.Errorf("the status is %+v", s)
	}
}

func TestControlTalksRubbish(t *testing.T) {
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>rubbish")) })}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: "http://" + l.Addr().String()})
	b.reason(wire.ControlUnreachable)
}

// TestExpired lets the node's key run out while it runs. This control server keeps the
// expiry for the new key too, so what can be seen is that the box logs in again.
func TestExpired(t *testing.T) {
	ctl := newControl(t)
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	b.running()
	node := ctl.AllNodes()[0]
	before := node.Key
	node.KeyExpiry = time.Now().Add(-time.Minute)
	ctl.UpdateNode(node)
	if s := b.reason(wire.Expired); s.Cure == "" || s.KeyExpiry.IsZero() {
		t.Errorf("the status is %+v", s)
	}
	eventually(t, func() error {
		if slices.ContainsFunc(ctl.AllNodes(), func(n *tailcfg.Node) bool { return n.Key != before }) {
			return nil
		}
		return errNo("the box did not log in with a new key")
	})
}

// TestExpiredWithoutKey lets the key of a node run out that somebody had let in: the status names
// one URL where that can be done again, and keeps it whatever else the control server says.
func TestExpiredWithoutKey(t *testing.T) {
	t.Parallel()
	ctl := newControl(t, wantsLogin)
	b := newBox(t, t.TempDir(), wire.Config{Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	asksFor := func(s wire.Status) bool { return s.LoginURL != "" }
	ctl.CompleteAuth(b.wait("a login URL", asksFor).LoginURL)
	b.running()
	node := ctl.AllNodes()[0]
	before := node.Key
	node.KeyExpiry = time.Now().Add(-time.Minute)
	ctl.UpdateNode(node)
	s := b.wait("another login URL", asksFor)
	if s.State != wire.NeedsLogin || s.Reason != wire.Expired || s.Cure == "" {
		t.Errorf("the status is %+v", s)
	}
	node.KeyExpiry = node.KeyExpiry.Add(-time.Hour)
	ctl.UpdateNode(node)
	if now := b.wait("the next map", func(now wire.Status) bool { return now.KeyExpiry.Before(s.KeyExpiry) }); now.LoginURL != s.LoginURL {
		t.Errorf("behind the next map the login URL is %q, and was %q", now.LoginURL, s.LoginURL)
	}
	if !ctl.CompleteAuth(s.LoginURL) {
		t.Fatalf("%q is no login URL", s.LoginURL)
	}
	eventually(t, func() error {
		if slices.ContainsFunc(ctl.AllNodes(), func(n *tailcfg.Node) bool { return n.Key != before }) {
			return nil
		}
		return errNo("the box did not log in with a new key")
	})
	if k := strings.Count(b.log.text(), s.LoginURL); k != 1 {
		t.Errorf("the login URL was logged %d times", k)
	}
}

func TestRateLimit(t *testing.T) {
	tries := make(chan struct{}, 100)
	ctl := newControl(t, func(ctl *testcontrol.Server) {
		ctl.MaybeRateLimitRegister = func() (bool, string, string) {
			tries <- struct{}{}
			return len(tries) < 2, "1", "slow down"
		}
	})
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	b.running()
}

func TestEphemeral(t *testing.T) {
	ctl := newControl(t)
	root := t.TempDir()
	c := wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Ephemeral: true}
	b := newBox(t, root, c)
	first := b.running()
	b.stop()
	if _, err := os.Stat(filepath.Join(root, "state", stateFile)); !os.IsNotExist(err) {
		t.Errorf("an ephemeral node left its state (%v)", err)
	}
	if again := newBox(t, root, c).running(); again.Addresses[0] == first.Addresses[0] {
		t.Errorf("an ephemeral node has the address %s again", first.Addresses[0])
	}
}

func TestOnlyRootMayPost(t *testing.T) {
	p := &program{}
	for _, path := range []string{"/login", "/logout"} {
		w := newRecorder(p, "POST", path, 1000)
		if w.Code != http.StatusForbidden {
			t.Errorf("user 1000 may POST %s: %d", path, w.Code)
		}
		if w := newRecorder(p, "POST", path, 0); w.Code != http.StatusServiceUnavailable {
			t.Errorf("root's POST %s without a node: %d", path, w.Code)
		}
	}
}
