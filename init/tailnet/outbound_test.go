package tailnet

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"tailscale.com/client/local"
)

// TestKnows: a node that has come up a moment ago waits to hear of a machine; later on, one that it does
// not know is none.
func TestKnows(t *testing.T) {
	asked := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if found := <-asked; !found {
			http.Error(w, "no match for IP:port", http.StatusNotFound)
			return
		}
		w.Write([]byte(`{}`))
	}))
	t.Cleanup(server.Close)
	peer := netip.MustParseAddr("100.64.0.2")
	for name, c := range map[string]struct {
		age     time.Duration // of the node
		answers []bool
		want    bool
	}{
		"known":                       {time.Hour, []bool{true}, true},
		"unknown":                     {time.Hour, []bool{false}, false},
		"known only after a moment":   {0, []bool{false, false, true}, true},
		"unknown, and not any sooner": {meeting + time.Second, []bool{false}, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := &node{lc: &local.Client{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
			}}}
			since := time.Now().Add(-c.age)
			n.working.Store(&since)
			result := make(chan bool)
			go func() { result <- n.knows(t.Context(), peer) }()
			for _, a := range c.answers {
				asked <- a
			}
			if got := <-result; got != c.want {
				t.Errorf("knows says %v", got)
			}
		})
	}
	t.Run("given up", func(t *testing.T) {
		n := &node{lc: &local.Client{}}
		since := time.Now()
		n.working.Store(&since)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n.knows(ctx, peer) {
			t.Error("a call that was given up finds a machine")
		}
	})
}
