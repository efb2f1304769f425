package registry

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// pauses notes how long a push wanted to wait, and does not.
type pauses struct {
	mu   sync.Mutex
	list []time.Duration
}

func (p *pauses) wait(_ context.Context, d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, d)
	return nil
}

// at is a fault that happens to the n-th request of a method, for each of ns.
func at(method string, ft fault, ns ...int) func(int, *http.Request) *fault {
	return func(n int, r *http.Request) *fault {
		if r.Method == method && slices.Contains(ns, n) {
			return &ft
		}
		return nil
	}
}

// faulty pushes with faults and checks that tags are there where the push said so, and only then.
func faulty(t *testing.T, f *front, p *Push, ft func(int, *http.Request) *fault) error {
	t.Helper()
	f.fault = ft
	p.Jobs = 1 // so that the first request with a body is that of the large layer
	_, err := p.Run(t.Context())
	f.fault = nil
	for _, ref := range p.refs(f.host()) {
		if there := tagExists(t, ref); there != (err == nil) {
			t.Errorf("%s exists: %v, and the push ended with %v", ref, there, err)
		}
		if err == nil {
			pull(t, ref)
		}
	}
	if f.open() != 0 {
		t.Errorf("%d uploads were left behind", f.open())
	}
	return err
}

// TestCut cuts the connection at each quarter of the large layer, and several times. Each
// byte reaches the registry once.
func TestCut(t *testing.T) {
	for _, cuts := range [][]int64{{0}, {1}, {2}, {3}, {1, 1, 1}, {0, 0, 0, 0, 0}} {
		t.Run(fmt.Sprint(cuts), func(t *testing.T) {
			f := newFront(t)
			p := pusher(t, f.host())
			var waits pauses
			p.Net.Wait = waits.wait
			err := faulty(t, f, p, func(n int, r *http.Request) *fault {
				if r.Method == "PATCH" && n < len(cuts) {
					return &fault{cut: true, after: cuts[n] * large / 4}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			_, got := f.seen("PATCH", "")
			config, _ := pull(t, p.refs(f.host())[0]).RawConfigFile()
			want := int64(len(config))
			for _, l := range p.Layers {
				d, _ := p.Cache.Get(l)
				want += d.Blobs["gzip"].Size
			}
			if got != want {
				t.Errorf("the registry was sent %d bytes for %d", got, want)
			}
			if len(waits.list) != len(cuts) || waits.list[0] != time.Second {
				t.Errorf("pauses %v", waits.list)
			}
		})
	}
}

// TestCutAtTheEnd loses the answer to the last byte.
func TestCutAtTheEnd(t *testing.T) {
	f := newFront(t)
	if err := faulty(t, f, pusher(t, f.host()), at("PATCH", fault{cut: true, after: 1 << 30}, 0)); err != nil {
		t.Fatal(err)
	}
}

// TestPassing is about faults after which a push goes on, with each request that it makes.
func TestPassing(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PATCH", "PUT"} {
		for name, ft := range map[string]fault{
			"500": {status: 500}, "502": {status: 502, body: "<html>\nbad gateway"}, "503": {status: 503},
			"429": {status: 429, header: http.Header{"Retry-After": {"7"}}}, "cut": {cut: true},
			"stalled": {stall: true},
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				f := newFront(t)
				p := pusher(t, f.host())
				var waits pauses
				p.Net.Wait = waits.wait
				if ft.stall { // another request may take as long on a busy machine
					p.Net.Stall = 100 * time.Millisecond
				}
				// The first GET is the greeting, which go-containerregistry also tries with TLS.
				if err := faulty(t, f, p, at(method, ft, 0, 2)); err != nil {
					t.Fatal(err)
				}
				want := time.Second
				if ft.status == 429 {
					want = 7 * time.Second
				}
				// A GET or HEAD on a connection that was used before, net/http repeats at once.
				if again := ft.cut && method == "HEAD"; !again && len(waits.list) < 1 ||
					len(waits.list) > 0 && waits.list[0] != want {
					t.Errorf("pauses %v, want %v first", waits.list, want)
				}
			})
		}
	}
}

// TestStalledInTheMiddle wants no byte twice where a connection stands still.
func TestStalledInTheMiddle(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.Net.Stall = 2 * time.Second // long enough for a busy machine not to stand still as long
	if err := faulty(t, f, p, at("PATCH", fault{stall: true, after: large / 2}, 0)); err != nil {
		t.Fatal(err)
	}
	if n, got := f.seen("PATCH", ""); n != len(p.Layers)+2 || got > large*11/10 {
		t.Errorf("%d requests with %d bytes", n, got)
	}
}

// TestLost: a registry forgets an upload, while it is sent and before it is named.
func TestLost(t *testing.T) {
	for name, ft := range map[string]func(int, *http.Request) *fault{
		"cut":             at("PATCH", fault{cut: true, lose: true, after: large / 2}, 0),
		"answered":        at("PATCH", fault{status: 404, lose: true, body: `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`}, 0),
		"before its name": at("PUT", fault{status: 404, lose: true}, 0),
		"its status": both(at("PATCH", fault{cut: true, after: large / 2}, 0), func(_ int, r *http.Request) *fault {
			if r.Method == "GET" && strings.Contains(r.URL.Path, "/uploads/") {
				return &fault{status: 405}
			}
			return nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t)
			p := pusher(t, f.host())
			if err := faulty(t, f, p, ft); err != nil {
				t.Fatal(err)
			}
			// Nothing is counted twice, but for what was sent twice.
			if n, _ := f.seen("POST", ""); n != len(p.Layers)+3 {
				t.Errorf("%d uploads were begun", n)
			}
		})
	}
}

func both(a, b func(int, *http.Request) *fault) func(int, *http.Request) *fault {
	return func(n int, r *http.Request) *fault {
		if ft := a(n, r); ft != nil {
			return ft
		}
		return b(n, r)
	}
}

// TestFailing is about faults that stay: a sentence, and no tag.
func TestFailing(t *testing.T) {
	every := func(method string, ft fault) func(int, *http.Request) *fault {
		return func(_ int, r *http.Request) *fault {
			if r.Method == method {
				return &ft
			}
			return nil
		}
	}
	other := "sha256:" + strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		fault func(int, *http.Request) *fault
		want  []string
	}{
		"always 500":     {every("PATCH", fault{status: 500, body: "disk on fire"}), []string{"libcuda-12.8", "6 tries", "disk on fire"}},
		"always cut":     {every("PATCH", fault{cut: true}), []string{"libcuda-12.8", "6 tries"}},
		"always lost":    {every("PUT", fault{status: 404, lose: true}), []string{"libcuda-12.8", "forgets"}},
		"too large":      {every("PATCH", fault{status: 413}), []string{"libcuda-12.8", "layers.part", "client_max_body_size"}},
		"busy":           {every("POST", fault{status: 429}), []string{"--jobs"}},
		"no repository":  {every("POST", fault{status: 404}), []string{"no repository owner/sample"}},
		"forbidden":      {every("POST", fault{status: 403}), []string{"no credentials", "docker login"}},
		"lies of a blob": {every("PUT", fault{digest: other}), []string{"libcuda-12.8", other, "do not trust"}},
		"wrong bytes":    {every("PUT", fault{status: 400, body: `{"errors":[{"code":"DIGEST_INVALID"}]}`}), []string{"digest_invalid", "--check-contents"}},
		"lies of a manifest": {func(_ int, r *http.Request) *fault {
			if r.Method == "PUT" && strings.Contains(r.URL.Path, "/manifests/") {
				return &fault{digest: other}
			}
			return nil
		}, []string{other, "do not trust"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t)
			err := faulty(t, f, pusher(t, f.host()), c.fault)
			if err == nil {
				t.Fatal("the push said that it was done")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error has no %q: %v", w, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("the error has several lines: %q", err)
			}
		})
	}
}

// TestShort: a registry says that all is well, and that it has half of it.
func TestShort(t *testing.T) {
	f := newFront(t)
	if err := faulty(t, f, pusher(t, f.host()), at("PATCH", fault{short: true, after: large / 2}, 0)); err != nil {
		t.Fatal(err)
	}
	if n, got := f.seen("PATCH", ""); got > large*11/10 || n != 6 {
		t.Errorf("%d requests with %d bytes", n, got)
	}
}

// TestWrongOffset: a registry says that it has less than it has, so that what it ends up
// with is wrong. It is all sent again, once.
func TestWrongOffset(t *testing.T) {
	for _, told := range []bool{true, false} {
		f := newFront(t)
		lie := func(n int, r *http.Request) *fault {
			switch {
			case r.Method == "GET" && strings.Contains(r.URL.Path, "/uploads/"):
				return &fault{header: http.Header{"Range": {"0-99"}}}
			case r.Method == "PATCH" && !told:
				return &fault{header: http.Header{"Range": {""}}}
			}
			return nil
		}
		if err := faulty(t, f, pusher(t, f.host()), both(at("PATCH", fault{cut: true, after: large / 2}, 0), lie)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPauseBefore(t *testing.T) {
	in := func(s string) *http.Response { return &http.Response{Header: http.Header{"Retry-After": {s}}} }
	for _, c := range []struct {
		n    int
		resp *http.Response
		want time.Duration
	}{
		{1, nil, time.Second}, {2, nil, 2 * time.Second}, {5, nil, 16 * time.Second},
		{1, in(""), time.Second}, {3, in("0"), 0}, {3, in("12"), 12 * time.Second}, {1, in("-3"), time.Second},
		{1, in("999999"), maxPause}, {1, in("Wed, 21 Oct 2015 07:28:00 GMT"), 0}, {2, in("soon"), 2 * time.Second},
	} {
		if got := pauseBefore(c.n, c.resp); got != c.want {
			t.Errorf("before try %d with %v: %v, want %v", c.n, c.resp, got, c.want)
		}
	}
}
