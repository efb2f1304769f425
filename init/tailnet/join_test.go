package tailnet

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

const goodKey = "tskey-auth-good"

func wantsKey(ctl *testcontrol.Server) { ctl.RequireAuthKey = goodKey }

// ready makes a socket on which the program says how it is.
func ready(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

// heard reads notifications until one begins like that.
func heard(t *testing.T, c *net.UnixConn, prefix string) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		k, err := c.Read(buf)
		if err != nil {
			t.Fatalf("no %s was heard: %v", prefix, err)
		}
		if text := string(buf[:k]); strings.HasPrefix(text, prefix) {
			return text
		}
	}
}

func TestJoin(t *testing.T) {
	notes := ready(t)
	ctl := newControl(t, wantsKey)
	root := t.TempDir()
	c := wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL}
	b := newBox(t, root, c)
	heard(t, notes, "READY=1")
	s := b.running()
	if got := heard(t, notes, "STATUS=running"); !strings.Contains(got, s.Addresses[0]) {
		t.Errorf("init was told %q", got)
	}
	if s.Name != "box.tail.test" || s.Since.IsZero() {
		t.Errorf("the status is %+v", s)
	}
	for path, mode := range map[string]os.FileMode{"state": 0o700 | os.ModeDir, "state/tailscaled.state": 0o600} {
		if fi, err := os.Stat(filepath.Join(root, path)); err != nil || fi.Mode() != mode {
			t.Errorf("%s has mode %v (%v), not %v", path, fi.Mode(), err, mode)
		}
	}
	res, err := b.client().Get("http://tailnet/status")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var asked wire.Status
	if err := json.NewDecoder(res.Body).Decode(&asked); err != nil || asked.Addresses[0] != s.Addresses[0] {
		t.Errorf("the socket says %+v (%v)", asked, err)
	}
	if strings.Contains(b.log.text(), goodKey) {
		t.Error("the key is in the log")
	}

	// The same node after a restart, without credentials that are any good: a client's
	// secret without tags is refused before the network is asked.
	b.stop()
	heard(t, notes, "STOPPING=1")
	c.AuthKey = "tskey-client-stale"
	ctl.RequireAuthKey = "" // this control server wants it for stored keys too
	if again := newBox(t, root, c).running(); again.Addresses[0] != s.Addresses[0] {
		t.Errorf("the address is %v, and was %v", again.Addresses, s.Addresses)
	}
}
