package layer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Compression is how a layer travels: one of those below, or what At makes of them.
type Compression string

// Gzip is what every engine reads; Docker reads Zstd from version 23 on.
const (
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
	None Compression = "none"
)

// MediaType is that of a layer in an OCI manifest.
func (c Compression) MediaType() types.MediaType {
	switch c.Format() {
	case Gzip:
		return types.OCILayer
	case Zstd:
		return types.OCILayerZStd
	}
	return types.OCIUncompressedLayer
}

// Encoders have large tables, so they are kept for the next layer.
var (
	gzips = sync.Pool{New: func() any { return &gzipWriter{} }}
	zstds = map[zstd.EncoderLevel]*sync.Pool{
		zstd.SpeedFastest:           zstdPool(zstd.SpeedFastest),
		zstd.SpeedDefault:           zstdPool(zstd.SpeedDefault),
		zstd.SpeedBetterCompression: zstdPool(zstd.SpeedBetterCompression),
		zstd.SpeedBestCompression:   zstdPool(zstd.SpeedBestCompression),
	}
)

func zstdPool(level zstd.EncoderLevel) *sync.Pool {
	return &sync.Pool{New: func() any {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level))
		if err != nil {
			panic(err) // the level is a constant
		}
		return z
	}}
}

// encoder compresses what is written to it.
type encoder interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// encoder returns one that writes to w, and what takes it back after a Close without error.
// The bytes depend on neither the machine nor its processors.
func (c Compression) encoder(w io.Writer) (z encoder, done func(), err error) {
	format, level := c.Format(), c.Level()
	if _, err := format.At(level); err != nil {
		return nil, nil, err
	}
	pool := &gzips
	switch format {
	case None:
		return &plain{w}, func() {}, nil
	case Zstd:
		effort := zstd.SpeedDefault
		if level != 0 {
			effort = zstd.EncoderLevelFromZstd(level)
		}
		pool = zstds[effort]
	}
	z = pool.Get().(encoder)
	if g, ok := z.(*gzipWriter); ok {
		g.level = cmp.Or(level, gzipLevel)
	}
	z.Reset(w)
	return z, func() { pool.Put(z) }, nil
}

type plain struct{ io.Writer }

func (p *plain) Close() error      { return nil }
func (p *plain) Reset(w io.Writer) { p.Writer = w }

// Write writes the layer compressed, in one pass, and returns all its digests. After an
// error nothing more is written: half a layer does not look like a whole one.
func (l Layer) Write(ctx context.Context, w io.Writer, store string, c Compression) (Digests, error) {
	out := NewSum(w)
	gate := &gate{w: out}
	z, done, err := c.encoder(gate)
	if err != nil {
		return Digests{}, err
	}
	in := NewSum(z)
	if err := l.Tar(ctx, in, store); err != nil {
		gate.shut.Store(true)
		_ = z.Close() // ends its goroutines; the error is known
		return Digests{}, err
	}
	if err := z.Close(); err != nil {
		return Digests{}, fmt.Errorf("layer %s: %w", l.Name, err)
	}
	done()
	d := Digests{DiffID: in.Digest(), Size: in.Size()}
	d.Blobs = map[Compression]Blob{c: {out.Digest(), out.Size()}}
	return d, nil
}

// gate passes on what is written to it until it is shut.
type gate struct {
	w    io.Writer
	shut atomic.Bool
}

func (g *gate) Write(p []byte) (int, error) {
	if g.shut.Load() {
		return 0, io.ErrClosedPipe
	}
	return g.w.Write(p)
}
