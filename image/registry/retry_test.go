package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
)

// TestExpect: a proxy does not know what Expect is.
func TestExpect(t *testing.T) {
	f := newFront(t)
	err := faulty(t, f, pusher(t, f.host()), func(_ int, r *http.Request) *fault {
		if r.Header.Get("Expect") != "" {
			return &fault{status: http.StatusExpectationFailed}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSlowStore: a stream that we are slow to make is no stalled connection.
func TestSlowStore(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.Net.Stall = 500 * time.Millisecond
	c, err := connect(t.Context(), p.Destinations[0].Repo, Login{auth: authn.Anonymous}, p.Net)
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	_, err = c.upload(t.Context(), source{name: "slow", write: func(_ context.Context, w io.Writer) (layer.Blob, error) {
		tries++
		w.Write([]byte("a"))
		<-time.After(4 * p.Net.Stall)
		_, err := w.Write([]byte("b"))
		return layer.Blob{Digest: oci.Digest([]byte("ab")), Size: 2}, err
	}}, nil)
	if err != nil || tries != 1 {
		t.Errorf("%d tries, and %v", tries, err)
	}
}

// TestSlowToName: a registry may take longer to put a blob in its place than to take its bytes.
func TestSlowToName(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.Net.Stall = 500 * time.Millisecond
	if err := faulty(t, f, p, at("PUT", fault{wait: 3 * p.Net.Stall}, 0)); err != nil {
		t.Fatal(err)
	}
	if n, _ := f.seen("PUT", "/uploads/"); n != len(p.Layers)+1 {
		t.Errorf("%d blobs were named, the image has %d layers and a configuration", n, len(p.Layers))
	}
}

// TestUnreadable: what fails on our side is not tried again, and said as it is.
func TestUnreadable(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	if err := os.RemoveAll(p.Store + p.Plan.Closure[0].Path); err != nil {
		t.Fatal(err)
	}
	var waits pauses
	p.Net.Wait = waits.wait
	err := faulty(t, f, p, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), p.Plan.Closure[0].Path) || len(waits.list) > 0 {
		t.Errorf("%v, after %v", err, waits.list)
	}
}

// TestSecondRegistryDown: nothing is sent to the first.
func TestSecondRegistryDown(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.to(t, f.host()+"/owner/sample", "127.0.0.1:1/owner/sample")
	if err := faulty(t, f, p, nil); err == nil {
		t.Error("the push said that it was done")
	}
	if n, _ := f.seen("POST", ""); n > 0 {
		t.Errorf("%d uploads were begun", n)
	}
}

// TestPausesAreTold says once why nothing happens.
func TestPausesAreTold(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	var out bytes.Buffer
	p.Progress = NewProgress(&out, 0)
	ft := fault{status: 429, header: http.Header{"Retry-After": {"7"}}}
	if err := faulty(t, f, p, both(at("POST", ft, 0), at("PATCH", ft, 0))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n429 Too Many Requests; trying again in 7s\n", "layer libcuda-12.8: 429 Too Many Requests; trying again in 7s\n"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("no single %q in\n%s", want, &out)
		}
	}
}

// TestManyTries: tries that bring something on are not counted.
func TestManyTries(t *testing.T) {
	f := newFront(t)
	err := faulty(t, f, pusher(t, f.host()), func(n int, r *http.Request) *fault {
		if r.Method == "PATCH" && n < 3*tries {
			return &fault{cut: true, after: large / (4 * tries)}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNobodyThere ends at once.
func TestNobodyThere(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1:1":                  "nobody answers",
		"registry.invalid":             "no host",
		newFront(t).host() + "/a/../b": "destination",
	} {
		p := pusher(t, "127.0.0.1:1")
		var waits pauses
		p.Net.Wait = waits.wait
		var err error
		p.Destinations, err = Resolve(p.Plan, []string{host + "/owner/sample"}, "", false)
		if err == nil {
			_, err = p.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(waits.list) > tries {
			t.Errorf("%s: %v, after %v", host, err, waits.list)
		}
	}
}
