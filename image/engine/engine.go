// Package engine hands an image over on the author's machine: to docker or podman, as an
// archive, as an OCI layout, or to whoever pulls from a registry on the loopback. It also
// starts containers of it.
//
// Nothing of this keeps a copy of a layer. Its bytes are made out of the Nix store when
// somebody asks for them, and a digest that is known spares the asking.
//
// It is the one package of cmd/nix2vast that starts other programs.
package engine

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// Image is an image whose layers are made whenever they are wanted.
type Image struct {
	oci.Image
	Plan        plan.Plan
	Layers      []layer.Layer
	Digests     []layer.Digests // of Layers
	Compression layer.Compression
	Store       string // the folder that /nix/store is in, "" for /
}

// Open finds out the digests of an image. It reads only those layers that the cache does
// not know, and writes nothing but the cache.
func Open(ctx context.Context, p plan.Plan, layers []layer.Layer, store string, cache layer.Cache, c layer.Compression) (Image, error) {
	digests, err := digests(ctx, layers, store, cache, c)
	if err != nil {
		return Image{}, err
	}
	image, err := oci.New(p, layers, digests, c)
	if err != nil {
		return Image{}, err
	}
	return Image{Image: image, Plan: p, Layers: layers, Digests: digests, Compression: c, Store: store}, nil
}

func digests(ctx context.Context, layers []layer.Layer, store string, cache layer.Cache, c layer.Compression) ([]layer.Digests, error) {
	if c == layer.None {
		return layer.Hash(ctx, layers, store, cache)
	}
	list := make([]layer.Digests, len(layers))
	var unknown []layer.Layer
	for i, l := range layers {
		d, ok := cache.Get(l, c)
		if list[i] = d; !ok || d.Blobs[c].Digest == "" {
			list[i] = layer.Digests{}
			unknown = append(unknown, l)
		}
	}
	if err := layer.Verify(ctx, unknown, store, cache); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i, l := range layers {
		if list[i].DiffID != "" {
			continue
		}
		g.Go(func() (err error) {
			if list[i], err = l.Write(ctx, io.Discard, store, c); err != nil {
				return err
			}
			if err := cache.Put(l, list[i]); err != nil && cache.Warn != nil {
				cache.Warn(err)
			}
			return nil
		})
	}
	return list, g.Wait()
}

// blob is what layer n is to a registry.
func (i Image) blob(n int) layer.Blob {
	d := i.Digests[n]
	if i.Compression == layer.None {
		return layer.Blob{Digest: d.DiffID, Size: d.Size}
	}
	return d.Blobs[i.Compression]
}

// write writes layer n as it travels. An error says what is wrong where the bytes are not
// those that the manifest names; by then they are written.
func (i Image) write(ctx context.Context, w io.Writer, n int) error {
	err := i.stream(ctx, w, n)
	if errors.Is(err, tar.ErrWriteTooLong) || errors.Is(err, http.ErrContentLength) {
		return changed(i.Layers[n]) // it has become longer
	}
	return err
}

func (i Image) stream(ctx context.Context, w io.Writer, n int) error {
	l, want := i.Layers[n], i.blob(n).Digest
	out := bufio.NewWriterSize(w, 1<<18) // the stream comes in headers of half a kilobyte
	var got string
	if i.Compression == layer.None {
		sum := layer.NewSum(out)
		if err := l.Tar(ctx, sum, i.Store); err != nil {
			return err
		}
		got = sum.Digest()
	} else {
		d, err := l.Write(ctx, out, i.Store, i.Compression)
		if err != nil {
			return err
		}
		got = d.Blobs[i.Compression].Digest
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if got != want {
		return changed(l)
	}
	return nil
}

func changed(l layer.Layer) error {
	return fmt.Errorf("layer %s: its store paths changed after they were read for the first time; "+
		"nix-store --verify --check-contents --repair finds out which and mends them", l.Name)
}

// Names are those that the plan gives to the image: its name with each of its tags.
func (i Image) Names() []string {
	var names []string
	for _, tag := range append([]string{i.Plan.Tag}, i.Plan.Tags...) {
		names = append(names, i.Plan.Name+":"+tag)
	}
	return names
}
