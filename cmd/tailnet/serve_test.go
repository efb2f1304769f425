package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tailscale.com/tsnet"
	"tailscale.com/types/logger"

	"github.com/fleek-platform/nix2vast/init/tailnet/tailtest"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// certificate is one of the box's name, by itself its authority, as files.
func certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// TestServeHTTPS has a peer ask the program as it ships for a page by HTTPS, and for TCP in TLS, with a
// certificate that Tailscale got before.
func TestServeHTTPS(t *testing.T) {
	const name = "box.tail.test"
	ctl := tailtest.Control(t, "127.0.0.1")
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "for ", r.Header.Get("X-Forwarded-Proto"))
	}))
	t.Cleanup(page.Close)
	b := newBox(t)
	cert, private := certificate(t, name)
	ca := filepath.Join(b.dir, "ca.pem")
	for path, text := range map[string][]byte{
		ca: cert, filepath.Join(b.dir, "state/certs", name+".crt"): cert, filepath.Join(b.dir, "state/certs", name+".key"): private,
		filepath.Join(b.dir, "serve.json"): fmt.Appendf(nil, `{"TCP": {"443": {"HTTPS": true},
			"8443": {"TCPForward": %q, "TerminateTLS": "${TS_CERT_DOMAIN}"}},
			"Web": {"${TS_CERT_DOMAIN}:443": {"Handlers": {"/": {"Proxy": %q}}}}}`, page.Listener.Addr().String(), page.URL),
	} {
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SSL_CERT_FILE", ca) // of the program: it looks whether what it has is still good
	b.start(build(t), sealed(t, wire.Config{
		AuthKey: key, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, StateDir: "/state", Userspace: new(true), ServeConfig: "/serve.json",
	}))
	b.heard("STATUS=running")

	peer := &tsnet.Server{Dir: t.TempDir(), Hostname: "peer", ControlURL: ctl.HTTPTestServer.URL, UserLogf: logger.Discard}
	t.Cleanup(func() { peer.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := peer.Up(ctx); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &http.Client{Timeout: limit, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return peer.Dial(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots},
	}}
	for url, want := range map[string]string{"https://" + name + "/": "for https", "https://" + name + ":8443/": "for "} {
		res, err := client.Get(url)
		if err != nil {
			t.Fatalf("%s: %v\n%s", url, err, b.out.String())
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(got) != want {
			t.Errorf("%s says %q (%v)", url, got, err)
		}
	}
}
