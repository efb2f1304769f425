package layer

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// mixture is n bytes, some of which compress.
func mixture(n int) []byte {
	r := rand.New(rand.NewPCG(7, 7))
	b := make([]byte, 0, n+5000)
	for len(b) < n {
		switch size := 1 + r.IntN(5000); r.IntN(4) {
		case 0:
			for range size {
				b = append(b, byte(r.Uint32()))
			}
		case 1:
			b = append(b, bytes.Repeat([]byte{byte(r.Uint32())}, size)...)
		case 2:
			for range size / 8 {
				b = fmt.Appendf(b, "%x mov ", r.IntN(4000))
			}
		case 3:
			if from := len(b) - size - r.IntN(70000); from > 0 {
				b = append(b, b[from:from+size]...)
			}
		}
	}
	return b[:n]
}

// unpack reads a compressed stream by the decoders of others.
func unpack(t *testing.T, c Compression, blob []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(blob)
	var err error
	switch c.Format() {
	case Gzip:
		r, err = gzip.NewReader(r)
	case Zstd:
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWrite(t *testing.T) {
	s := newStore(t)
	l := layerOf(s.add(t, "mixture", tree{"a": string(mixture(3 << 20)), "b": "small", "c": string(mixture(1 << 20))}))
	want := s.tarOf(t, l)
	for _, c := range []Compression{Gzip, Zstd, None, "gzip:9", "zstd:19"} {
		var blob bytes.Buffer
		d, err := l.Write(t.Context(), &blob, string(s), c)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(unpack(t, c, blob.Bytes()), want) {
			t.Errorf("%s: another stream came back", c)
		}
		if d.DiffID != sumOf(want) || d.Size != int64(len(want)) {
			t.Errorf("%s: %+v", c, d)
		}
		if b := d.Blobs[c]; b.Size != int64(blob.Len()) || len(d.Blobs) != 1 || b.Digest != sumOf(blob.Bytes()) {
			t.Errorf("%s: %+v", c, d)
		}
	}
	if _, err := l.Write(t.Context(), io.Discard, string(s), "xz"); err == nil || !strings.Contains(err.Error(), `"xz"`) {
		t.Error(err)
	}
}

func sumOf(b []byte) string {
	s := NewSum(io.Discard)
	s.Write(b)
	return s.Digest()
}

// pressed compresses in pieces of at most n bytes.
func pressed(t *testing.T, c Compression, b []byte, n int) []byte {
	t.Helper()
	var blob bytes.Buffer
	z, done, err := c.encoder(&blob)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		piece := b[:min(n, len(b))]
		if _, err := z.Write(piece); err != nil {
			t.Fatal(err)
		}
		b = b[len(piece):]
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	done()
	return blob.Bytes()
}

// TestGoldenBlobs has digests of blobs: a library that compresses in another way makes every
// layer be pushed once more, and should do so for a reason.
func TestGoldenBlobs(t *testing.T) {
	b := mixture(5<<20 + 12345)
	for c, want := range map[Compression]string{
		Gzip:      "sha256:30133c8cde8cb2fe84b384ebd2b8ed562ac9c3c820844262dabb9d39f1837d09",
		Zstd:      "sha256:8c31a82281fd6c6e9e2887ea352d7631b9ade51dc070d122c4942a2dd5ad0735",
		"gzip:1":  "sha256:dfdb64ba1394874ea2439f3be1da57e5fc8d6f2442e4bcb856ffa3bceb5e4481",
		"gzip:6":  "sha256:faf9171f002ca6f210d9a66af0ee54be368f394d58132f55563094b676434887",
		"gzip:9":  "sha256:80190a1afcb79405c65d0e376bf088773429240a076b7f9c627f74652bfe7ea9",
		"zstd:1":  "sha256:f41fd035827e0a0d6b27941f816b3f2dde5371e81f504982aeed2d95fc6424b1",
		"zstd:6":  "sha256:ef099dc52900f93557bbcf403fffc8459e797fbe455ceaf01df2ab36328be7c5",
		"zstd:19": "sha256:9278872b2e8c5a5b33215b77d336cfba6308a23d87ffc39e89d7cdacdb831783",
	} {
		if got := sumOf(pressed(t, c, b, 1<<20)); got != want {
			t.Errorf("%s: %s, want %s", c, got, want)
		}
	}
}

// TestSameBlobEverywhere wants the same bytes of any number of processors, of new and used
// encoders, and of any size of what is written at once.
func TestSameBlobEverywhere(t *testing.T) {
	b := mixture(5<<20 + 12345)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []Compression{Gzip, Zstd, "gzip:9", "zstd:19"} {
		b := b
		if c.Level() != 0 {
			b = b[:2<<20+5] // which takes long enough
		}
		want := sumOf(pressed(t, c, b, len(b)))
		for _, processors := range []int{1, 2, 7} {
			runtime.GOMAXPROCS(processors)
			runtime.GC() // twice empties the pools
			runtime.GC()
			for _, n := range []int{513, 100_000, 1 << 20, len(b)} {
				if got := sumOf(pressed(t, c, b, n)); got != want {
					t.Errorf("%s: %d processors, %d bytes at once: %s, want %s", c, processors, n, got, want)
				}
			}
		}
	}
}

// TestAssemblyDoesNotMatter runs TestGoldenBlobs with the code that other architectures have.
func TestAssemblyDoesNotMatter(t *testing.T) {
	cmd := exec.Command("go", "test", "-v=false", "-tags", "noasm", "-run", "^TestGoldenBlobs$", ".")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "ok") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestRandomDataDoesNotGrow(t *testing.T) {
	b := make([]byte, 8<<20)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	for _, c := range []Compression{Gzip, Zstd, "gzip:1", "gzip:9", "zstd:19"} {
		if n := len(pressed(t, c, b, 1<<20)); n > len(b)+len(b)/1000 {
			t.Errorf("%s: %d bytes of %d", c, n, len(b))
		}
	}
}

// cut is a connection that breaks after n bytes.
type cut struct{ n int }

func (c *cut) Write(p []byte) (int, error) {
	if c.n -= len(p); c.n < 0 {
		return 0, unix.EPIPE
	}
	return len(p), nil
}

// TestHalfALayer wants the connection's error, and no end of a stream that has none.
func TestHalfALayer(t *testing.T) {
	s := newStore(t)
	l := layerOf(s.add(t, "mixture", tree{"a": string(mixture(9 << 20)), "b": "small"}))
	for _, c := range []Compression{Gzip, Zstd, None} {
		for _, n := range []int{0, 5, 1 << 20} {
			if _, err := l.Write(t.Context(), &cut{n}, string(s), c); !errors.Is(err, unix.EPIPE) {
				t.Errorf("%s: %v", c, err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var blob bytes.Buffer
		first := writerFunc(func(p []byte) (int, error) { stop(); return blob.Write(p) })
		if _, err := l.Write(ctx, first, string(s), c); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", c, err)
		}
		if c == Gzip {
			z, err := gzip.NewReader(&blob)
			if err == nil {
				_, err = io.Copy(io.Discard, z)
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("half a layer reads as %v", err)
			}
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// TestManyAtOnce shares the pools.
func TestManyAtOnce(t *testing.T) {
	b := mixture(2 << 20)
	var g errgroup.Group
	var wrong atomic.Int32
	for _, c := range []Compression{Gzip, Zstd} {
		want := sumOf(pressed(t, c, b, len(b)))
		for range 8 {
			g.Go(func() error {
				if sumOf(pressed(t, c, b, 10_000)) != want {
					wrong.Add(1)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil || wrong.Load() > 0 {
		t.Errorf("%d blobs are wrong", wrong.Load())
	}
}
