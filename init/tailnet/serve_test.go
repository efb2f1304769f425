package tailnet

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"tailscale.com/client/local"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// serveFile is where the tests have the file, below a root.
const serveFile = "/etc/serve.json"

// writeServe replaces that file as a whole.
func writeServe(t *testing.T, root, text string) {
	t.Helper()
	path := filepath.Join(root, serveFile)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+".new", []byte(text), 0o644)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// page is a server of one page, on loopback alone: its host and port.
func page(t *testing.T, text string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, text, " for ", r.Header.Get("X-Forwarded-Host"))
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// offers is a file that serves port 8085 by HTTP and 8086 by TCP.
func offers(http, tcp string) string {
	return fmt.Sprintf(`{"TCP": {"8085": {"HTTP": true}, "8086": {"TCPForward": %q}},
		"Web": {"${TS_CERT_DOMAIN}:8085": {"Handlers": {"/": {"Proxy": "http://%s"}}}}}`, tcp, http)
}

// TestServe asks by the box's name for what listens on loopback only, with a network device and
// without, on a port that something else in the box has too; then the file changes.
func TestServe(t *testing.T) {
	for name, userspace := range map[string]bool{"userspace": true, "device": false} {
		t.Run(name, func(t *testing.T) {
			if !userspace {
				needRoot(t)
			}
			ctl := newControl(t)
			root := t.TempDir()
			taken, err := net.Listen("tcp", "0.0.0.0:8086")
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close() // it accepts, and says nothing
			tcp := "127.0.0.1:" + echo(t, "tcp", "127.0.0.1:0")
			writeServe(t, root, offers(page(t, "one"), tcp))
			b := newBox(t, root, wire.Config{
				AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Userspace: &userspace,
				ServeConfig: serveFile, Expose: "all", Private: []uint16{8085},
			})
			s := b.running()
			peer := newPeer(t, ctl, "peer")
			wants := func(want string) {
				t.Helper()
				eventually(t, func() error {
					client := peer.HTTPClient()
					defer client.CloseIdleConnections()
					got, err := fetch(client, "http://box.tail.test:8085/")
					if err == nil && got != want {
						err = fmt.Errorf("the page is %q, not %q", got, want)
					}
					return err
				})
			}
			wants("one for box.tail.test:8085")
			c, err := dialPeer(t, peer, "tcp", net.JoinHostPort(s.Addresses[0], "8086"))
			if err == nil {
				err = says(struct{ net.Conn }{c}) // Tailscale's forwarding ends with either half
			}
			if err != nil {
				t.Error(err)
			}
			if len(s.Warnings) > 0 {
				t.Errorf("the warnings are %q", s.Warnings)
			}
			writeServe(t, root, offers(page(t, "two"), tcp))
			wants("two for box.tail.test:8085")
		})
	}
}

// TestServeAfterLogin has a box that logs out, which forgets what was served, and in again.
func TestServeAfterLogin(t *testing.T) {
	ctl := newControl(t)
	root := shortRoot(t)
	writeServe(t, root, offers("127.0.0.1:1", "127.0.0.1:1"))
	b := newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, ServeConfig: serveFile})
	lc := &local.Client{Socket: filepath.Join(root, localAPI), UseSocketOnly: true}
	serves := func() {
		t.Helper()
		eventually(t, func() error {
			c, err := lc.GetServeConfig(t.Context())
			if err == nil && len(c.TCP) != 2 {
				err = fmt.Errorf("the node serves %s", text(t, c))
			}
			return err
		})
	}
	b.running()
	serves()
	b.post("/logout", "", http.StatusOK)
	b.wait("logged out", func(s wire.Status) bool { return s.State == wire.NeedsLogin })
	if c, err := lc.GetServeConfig(t.Context()); err != nil || len(c.TCP) != 0 {
		t.Errorf("logged out, the node serves %s (%v)", text(t, c), err)
	}
	b.post("/login", `{"authKey":"`+goodKey+`"}`, http.StatusOK)
	b.running()
	serves()
}

// TestServeBadFile has files that cannot be used: the box is in its tailnet all the same, serves what
// it served, and says why once.
func TestServeBadFile(t *testing.T) {
	ctl := newControl(t)
	root := t.TempDir()
	b := newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, ServeConfig: serveFile})
	says := func(want string) {
		t.Helper()
		s := b.wait("a warning: "+want, func(s wire.Status) bool { return len(s.Warnings) == 1 && strings.Contains(s.Warnings[0], want) })
		if s.State != wire.Running && s.State != wire.Starting {
			t.Errorf("the status is %+v", s)
		}
		if k := strings.Count(b.log.text(), want); k != 1 {
			t.Errorf("the log says it %d times: %s", k, want)
		}
	}
	says("TS_SERVE_CONFIG is not used: /etc/serve.json does not exist; what the box serves stays as it was")
	b.running()
	writeServe(t, root, offers(page(t, "one"), "127.0.0.1:1"))
	b.wait("without warnings", func(s wire.Status) bool { return len(s.Warnings) == 0 })
	peer := newPeer(t, ctl, "peer")
	for text, want := range map[string]string{
		"":                      "is empty",
		"{":                     "is not JSON in the form of Tailscale's ServeConfig: unexpected end of JSON input",
		`{"TCP": {"x": {}}}`:    "cannot unmarshal number x",
		`{"TCP": {"81": null}}`: "has null at TCP.81, where something to serve has to be",
	} {
		writeServe(t, root, text)
		says(want)
		if got, err := fetch(peer.HTTPClient(), "http://box.tail.test:8085/"); err != nil || !strings.HasPrefix(got, "one") {
			t.Errorf("with %q the page is %q (%v)", text, got, err)
		}
	}
}

// TestServeWithoutCertificates has a tailnet that gives none: what wants one is left out, and said.
func TestServeWithoutCertificates(t *testing.T) {
	ctl := newControl(t, func(ctl *testcontrol.Server) {
		ctl.MagicDNSDomain = ""
		ctl.DNSConfig = &tailcfg.DNSConfig{Proxied: true}
	})
	root := shortRoot(t)
	writeServe(t, root, `{"TCP": {"443": {"HTTPS": true}, "5432": {"TCPForward": "127.0.0.1:5432"}}}`)
	b := newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, ServeConfig: serveFile})
	s := b.wait("a warning", func(s wire.Status) bool { return s.State == wire.Running && len(s.Warnings) == 1 })
	if want := "TS_SERVE_CONFIG: not served, for want of a certificate: 443; enable HTTPS in the admin console, under DNS"; s.Warnings[0] != want {
		t.Errorf("the warning is %q", s.Warnings[0])
	}
	lc := &local.Client{Socket: filepath.Join(root, localAPI), UseSocketOnly: true}
	c, err := lc.GetServeConfig(t.Context())
	if err != nil || len(c.TCP) != 1 || c.TCP[5432] == nil {
		t.Errorf("the node serves %+v (%v)", c, err)
	}
}

func TestServeName(t *testing.T) {
	self := &ipnstate.PeerStatus{DNSName: "box.tail.test."}
	for _, tt := range []struct {
		status ipnstate.Status
		name   string
		certs  bool
	}{
		{ipnstate.Status{Self: self, CertDomains: []string{"box.ts.net", "other.ts.net"}}, "box.ts.net", true},
		{ipnstate.Status{Self: self}, "box.tail.test", false},
		{ipnstate.Status{Self: self, CertDomains: []string{""}}, "box.tail.test", false},
		{ipnstate.Status{}, "", false},
	} {
		if name, certs := nameOf(&tt.status); name != tt.name || certs != tt.certs {
			t.Errorf("%+v: %q %v", tt.status, name, certs)
		}
	}
}

// TestServeText has what the file may say, and what is made of it.
func TestServeText(t *testing.T) {
	const all = `{
		"TCP": {"443": {"HTTPS": true}, "80": {"HTTP": true}, "5432": {"TCPForward": "127.0.0.1:5432"},
			"8443": {"TCPForward": "127.0.0.1:8000", "TerminateTLS": "${TS_CERT_DOMAIN}"}},
		"Web": {"${TS_CERT_DOMAIN}:443": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:8080"}}},
			"${TS_CERT_DOMAIN}:80": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:8080"}}}},
		"AllowFunnel": {"${TS_CERT_DOMAIN}:443": true}}`
	c, err := parseServe(named(all, "box.ts.net"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &ipn.WebServerConfig{Handlers: map[string]*ipn.HTTPHandler{"/": {Proxy: "http://127.0.0.1:8080"}}}
	want := &ipn.ServeConfig{
		TCP: map[uint16]*ipn.TCPPortHandler{443: {HTTPS: true}, 80: {HTTP: true}, 5432: {TCPForward: "127.0.0.1:5432"},
			8443: {TCPForward: "127.0.0.1:8000", TerminateTLS: "box.ts.net"}},
		Web:         map[ipn.HostPort]*ipn.WebServerConfig{"box.ts.net:443": proxy, "box.ts.net:80": proxy},
		AllowFunnel: map[ipn.HostPort]bool{"box.ts.net:443": true},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("it comes to %s", text(t, c))
	}
	ports := withoutCertificates(c)
	want = &ipn.ServeConfig{
		TCP:         map[uint16]*ipn.TCPPortHandler{80: {HTTP: true}, 5432: {TCPForward: "127.0.0.1:5432"}},
		Web:         map[ipn.HostPort]*ipn.WebServerConfig{"box.ts.net:80": proxy},
		AllowFunnel: map[ipn.HostPort]bool{},
	}
	if !reflect.DeepEqual(c, want) || portList(ports) != "443, 8443" {
		t.Errorf("without certificates it comes to %s, less %v", text(t, c), ports)
	}
	for text, at := range map[string]string{
		`{"Web": {"a:80": null}}`:                        "Web.a:80",
		`{"Web": {"a:80": {"Handlers": {"/x": null}}}}`:  "Web.a:80.Handlers./x",
		`{"Services": {"svc:a": null}}`:                  "Services.svc:a",
		`{"Services": {"svc:a": {"TCP": {"80": null}}}}`: "Services.svc:a.TCP.80",
		`{"Foreground": {"s": null}}`:                    "Foreground.s",
		`{"Foreground": {"s": {"Web": {"a:80": null}}}}`: "Foreground.s.Web.a:80",
	} {
		if _, err := parseServe(text); err == nil || !strings.Contains(err.Error(), "null at "+at+",") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestServeOfSample reads the file that the options of an image come to, see config/tailscale.nix.
func TestServeOfSample(t *testing.T) {
	b, err := os.ReadFile("../../image/testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		Rootfs struct {
			Files map[string]struct{ Text string }
		}
	}
	if err := json.Unmarshal(b, &sample); err != nil {
		t.Fatal(err)
	}
	c, err := parseServe(named(sample.Rootfs.Files["/etc/nix2vast/serve.json"].Text, "box.ts.net"))
	if err != nil {
		t.Fatal(err)
	}
	proxy := &ipn.WebServerConfig{Handlers: map[string]*ipn.HTTPHandler{"/": {Proxy: "http://127.0.0.1:8080"}}}
	want := &ipn.ServeConfig{
		TCP: map[uint16]*ipn.TCPPortHandler{443: {HTTPS: true}, 80: {HTTP: true}, 5432: {TCPForward: "127.0.0.1:5432"},
			8443: {TCPForward: "127.0.0.1:8000", TerminateTLS: "box.ts.net"}},
		Web: map[ipn.HostPort]*ipn.WebServerConfig{"box.ts.net:443": proxy, "box.ts.net:80": proxy},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("it comes to %s", text(t, c))
	}
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestServeRead has files that would keep the program waiting, or fill its memory.
func TestServeRead(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, maxServe+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe: "is not a regular file", dir: "is not a regular file", large: "is larger than 1048576 bytes",
		filepath.Join(large, "x"): "cannot be opened: not a directory", filepath.Join(dir, "x"): "does not exist",
	} {
		if _, err := readServe(path); err == nil || err.Error() != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
