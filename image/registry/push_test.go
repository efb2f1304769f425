package registry

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/layer"
)

func TestPush(t *testing.T) {
	for _, c := range []layer.Compression{layer.Gzip, layer.Zstd, layer.None} {
		t.Run(string(c), func(t *testing.T) {
			f := newFront(t)
			p := pusher(t, f.host())
			p.Compressions = []layer.Compression{c}
			r := p.run(t)
			if n, _ := f.seen("PATCH", ""); n != len(p.Layers)+1 || r.Images[0].Uploaded != len(p.Layers) {
				t.Errorf("%d requests with a body, %d layers uploaded; the image has %d layers and a configuration",
					n, r.Images[0].Uploaded, len(p.Layers))
			}
			for _, ref := range p.refs(f.host()) {
				d, err := pull(t, ref).Digest()
				if err != nil || d.String() != digest(t, p, c) {
					t.Errorf("%s is %s (%v)", ref, d, err)
				}
			}
			if want := p.refs(f.host())[0] + "@" + digest(t, p, c); r.Images[0].Reference != want {
				t.Errorf("the result is %s, want %s", r.Images[0].Reference, want)
			}
			if _, sent := f.seen("PATCH", ""); r.Sent >= sent || r.Sent < large {
				t.Errorf("%d bytes of layers were sent, says the result; the registry got %d with the configuration", r.Sent, sent)
			}
			if f.open() != 0 {
				t.Errorf("%d uploads were left behind", f.open())
			}
		})
	}
}

// TestUnchanged pushes again from a machine that has only the cache of digests.
func TestUnchanged(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.run(t)
	p.Store = t.TempDir()
	f.forget()
	r := p.run(t)
	for _, q := range f.requests {
		if q.method != "HEAD" && q.path != "/v2/" {
			t.Errorf("%s %s", q.method, q.path)
		}
	}
	if r.Images[0].Present != len(p.Layers) || r.Sent != 0 {
		t.Errorf("%+v", r)
	}
}

// TestWithoutCache pushes again from a machine that has neither cache nor store, under the
// same tag and under a new one.
func TestWithoutCache(t *testing.T) {
	for _, tag := range []string{"20250914-142437", "20250915-090000"} {
		f := newFront(t)
		p := pusher(t, f.host())
		want := p.run(t).Images[0].Digest
		p.Store, p.Cache.Dir = t.TempDir(), t.TempDir()
		p.Plan.Tag, p.Plan.Tags = tag, nil
		p.to(t, f.host()+"/owner/sample")
		f.forget()
		if r := p.run(t); r.Images[0].Digest != want || r.Sent != 0 {
			t.Errorf("%s: %+v, want %s", tag, r, want)
		}
		if n, _ := f.seen("PATCH", ""); n != 0 {
			t.Errorf("%s: %d blobs were sent", tag, n)
		}
		if !tagExists(t, f.host()+"/owner/sample:"+tag) {
			t.Errorf("%s was not set", tag)
		}
		for _, l := range p.Layers {
			if _, ok := p.Cache.Get(l); ok {
				t.Errorf("what a manifest says of %s went into the cache", l.Name)
			}
		}
	}
}

// TestLevel pushes at several levels, with a cache and without: none takes a layer of another
// for its own, and each finds its own again.
func TestLevel(t *testing.T) {
	for _, cached := range []bool{true, false} {
		f := newFront(t)
		p := pusher(t, f.host())
		images := map[string]layer.Compression{}
		for _, c := range []layer.Compression{layer.Gzip, "gzip:1", "gzip:9", layer.Gzip, "gzip:9", "gzip:9"} {
			p.Compressions = []layer.Compression{c}
			if !cached {
				p.Cache.Dir = t.TempDir()
			}
			want := digest(t, p, c)
			i := p.run(t).Images[0]
			if i.Digest != want || i.Compression != layer.Gzip || i.Level != c.Level() {
				t.Errorf("%s, cached %v: %+v, want %s", c, cached, i, want)
			}
			if _, ok := images[want]; ok && cached && i.Uploaded > 0 {
				t.Errorf("%s: %d layers were sent again", c, i.Uploaded)
			}
			images[want] = c
		}
		if len(images) != 3 {
			t.Errorf("the levels are %d images: %v", len(images), images)
		}
		p.Store, p.Cache.Dir = t.TempDir(), t.TempDir() // the tag names the image of level 9
		if r := p.run(t); r.Sent != 0 || images[r.Images[0].Digest] != "gzip:9" {
			t.Errorf("what a manifest says of its level is not found again: %+v", r)
		}
	}
}

// TestOneLayerChanged pushes an edit of the root file system.
func TestOneLayerChanged(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.run(t)
	p.Plan.Rootfs.Path = storePath(t, p.Store, "rootfs-2", map[string][]byte{"etc/version": []byte("2\n")})
	p.Layers, _ = layer.Plan(p.Plan)
	f.forget()
	r := p.run(t)
	if _, sent := f.seen("PATCH", ""); r.Images[0].Uploaded != 1 || sent > 10_000 {
		t.Errorf("%d layers and %d bytes were sent for an edit", r.Images[0].Uploaded, sent)
	}
	pull(t, p.refs(f.host())[0])
}

func TestBoth(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	for _, forms := range [][]layer.Compression{{layer.Gzip, layer.Zstd}, {"gzip:9", "zstd:9"}} {
		p.Compressions = forms
		p.run(t)
		for n, suffix := range []string{"", "-zstd"} {
			for _, ref := range p.refs(f.host()) {
				d, err := pull(t, ref+suffix).Digest()
				if err != nil || d.String() != digest(t, p, forms[n]) {
					t.Errorf("%s%s is %s (%v)", ref, suffix, d, err)
				}
			}
		}
	}
}

// TestMount pushes to a second repository of a registry, and to two at once.
func TestMount(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.run(t)
	f.forget()
	// The registry for tests knows blobs in all repositories; a real one does not.
	f.fault = func(_ int, r *http.Request) *fault {
		if r.Method == "HEAD" && strings.Contains(r.URL.Path, "other/sample/blobs") {
			return &fault{status: 404}
		}
		return nil
	}
	p.to(t, f.host()+"/other/sample")
	r := p.run(t)
	if _, sent := f.seen("PATCH", ""); r.Images[0].Mounted != len(p.Layers) || sent > 2000 || r.Sent != 0 {
		t.Errorf("%+v, and %d bytes were sent", r.Images[0], sent)
	}
	if f.open() != 0 {
		t.Errorf("%d uploads were left behind", f.open())
	}
}

// TestMountRefused falls back to sending, whether the registry says no or begins an upload.
func TestMountRefused(t *testing.T) {
	for _, no := range []fault{{status: 405}, {lose: true}} {
		f := newFront(t)
		p := pusher(t, f.host())
		p.run(t)
		f.fault = func(_ int, r *http.Request) *fault {
			if r.Method == "HEAD" && strings.Contains(r.URL.Path, "other/sample/blobs") {
				return &fault{status: 404}
			}
			if r.URL.Query().Get("mount") != "" {
				return &no
			}
			return nil
		}
		p.to(t, f.host()+"/other/sample")
		if r := p.run(t); r.Images[0].Uploaded != len(p.Layers) || f.open() != 0 {
			t.Errorf("%+v, and %d uploads were left behind", r.Images[0], f.open())
		}
		f.fault = nil
		pull(t, f.host()+"/other/sample:"+p.Plan.Tag)
	}
}

// TestNewRepository: a registry shows nobody what is not there yet, and takes it.
func TestNewRepository(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	f.fault = func(_ int, r *http.Request) *fault {
		if r.Method == "GET" && strings.Contains(r.URL.Path, "/manifests/") {
			return &fault{status: 403}
		}
		return nil
	}
	p.run(t)
	f.fault = nil
	pull(t, p.refs(f.host())[0])
}

func TestDryRun(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.DryRun = true
	p.Verify = func(context.Context, []layer.Layer) error { panic("a dry run reads nothing") }
	r := p.run(t)
	for _, q := range f.requests {
		if q.method != "HEAD" && q.method != "GET" {
			t.Errorf("%s %s", q.method, q.path)
		}
	}
	if i := r.Images[0]; i.Uploaded != len(p.Layers) || i.Bytes == 0 || i.Digest != "" || !r.DryRun {
		t.Errorf("%+v", r)
	}
	p.DryRun, p.Verify = false, nil
	want := p.run(t).Images[0].Digest
	p.DryRun = true
	if i := p.run(t).Images[0]; i.Digest != want || i.Present != len(p.Layers) || i.Bytes != 0 {
		t.Errorf("%+v", i)
	}
}

// TestVerify: what is wrong in the store is found before anything is sent, and only what is
// to be sent is looked at.
func TestVerify(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.Verify = func(context.Context, []layer.Layer) error { return os.ErrInvalid }
	if _, err := p.Run(t.Context()); err == nil {
		t.Error("pushed what was not verified")
	}
	if n, _ := f.seen("PATCH", ""); n != 0 || tagExists(t, p.refs(f.host())[0]) {
		t.Errorf("%d blobs were sent", n)
	}
	p.Verify = nil
	p.run(t)
	p.Plan.Rootfs.Path = storePath(t, p.Store, "rootfs-2", map[string][]byte{"etc/version": []byte("2\n")})
	p.Layers, _ = layer.Plan(p.Plan)
	var names []string
	p.Verify = func(_ context.Context, list []layer.Layer) error {
		for _, l := range list {
			names = append(names, l.Name)
		}
		return nil
	}
	p.run(t)
	if len(names) != 1 || names[0] != "rootfs" {
		t.Errorf("%v were verified", names)
	}
}

// TestRightsBeforeReading: who may not push is told so before the store is read.
func TestRightsBeforeReading(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	f.fault = func(_ int, r *http.Request) *fault {
		if r.Method == "POST" {
			return &fault{status: 403}
		}
		return nil
	}
	p.Verify = func(context.Context, []layer.Layer) error { panic("verified") }
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "may be pushed to") {
		t.Errorf("error %v", err)
	}
}

// TestWrongAnnotation: a manifest that says wrong things of a layer is not believed where
// the cache knows better, and neither is one whose layers are not there.
func TestWrongAnnotation(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	want := digest(t, p, layer.Gzip)
	// An image whose layers have each other's names.
	wrong := pusher(t, f.host())
	for i, j := 0, len(wrong.Layers)-1; i < j; i, j = i+1, j-1 {
		wrong.Layers[i].Key, wrong.Layers[j].Key = wrong.Layers[j].Key, wrong.Layers[i].Key
	}
	wrong.run(t)
	p.remember(t)
	if got := p.run(t).Images[0].Digest; got != want {
		t.Errorf("%s was pushed, the image is %s", got, want)
	}
}

// TestChanged pushes a path whose content is not what the cache says.
func TestChanged(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	p.remember(t)
	if err := os.WriteFile(p.Store+p.Plan.Closure[0].Path+"/lib/libcuda.so", noise(large+1), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), p.Plan.Closure[0].Path) || !strings.Contains(err.Error(), "--check-contents") {
		t.Errorf("error %v", err)
	}
	if tagExists(t, p.refs(f.host())[0]) || f.open() != 0 {
		t.Errorf("the tag was set, or %d uploads left behind", f.open())
	}
}

// TestCacheFull: a cache that takes nothing is a warning.
func TestCacheFull(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	var out bytes.Buffer
	p.Progress = NewProgress(&out, 0)
	p.Cache.Dir = "/dev/full"
	p.run(t)
	pull(t, p.refs(f.host())[0])
	if n := strings.Count(out.String(), "warning: the cache in /dev/full"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, out.String())
	}
}

// TestInterrupted ends a push in the middle, as Ctrl-C does.
func TestInterrupted(t *testing.T) {
	f := newFront(t)
	p := pusher(t, f.host())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	f.fault = func(n int, r *http.Request) *fault {
		if r.Method == "PATCH" && n == 1 {
			stop()
			return &fault{after: 1000, stall: true}
		}
		return nil
	}
	p.Jobs = 1
	if _, err := p.Run(ctx); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("error %v", err)
	}
	if tagExists(t, p.refs(f.host())[0]) || f.open() != 0 {
		t.Errorf("the tag was set, or %d uploads left behind", f.open())
	}
}
