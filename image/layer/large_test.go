package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/image/nar"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// TestSparseFile reads 4 GB and a bit that take no room on the disk: more than 32 bits.
func TestSparseFile(t *testing.T) {
	const size = 4<<30 + 5
	s := newStore(t)
	p := aPath("sparse-1", size)
	if err := os.WriteFile(string(s)+p.Path, []byte("begin"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(string(s)+p.Path, size); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.NarHash, p.NarSize, err = nar.Hash(t.Context(), string(s)+p.Path); err != nil || p.NarSize != 112+(size+7)/8*8 {
		t.Fatalf("%d bytes, %v", p.NarSize, err)
	}
	layers := partsOf(p, 9)
	r, w := io.Pipe()
	go func() { w.CloseWithError(layers[0].Tar(t.Context(), w, string(s))) }()
	in := tar.NewReader(r)
	for _, want := range []string{"nix/", "nix/store/", p.Path[1:]} {
		h, err := in.Next()
		if err != nil || h.Name != want {
			t.Fatalf("%+v, %v, want %s", h, err, want)
		}
	}
	if n, err := io.Copy(io.Discard, in); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := in.Next(); err != io.EOF {
		t.Error(err)
	}
	for _, l := range layers[1:] {
		if n := len(s.tarOf(t, l)); n != 1024 {
			t.Errorf("%s has %d bytes", l.Name, n)
		}
	}
}

// TestManySmallFiles has 10,000 of them in 100 directories.
func TestManySmallFiles(t *testing.T) {
	s := newStore(t)
	l := layerOf(s.add(t, "many-1", manyFiles(10_000)))
	stream := s.tarOf(t, l)
	if n := len(members(t, stream)); n != 2+1+100+10_000 {
		t.Errorf("%d members", n)
	}
	d, err := Hash(t.Context(), []Layer{l}, string(s), Cache{})
	if err != nil || d[0].DiffID != sumOf(stream) {
		t.Errorf("%v, %v", d, err)
	}
}

func manyFiles(n int) tree {
	files, r := tree{}, rand.New(rand.NewPCG(1, 1))
	for i := range n {
		files[fmt.Sprintf("dir%02d/file%d", i%100, i)] = string(bytes.Repeat([]byte{byte(i)}, r.IntN(8000)))
	}
	return files
}

// BenchmarkReading compares what is done with store paths with a sha256 of as many bytes.
func BenchmarkReading(b *testing.B) {
	s := newStore(b)
	for name, p := range map[string]plan.Path{
		"small": s.add(b, "small-1", manyFiles(10_000)), "large": s.add(b, "large-1", tree{"file": string(mixture(256 << 20))}),
	} {
		l := []Layer{layerOf(p)}
		stream := s.tarOf(b, l[0])
		run := func(what string, do func() error) {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.SetBytes(p.NarSize)
				began := processorTime(b)
				for b.Loop() {
					if err := do(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((processorTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
		cache := Cache{Dir: b.TempDir()}
		settle(b)
		run("sha256", func() error { sumOf(stream); return nil })
		run("nar", func() error { return Verify(b.Context(), l, string(s), Cache{}) })
		run("tar", func() error { return l[0].Tar(b.Context(), NewSum(io.Discard), string(s)) })
		run("both", func() error { _, err := Hash(b.Context(), l, string(s), Cache{}); return err })
		run("verified", func() error { return Verify(b.Context(), l, string(s), cache) })
		for _, c := range []Compression{Gzip, Zstd} {
			run(string(c), func() error { _, err := l[0].Write(b.Context(), io.Discard, string(s), c); return err })
		}
	}
}

// processorTime is what the program has used up, in user and kernel mode: on a busy machine
// it tells more than a clock.
func processorTime(b testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
