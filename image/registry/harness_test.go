package registry

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// large is the size of the layer that faults happen to. It compresses to nothing less.
const large = 3 << 20

// storePath writes a store path below dir and describes it.
func storePath(t *testing.T, dir, title string, files map[string][]byte) plan.Path {
	t.Helper()
	path := "/nix/store/" + strings.Repeat(string("abcdfghijk"[len(title)%10]), 32) + "-" + title
	size := int64(0)
	for file, content := range files {
		full := filepath.Join(dir, path, file)
		if file == "" {
			full = filepath.Join(dir, path)
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, content, 0o644); err != nil {
			t.Fatal(err)
		}
		size += int64(len(content))
	}
	return plan.Path{Path: path, NarHash: oci.Digest([]byte(title)), NarSize: size}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// sample is a small image with four layers, one of them large.
func sample(t *testing.T) (store string, p plan.Plan) {
	t.Helper()
	store = t.TempDir()
	lib := storePath(t, store, "libcuda-12.8", map[string][]byte{"lib/libcuda.so": noise(large)})
	bash := storePath(t, store, "bash-5.2-p37", map[string][]byte{"bin/bash": []byte("#!"), "share/doc": noise(1000)})
	lib.References = []string{lib.Path}
	bash.References = []string{lib.Path}
	return store, plan.Plan{
		Version: plan.Version, Name: "sample", Tag: "20250914-142437", Tags: []string{"cuda-12.8-20250914-142437"},
		Architecture: "amd64", Created: "1970-01-01T00:00:01Z", Config: v1.Config{Entrypoint: []string{"/init"}},
		Closure: []plan.Path{lib, bash},
		Rootfs:  plan.Rootfs{Path: storePath(t, store, "rootfs", map[string][]byte{"etc/passwd": []byte("root:x:0:0\n")})},
		Files: []plan.File{{
			Path: storePath(t, store, "init", map[string][]byte{"": noise(5000)}), Target: "/init", Mode: "0755",
		}},
		Layers: plan.Limits{Own: 1 << 20},
	}
}

// pusher is a push of the sample to host, with a cache of its own and no real pauses.
func pusher(t *testing.T, host string) *Push {
	t.Helper()
	store, p := sample(t)
	layers, err := layer.Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	push := &Push{
		Plan: p, Layers: layers, Store: store, Cache: layer.Cache{Dir: t.TempDir()},
		Compressions: []layer.Compression{layer.Gzip}, Login: Sources{}.login,
		Net: Net{Wait: func(context.Context, time.Duration) error { return nil }},
	}
	push.to(t, host+"/owner/sample")
	return push
}

func (s Sources) login(ctx context.Context, r name.Repository) (Login, error) { return s.Login(ctx, r) }

func (p *Push) to(t *testing.T, dest ...string) {
	t.Helper()
	var err error
	if p.Destinations, err = Resolve(p.Plan, dest, "", false); err != nil {
		t.Fatal(err)
	}
}

// run pushes and wants it to work.
func (p *Push) run(t *testing.T) Result {
	t.Helper()
	r, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pull reads an image back, all of it, and compares what every layer's digest promises.
func pull(t *testing.T, ref string, options ...remote.Option) v1.Image {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(r, options...)
	if err != nil {
		t.Fatalf("pulling %s: %v", ref, err)
	}
	m, err := image.Manifest()
	if err != nil {
		t.Fatalf("pulling %s: %v", ref, err)
	}
	check := validate.Image // knows gzip only
	if m.Layers[0].MediaType != types.OCILayer {
		check = diffIDs
	}
	if err := check(image); err != nil {
		t.Fatalf("pulling %s: %v", ref, err)
	}
	return image
}

// diffIDs unpacks each layer, whose digest the library compares itself, and compares what is in it.
func diffIDs(image v1.Image, _ ...validate.Option) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		defer r.Close()
		in := io.Reader(r)
		if t, _ := l.MediaType(); t == types.OCILayerZStd {
			z, err := zstd.NewReader(r)
			if err != nil {
				return err
			}
			defer z.Close()
			in = z
		}
		want, err := l.DiffID()
		if err != nil {
			return err
		}
		if got, _, err := v1.SHA256(in); err != nil || got != want {
			return fmt.Errorf("a layer holds %s (%v), and the configuration says %s", got, err, want)
		}
	}
	return nil
}

// tagExists asks the registry's own client.
func tagExists(t *testing.T, ref string) bool {
	t.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Head(r, remote.WithAuth(authn.Anonymous))
	return err == nil
}

// refs are the names of the sample on a host.
func (p *Push) refs(host string) (list []string) {
	for _, tag := range append([]string{p.Plan.Tag}, p.Plan.Tags...) {
		list = append(list, host+"/owner/sample:"+tag)
	}
	return list
}

// remember has the cache know what is in the layers, and no blob.
func (p *Push) remember(t *testing.T) {
	t.Helper()
	for _, l := range p.Layers {
		d, err := l.Write(t.Context(), io.Discard, p.Store, layer.None)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Cache.Put(l, layer.Digests{DiffID: d.DiffID, Size: d.Size}); err != nil {
			t.Fatal(err)
		}
	}
}

// digest is that of the image by the planner's own reckoning.
func digest(t *testing.T, p *Push, c layer.Compression) string {
	t.Helper()
	var list []layer.Digests
	for _, l := range p.Layers {
		d, err := l.Write(t.Context(), io.Discard, p.Store, c)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	image, err := oci.New(p.Plan, p.Layers, list, c)
	if err != nil {
		t.Fatal(err)
	}
	return image.Digest
}
