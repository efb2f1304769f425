package layer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Digests are what is known of a layer without reading it.
type Digests struct {
	// DiffID is the digest of the tar stream: "sha256:" and hexadecimal digits.
	DiffID string `json:"diffID"`
	// Size is that of the tar stream, in bytes.
	Size int64 `json:"size"`
	// Blobs are the compressed forms that were made once, by Compression.
	Blobs map[Compression]Blob `json:"blobs,omitempty"`
}

// Blob is a compressed layer.
type Blob struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // in bytes
}

// Hash returns the digests of all layers. It reads those that the cache does not know, and
// with the same reading verifies their paths, as Verify does. A cache that cannot be written
// is a matter of cache.Warn, and no error.
func Hash(ctx context.Context, layers []Layer, store string, cache Cache) ([]Digests, error) {
	list := make([]Digests, len(layers))
	v := &verifier{store: store, cache: cache}
	var unknown []int
	for i, l := range layers {
		d, ok := cache.Get(l)
		if list[i] = d; !ok {
			unknown = append(unknown, i)
			v.want(l.Items)
		}
	}
	if err := v.present(); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, readings := range byReading(layers, unknown) {
		g.Go(func() error { return v.digest(ctx, layers, readings, list) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	v.remembered(cache.Prune(time.Now()))
	return list, v.done()
}

// byReading joins the parts of a path, which one reading serves, and puts what takes
// longest first.
func byReading(layers []Layer, unknown []int) [][]int {
	var list [][]int
	parts := map[string]int{} // where in the list the parts of a path are
	for _, i := range unknown {
		if it := layers[i].Items; len(it) == 1 && it[0].Parts > 1 {
			if n, ok := parts[it[0].Path.Path]; ok {
				list[n] = append(list[n], i)
				continue
			}
			parts[it[0].Path.Path] = len(list)
		}
		list = append(list, []int{i})
	}
	size := func(indexes []int) (n int64) {
		for _, i := range indexes {
			n += layers[i].Size
		}
		return n
	}
	slices.SortStableFunc(list, func(a, b []int) int { return cmp.Compare(size(b), size(a)) })
	return list
}

// digest fills the list for one layer, or for parts of one path.
func (v *verifier) digest(ctx context.Context, layers []Layer, indexes []int, list []Digests) error {
	first := layers[indexes[0]]
	sums := make([]*Sum, len(indexes))
	streams := make([]*stream, len(indexes))
	parts := streams
	if len(first.Items) > 0 {
		parts = make([]*stream, max(first.Items[0].Parts, 1))
	}
	for n, i := range indexes {
		sums[n] = NewSum(io.Discard)
		streams[n] = newStream(sums[n])
		if len(first.Items) > 0 {
			parts[layers[i].Items[0].Part] = streams[n]
		}
	}
	good := true
	for _, item := range first.Items {
		c := newCheck()
		if err := item.walk(ctx, v.store, parts, c.visitors()...); err != nil {
			return fmt.Errorf("layer %s: %w", first.Name, err)
		}
		good = v.found(item.Path, c) && good
	}
	for n, i := range indexes {
		if err := streams[n].finish(layers[i].Made); err != nil {
			return fmt.Errorf("layer %s: %w", layers[i].Name, err)
		}
		if list[i] = (Digests{DiffID: sums[n].Digest(), Size: sums[n].Size()}); good {
			v.remembered(v.cache.Put(layers[i], list[i]))
		}
	}
	return nil
}

// Sum passes on what is written to it, and knows digest and size of that.
type Sum struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

// NewSum makes a Sum that passes on to w.
func NewSum(w io.Writer) *Sum { return &Sum{w: w, hash: sha256.New()} }

func (s *Sum) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.hash.Write(p[:n])
	s.n += int64(n)
	return n, err
}

// Digest is "sha256:" and hexadecimal digits.
func (s *Sum) Digest() string { return "sha256:" + hex.EncodeToString(s.hash.Sum(nil)) }

// Size is in bytes.
func (s *Sum) Size() int64 { return s.n }
