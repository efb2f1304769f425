package registry

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/bcrypt"
)

// What follows pushes to Debian's docker-registry, a program of its own, and has skopeo
// read what is there.

const user, password = "me", "a-real-password"

// authority signs one certificate for this machine, in files of dir.
func authority(t *testing.T, dir string) (ca []byte, key *ecdsa.PrivateKey, cert *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	plain, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), ca)
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain}))
	return ca, key, cert
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// distribution starts docker-registry with further sections of its configuration, and
// returns where it listens.
func distribution(t *testing.T, dir, sections, tls string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close() // so that it can listen there
	write(t, filepath.Join(dir, "config.yml"), []byte(fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s/data}}
http: {addr: %q, secret: tests%s}
%s`, dir, host, tls, sections)))
	cmd := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: dev/setup.sh installs it", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); ; {
		if c, err := net.Dial("tcp", host); err == nil {
			c.Close()
			return host
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("docker-registry ended: %v", err)
		case <-end:
			t.Fatal("docker-registry did not listen within 20 s")
		}
	}
}

// skopeo reads what is behind a name.
func skopeo(t *testing.T, ref string, args ...string) (digest string, layers []string) {
	t.Helper()
	args = append([]string{"inspect", "--override-os", "linux", "--override-arch", "amd64"}, args...)
	cmd := exec.CommandContext(t.Context(), "skopeo", append(args, "docker://"+ref)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("skopeo inspect %s: %v", ref, err)
	}
	var image struct {
		Digest string
		Layers []string
	}
	if err := json.Unmarshal(out, &image); err != nil {
		t.Fatal(err)
	}
	return image.Digest, image.Layers
}

// check pushes twice, pulls, and compares with what skopeo sees.
func check(t *testing.T, p *Push, host string, auth remote.Option, args ...string) {
	t.Helper()
	r := p.run(t)
	if again := p.run(t); again.Sent != 0 || again.Images[0].Digest != r.Images[0].Digest {
		t.Errorf("the second time: %+v", again)
	}
	for _, ref := range p.refs(host) {
		pull(t, ref, auth)
		digest, layers := skopeo(t, ref, args...)
		if digest != r.Images[0].Digest || len(layers) != len(p.Layers) {
			t.Errorf("skopeo sees %s with %d layers, and %s with %d was pushed", digest, len(layers), r.Images[0].Digest, len(p.Layers))
		}
	}
}

func TestDistributionPassword(t *testing.T) {
	dir := t.TempDir()
	sum, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "htpasswd"), []byte(user+":"+string(sum)+"\n"))
	host := distribution(t, dir, fmt.Sprintf("auth: {htpasswd: {realm: tests, path: %s/htpasswd}}\n", dir), "")
	p := pusher(t, host)
	for s, want := range map[string]string{password + "x": "refused the credentials of --username", "": "no credentials"} {
		p.Login = Sources{}.login
		if s != "" {
			p.Login = Sources{Username: user, Password: Secret(s)}.login
		}
		if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "docker login") {
			t.Errorf("with %q: %v", s, err)
		}
	}
	p.Login = Sources{Username: user, Password: password}.login
	auth := remote.WithAuth(&authn.Basic{Username: user, Password: password})
	check(t, p, host, auth, "--tls-verify=false", "--creds", user+":"+password)

	// Another repository gets the layers from the first.
	before := p.refs(host)[0]
	p.to(t, host+"/owner/other")
	r := p.run(t)
	if r.Images[0].Mounted != len(p.Layers) || r.Sent != 0 {
		t.Errorf("of %s, %+v", before, r.Images[0])
	}
	pull(t, host+"/owner/other:"+p.Plan.Tag, auth)
}

// TestDistributionToken has a token server of its own, which gives the rights that it is
// asked for to who knows the password. Its tokens are valid for no longer than needed.
func TestDistributionToken(t *testing.T) {
	dir := t.TempDir()
	_, key, cert := authority(t, dir)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"token": jwt(t, key, cert, r.URL.Query()["scope"])})
	}))
	t.Cleanup(server.Close)
	realm := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	host := distribution(t, dir, fmt.Sprintf("auth: {token: {realm: %q, service: tests, issuer: tests, rootcertbundle: %s/cert.pem}}\n",
		realm, dir), "")
	p := pusher(t, host)
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("without a password: %v", err)
	}
	p.Login = Sources{Username: user, Password: password}.login
	check(t, p, host, remote.WithAuth(&authn.Basic{Username: user, Password: password}),
		"--tls-verify=false", "--creds", user+":"+password)
	p.to(t, host+"/owner/other")
	if r := p.run(t); r.Images[0].Mounted != len(p.Layers) || r.Sent != 0 {
		t.Errorf("the token was not good for reading the other repository: %+v", r.Images[0])
	}
	if asked < 4 {
		t.Errorf("%d tokens were asked for", asked)
	}
}

// jwt is a token as docker-registry wants it: https://distribution.github.io/distribution/spec/auth/jwt/
func jwt(t *testing.T, key *ecdsa.PrivateKey, cert *x509.Certificate, scopes []string) string {
	type access struct {
		Type    string   `json:"type"`
		Name    string   `json:"name"`
		Actions []string `json:"actions"`
	}
	list := []access{}
	for _, s := range scopes {
		part := strings.Split(s, ":")
		list = append(list, access{part[0], part[1], strings.Split(part[2], ",")})
	}
	spki, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		t.Error(err)
	}
	sum := sha256.Sum256(spki)
	id := base32.StdEncoding.EncodeToString(sum[:30])
	var kid []string
	for i := 0; i < len(id); i += 4 {
		kid = append(kid, id[i:i+4])
	}
	now := time.Now().Unix()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"typ": "JWT", "alg": "ES256", "kid": strings.Join(kid, ":")}) + "." + part(map[string]any{
		"iss": "tests", "sub": user, "aud": "tests", "exp": now + 60, "nbf": now - 60, "iat": now, "jti": "1", "access": list,
	})
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(crand.Reader, key, digest[:])
	if err != nil {
		t.Error(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestDistributionTLS(t *testing.T) {
	dir := t.TempDir()
	ca, _, _ := authority(t, dir)
	host := distribution(t, dir, "", fmt.Sprintf(", tls: {certificate: %s/cert.pem, key: %s/key.pem}", dir, dir))
	p := pusher(t, host)
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--tls-ca") {
		t.Errorf("without its authority: %v", err)
	}
	p.Net.CA = []byte("no certificate")
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("with a file of something else: %v", err)
	}
	p.Net.CA = ca
	base, err := newTransport(p.Net)
	if err != nil {
		t.Fatal(err)
	}
	certs := t.TempDir()
	write(t, filepath.Join(certs, "ca.crt"), ca)
	check(t, p, host, remote.WithTransport(base.inner), "--cert-dir", certs)
}

// TestDistributionCut cuts connections between us and docker-registry, which knows no more
// of an upload then: it is begun again.
func TestDistributionCut(t *testing.T) {
	backend := distribution(t, t.TempDir(), "", "")
	for quarter := range int64(4) {
		cuts := 0
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: backend})
		proxy.FlushInterval = -1
		proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "PATCH" && cuts < 2 {
				cuts++
				r.Body = http.MaxBytesReader(nil, r.Body, max(quarter*large/4, 1))
			}
			proxy.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		host := strings.TrimPrefix(server.URL, "http://")
		p := pusher(t, host)
		p.to(t, fmt.Sprintf("%s/owner/cut%d", host, quarter))
		p.Jobs = 1
		var waits pauses
		p.Net.Wait = waits.wait
		p.run(t)
		if cuts != 2 || len(waits.list) == 0 {
			t.Errorf("%d cuts, pauses %v", cuts, waits.list)
		}
		pull(t, fmt.Sprintf("%s/owner/cut%d:%s", backend, quarter, p.Plan.Tag))
	}
}

// TestDistributionAttach attaches to an image in a registry that knows no referrers.
func TestDistributionAttach(t *testing.T) {
	host := distribution(t, t.TempDir(), "", "")
	p := pusher(t, host)
	p.Artifacts = []func(Subject) (Artifact, error){func(Subject) (Artifact, error) {
		b, err := SBOM(p.Plan)
		return Artifact{"SBOM", SPDXType, b}, err
	}}
	r := p.run(t)
	d, err := name.NewDigest(host + "/owner/sample@" + r.Images[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Referrers(d, remote.WithContext(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 {
		t.Fatalf("%+v (%v)", m, err)
	}
	checkArtifact(t, d, m.Manifests[0])
}
