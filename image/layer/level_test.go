package layer

import (
	"os"
	"strings"
	"testing"
)

// at is a compression at a level that it has.
func at(t *testing.T, c Compression, level int) Compression {
	t.Helper()
	z, err := c.At(level)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestAt(t *testing.T) {
	for _, c := range []struct {
		of    Compression
		level int
		want  Compression
		says  string
	}{
		{Gzip, 0, Gzip, ""}, {Gzip, 1, "gzip:1", ""}, {Gzip, 9, "gzip:9", ""},
		{Zstd, 0, Zstd, ""}, {Zstd, 22, "zstd:22", ""}, {None, 0, None, ""},
		{Gzip, 10, "", "10 is no level of gzip, which has 1 to 9"},
		{Gzip, -1, "", "-1 is no level of gzip"},
		{Zstd, 23, "", "23 is no level of zstd, which has 1 to 22"},
		{None, 1, "", "what is not compressed has no level: choose gzip or zstd"},
		{"xz", 0, "", `"xz" is none of gzip, zstd and none`},
		{"gzip:3", 4, "", `"gzip:3" is none of gzip, zstd and none`},
	} {
		got, err := c.of.At(c.level)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s at %d: %q, %v, want %q, %q", c.of, c.level, got, err, c.want, c.says)
		}
		if err == nil && (got.Format() != c.of || got.Level() != c.level || got.MediaType() != c.of.MediaType()) {
			t.Errorf("%s: %s at %d, %s", got, got.Format(), got.Level(), got.MediaType())
		}
	}
	if list := Zstd.Levels(); len(list) != 23 || list[0] != Zstd || list[22] != "zstd:22" {
		t.Errorf("%q", list)
	}
	if list := None.Levels(); len(list) != 1 || list[0] != None {
		t.Errorf("%q", list)
	}
}

// TestLevels wants a higher level to be smaller, another blob, and the same bytes unpacked; and
// has one layer written at each, so that none takes an encoder of another out of the pool.
func TestLevels(t *testing.T) {
	b := mixture(2<<20 + 12345)
	for c, levels := range map[Compression][]int{Gzip: {1, 4, 6, 9}, Zstd: {1, 3, 19}} {
		for range 2 {
			before := len(b)
			for _, level := range levels {
				z := at(t, c, level)
				blob := pressed(t, z, b, 1<<20)
				if string(unpack(t, c, blob)) != string(b) {
					t.Errorf("%s: another stream came back", z)
				}
				if len(blob) >= before {
					t.Errorf("%s: %d bytes, and %d at the level below", z, len(blob), before)
				}
				before = len(blob)
			}
		}
	}
}

// TestLevelsWithoutStrings has the other levels code by Huffman alone what has no strings.
func TestLevelsWithoutStrings(t *testing.T) {
	b := unlike(2 << 20)
	for _, z := range Gzip.Levels() {
		if n := len(pressed(t, z, b, 1<<20)); n > len(b)*77/100 {
			t.Errorf("%s: %d bytes of %d", z, n, len(b))
		}
	}
}

// TestCacheOfLevels wants no level to take the digest of another, and the names of records
// that have none to be what they were: other names make everybody push again.
func TestCacheOfLevels(t *testing.T) {
	c, l := Cache{Dir: t.TempDir()}, aLayer(1)
	want := map[Compression]Blob{}
	all := append(Gzip.Levels(), Zstd.Levels()...)
	for n, z := range all {
		for m, other := range all {
			if d, _ := c.Get(l, other); (d.Blobs[other].Digest != "") != (m < n) {
				t.Fatalf("before %s is put, %s is %+v", z, other, d.Blobs[other])
			}
		}
		want[z] = Blob{hashOf(string(z)), int64(n)}
		if err := c.Put(l, Digests{DiffID: hashOf("d"), Size: 1, Blobs: map[Compression]Blob{z: want[z]}}); err != nil {
			t.Fatal(err)
		}
	}
	if d, _ := c.Get(l, append(all, None)...); !same(d.Blobs, want) {
		t.Errorf("%v, want %v", d.Blobs, want)
	}
	if d, _ := c.Get(l); len(d.Blobs) != 2 || d.Blobs[Gzip] != want[Gzip] || d.Blobs[Zstd] != want[Zstd] {
		t.Errorf("without levels: %v", d.Blobs)
	}
	for _, name := range []string{"", ".gzipc", ".zstd", ".gzipc9", ".zstd19"} {
		if _, err := os.Stat(c.Dir + "/" + l.Key + name + ".v1"); err != nil {
			t.Error(err)
		}
	}
	files, err := os.ReadDir(c.Dir)
	if err != nil || len(files) != 1+len(all) {
		t.Errorf("%d files (%v)", len(files), err)
	}
	for _, f := range files {
		if !ours.MatchString(f.Name()) {
			t.Errorf("%s would be kept for ever", f.Name())
		}
	}
}
