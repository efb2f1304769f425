package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"bytes"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fleek-platform/nix2vast/image/plan"
)

func repository(t *testing.T, s string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// keychain has a docker login for every host.
type keychain struct{}

func (keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "kept", Password: "kept-secret"}, nil
}

// TestLoginOrder takes one source after the other away.
func TestLoginOrder(t *testing.T) {
	s := Sources{
		Username: "flag", Password: "flag-secret", RegistryUser: "env", RegistryToken: "env-secret",
		GitHubToken: "hub-secret", GitHubActor: "actor", GitHubFrom: "GH_TOKEN",
		GH:       func(context.Context) (Secret, error) { return "gh-secret", nil },
		Keychain: keychain{},
	}
	for _, c := range []struct {
		take                       func()
		user, password, from, host string
	}{
		{func() {}, "flag", "flag-secret", "--username", "ghcr.io"},
		{func() { s.Username, s.Password = "", "" }, "env", "env-secret", "REGISTRY_TOKEN", "ghcr.io"},
		{func() { s.RegistryUser = "" }, "x-access-token", "env-secret", "REGISTRY_TOKEN", "ghcr.io"},
		{func() { s.RegistryToken = "" }, "actor", "hub-secret", "GH_TOKEN", "ghcr.io"},
		{func() {}, "kept", "kept-secret", "docker", "quay.io"}, // GitHub's token is for GitHub
		{func() { s.GitHubActor = "" }, "x-access-token", "hub-secret", "GH_TOKEN", "ghcr.io"},
		{func() { s.GitHubToken = "" }, "x-access-token", "gh-secret", "gh auth token", "ghcr.io"},
		{func() { s.GH = func(context.Context) (Secret, error) { return "", nil } }, "kept", "kept-secret", "docker", "ghcr.io"},
		{func() { s.Keychain = nil }, "", "", "no credentials", "ghcr.io"},
	} {
		c.take()
		l, err := s.Login(t.Context(), repository(t, c.host+"/owner/name"))
		if err != nil {
			t.Fatalf("%s: %v", c.from, err)
		}
		got, err := authn.Authorization(t.Context(), l.auth)
		if err != nil || got.Username != c.user || got.Password != c.password || !strings.Contains(l.From, c.from) {
			t.Errorf("%s: %s with %s from %q (%v)", c.from, got.Username, got.Password, l.From, err)
		}
		if l.Anonymous != (c.user == "") {
			t.Errorf("%s: anonymous %v", c.from, l.Anonymous)
		}
	}
}

func TestLoginHalves(t *testing.T) {
	for want, s := range map[string]Sources{
		"--password-stdin": {Username: "a"},
		"--username":       {Password: "b"},
		"REGISTRY_USER":    {RegistryToken: "c"},
	} {
		if _, err := s.Login(t.Context(), repository(t, "quay.io/a/b")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a word of %s", err, want)
		}
	}
}

// TestKeychainFiles reads what docker and podman leave behind.
func TestKeychainFiles(t *testing.T) {
	const auths = `{"auths":{"quay.io":{"auth":"bWU6c2VjcmV0LW9mLW1pbmU="}}}`
	for file, variable := range map[string]string{"config.json": "DOCKER_CONFIG", "containers/auth.json": "XDG_RUNTIME_DIR"} {
		t.Run(variable, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("HOME", t.TempDir())
			t.Setenv("XDG_CONFIG_HOME", "")
			t.Setenv("DOCKER_CONFIG", "")
			t.Setenv(variable, dir)
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(auths), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Sources{Keychain: authn.DefaultKeychain}.Login(t.Context(), repository(t, "quay.io/a/b"))
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := authn.Authorization(t.Context(), l.auth); got.Username != "me" || got.Password != "secret-of-mine" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// tokens is a registry behind a token server. A token is good for so many requests.
type tokens struct {
	*front
	mu     sync.Mutex
	issued int
	left   int
	uses   int
}

func newTokens(t *testing.T, uses int) *tokens {
	t.Helper()
	f := newFront(t)
	k := &tokens{front: f, uses: uses}
	s := httptest.NewServer(k)
	t.Cleanup(s.Close)
	k.URL = s.URL
	return k
}

func (k *tokens) host() string {
	return strings.Replace(strings.TrimPrefix(k.URL, "http://"), "127.0.0.1", "localhost", 1)
}

func (k *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	if r.URL.Path == "/token" {
		k.issued++
		k.left = k.uses
		n := k.issued
		k.mu.Unlock()
		json.NewEncoder(w).Encode(map[string]string{"token": fmt.Sprintf("token-%d", n)})
		return
	}
	ok := r.Header.Get("Authorization") == fmt.Sprintf("Bearer token-%d", k.issued) && k.left > 0
	if ok && r.URL.Path != "/v2/" {
		k.left--
	}
	k.mu.Unlock()
	if !ok {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="tests",scope="repository:owner/sample:pull,push"`, k.host()))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	k.front.ServeHTTP(w, r)
}

// TestTokenRunsOut: tokens end in the middle of a push, before each of its requests in turn.
func TestTokenRunsOut(t *testing.T) {
	for uses := 1; uses < 8; uses++ {
		t.Run(fmt.Sprint(uses), func(t *testing.T) {
			k := newTokens(t, uses)
			p := pusher(t, k.host())
			p.Jobs = 1
			var waits pauses
			p.Net.Wait = waits.wait
			p.run(t)
			if len(waits.list) > 0 {
				t.Errorf("a new token took pauses of %v", waits.list)
			}
			if k.issued < 2 {
				t.Fatalf("%d tokens were issued", k.issued)
			}
			// What was pushed is read past the tokens.
			pull(t, p.refs(k.front.host())[0])
			if k.open() != 0 {
				t.Errorf("%d uploads were left behind", k.open())
			}
		})
	}
}

// TestSecrets looks for a password in everything that is printed while a registry, which
// sends back whatever it is sent, refuses in every way there is.
func TestSecrets(t *testing.T) {
	const secret = "s3cret-MARKER/&+"
	for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"} {
		for _, status := range []int{400, 401, 403, 404, 413, 429, 500} {
			f := newFront(t)
			front := f.Config.Handler
			f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, password, ok := r.BasicAuth()
				if r.URL.Path == "/v2/" && !ok {
					w.Header().Set("WWW-Authenticate", "Basic realm=tests")
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				if r.Method == method && ok {
					w.WriteHeader(status)
					fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"you sent %s, which is %s, to %s"}]}`,
						r.Header.Get("Authorization"), password, r.URL)
					return
				}
				front.ServeHTTP(w, r)
			})
			p := pusher(t, f.host())
			var out bytes.Buffer
			p.Progress = NewProgress(&out, 0)
			p.Login = Sources{Username: "me", Password: secret}.login
			_, err := p.Run(t.Context())
			fmt.Fprintf(&out, "%v %+v", err, err)
			auth := (&http.Request{Header: http.Header{}})
			auth.SetBasicAuth("me", secret)
			_, encoded, _ := strings.Cut(auth.Header.Get("Authorization"), " ")
			for _, s := range []string{secret, encoded, "MARKER"} {
				if strings.Contains(out.String(), s) {
					t.Errorf("%s %d tells %q:\n%s", method, status, s, &out)
				}
			}
			if err == nil && method != "GET" && method != "DELETE" && !(method == "HEAD" && status == 404) {
				t.Errorf("%s %d: the push said that it was done", method, status)
			}
		}
	}
	if s := fmt.Sprintf("%v %+v %#v %s %q %x %d", Secret(secret), Secret(secret), Secret(secret), Secret(secret), Secret(secret),
		Secret(secret), Secret(secret)); strings.Contains(s, "MARKER") || strings.Contains(s, "4d41524b4552") {
		t.Errorf("a Secret prints as %s", s)
	}
	if b, err := json.Marshal(Sources{Password: secret, GH: nil}.Password); err != nil || strings.Contains(string(b), "MARKER") {
		t.Errorf("a Secret is %s in JSON (%v)", b, err)
	}
}

// TestPlainHTTP: a registry beyond this machine is not talked to without TLS.
func TestPlainHTTP(t *testing.T) {
	for _, c := range []struct {
		allow bool
		want  string
	}{{false, "--allow-http"}, {true, ""}} {
		f := newFront(t)
		p := pusher(t, f.host())
		base, err := newTransport(Net{AllowHTTP: c.allow})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest("GET", "http://registry.invalid/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = base.RoundTrip(req)
		if err == nil || strings.Contains(err.Error(), "--allow-http") != (c.want != "") {
			t.Errorf("allowed %v: %v", c.allow, err)
		}
		p.run(t) // this machine
	}
}

func TestResolve(t *testing.T) {
	p := plan.Plan{Name: "sample", Tag: "t1", Tags: []string{"t2"}, Registries: []string{"ghcr.io/owner", "localhost:5000"}}
	for _, c := range []struct {
		args []string
		tag  string
		want string
	}{
		{nil, "", "ghcr.io/owner/sample:t1,t2 localhost:5000/sample:t1,t2"},
		{nil, "x", "ghcr.io/owner/sample:x localhost:5000/sample:x"},
		{[]string{"quay.io/a/b"}, "", "quay.io/a/b:t1,t2"},
		{[]string{"quay.io/a/b:y"}, "", "quay.io/a/b:y"},
		{[]string{"quay.io/a/b:y", "localhost:5000/c"}, "x", "quay.io/a/b:y localhost:5000/c:x"},
		{[]string{"docker.io/a/b"}, "", "index.docker.io/a/b:t1,t2"},
		{[]string{"https://ghcr.io/a/b"}, "", `leave "https://" out and say "ghcr.io/a/b"`},
		{[]string{"docker://ghcr.io/a/b:c"}, "", `leave "docker://" out`},
		{[]string{"ghcr.io"}, "", "say ghcr.io/owner/sample"},
		{[]string{"ghcr.io/"}, "", "say ghcr.io/owner/sample"},
		{[]string{"owner/name"}, "", "docker.io/owner/name"},
		{[]string{"ghcr.io/Owner/Name"}, "", "ghcr.io/owner/name"},
		{[]string{"ghcr.io/a/b:"}, "", "a colon without a tag"},
		{[]string{"ghcr.io/a/b@sha256:1"}, "", "has a digest"},
		{[]string{"ghcr.io/a/../b"}, "", "each part"},
		{[]string{"ghcr.io/a//b"}, "", "each part"},
		{[]string{"ghcr.io/a/b"}, "-x", "the tag"},
		{[]string{"ghcr.io/a/b"}, strings.Repeat("x", 129), "the tag"},
	} {
		list, err := Resolve(p, c.args, c.tag, false)
		var got []string
		for _, d := range list {
			got = append(got, d.Repo.String()+":"+strings.Join(d.Tags, ","))
		}
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && strings.Join(got, " ") != c.want {
			t.Errorf("%v %s: %v, %v", c.args, c.tag, got, err)
		}
	}
	for want, p := range map[string]plan.Plan{
		"names no registry": {Name: "a", Tag: "b"},
		"without the image": {Name: "a", Tag: "b", Registries: []string{"ghcr.io/a:b"}},
		"has no tag":        {Name: "a", Registries: []string{"ghcr.io/a"}},
	} {
		if _, err := Resolve(p, nil, "", false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
