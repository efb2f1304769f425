package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

func gzip(n int64) map[layer.Compression]layer.Blob {
	return map[layer.Compression]layer.Blob{layer.Gzip: {Size: n}}
}

// sampleLayers are those of two plans: a new CUDA, a rebuilt base, one layer more and one less.
func sampleLayers() (now, old []inspectedLayer) {
	now = []inspectedLayer{
		{Number: 1, Name: "libcublas-12.9", Group: "cuda", Key: "a2", Paths: 1, Size: 600 << 20, Compressed: gzip(420 << 20)},
		{Number: 2, Name: "cudnn-9.1", Group: "cuda", Key: "b", Paths: 1, Size: 512 << 20},
		{Number: 3, Name: "packages 1 of 2", Key: "c2", Paths: 80, Size: 61 << 20},
		{Number: 4, Name: "torch-2.5", Key: "d", Paths: 1, Size: 1234567890},
		{Number: 5, Name: "rootfs", Key: "e2", Paths: 1, Size: 2048, Compressed: gzip(900)},
	}
	old = []inspectedLayer{
		{Number: 1, Name: "libcublas-12.8", Group: "cuda", Key: "a1"},
		{Number: 2, Name: "cudnn-9.1", Group: "cuda", Key: "b"},
		{Number: 3, Name: "packages 1 of 2", Key: "c1"},
		{Number: 4, Name: "vllm-0.6", Key: "f", Paths: 1, Size: 100 << 20},
		{Number: 5, Name: "rootfs", Key: "e1"},
	}
	return now, old
}

func TestInspectText(t *testing.T) {
	now, old := sampleLayers()
	i := inspection{Name: "sample", Tag: "v2", Architecture: "amd64", Paths: 83, Size: 2470000000, Layers: now}
	var plainText bytes.Buffer
	i.text(&plainText, false)
	golden(t, "inspect.golden", plainText.String())

	i.Against = compare(i.Layers, old)
	i.Against.Name, i.Against.Tag = "sample", "v1"
	i.Against.Packages = []plan.Change{
		{Name: "cuda-compat", Old: []string{}, New: []string{""}, Delta: 5},
		{Name: "glibc", Old: []string{"2.40"}, New: []string{"2.40"}, Delta: 4096},
		{Name: "libcublas", Old: []string{"12.8"}, New: []string{"12.8", "12.9"}, Delta: 13 << 20},
		{Name: "vllm", Old: []string{"0.6"}, New: []string{}, Delta: -100 << 20},
		{Name: "x", Old: []string{""}, New: []string{"1"}},
	}
	var against bytes.Buffer
	i.text(&against, false)
	golden(t, "inspect-against.golden", against.String())

	var colours bytes.Buffer
	i.text(&colours, true)
	if text := colours.String(); strings.Count(text, plain) != 7 || !strings.Contains(text, yellow+"  1  changed") {
		t.Errorf("in colours it is %q", text)
	}
	if strings.Contains(against.String(), "\x1b") {
		t.Error("there are colours without a terminal")
	}
}

func TestCompare(t *testing.T) {
	now, old := sampleLayers()
	c := compare(now, old)
	var changes []string
	for _, l := range now {
		changes = append(changes, l.Change)
	}
	if got := strings.Join(changes, " "); got != "changed kept changed added changed" {
		t.Errorf("the layers are %s", got)
	}
	if c.Kept != 1 || c.Changed != 3 || c.Added != 1 || len(c.Removed) != 1 || c.Removed[0].Name != "vllm-0.6" {
		t.Errorf("the comparison is %+v", c)
	}
	if want := int64(420<<20 + 61<<20 + 1234567890 + 900); c.Send != want {
		t.Errorf("%d bytes are to send, want %d", c.Send, want)
	}
	if c := compare(now, now); c.Kept != 5 || c.Send != 0 {
		t.Errorf("a plan compared with itself is %+v", c)
	}
}

// TestCompareOfParts holds that another number of parts is no other layer.
func TestCompareOfParts(t *testing.T) {
	layers := func(names ...string) (list []inspectedLayer) {
		for _, name := range names {
			list = append(list, inspectedLayer{Name: name, Key: strings.Join(names, "") + name})
		}
		return list
	}
	now := layers("base 1 of 3", "base 2 of 3", "base 3 of 3", "torch-2.6 1 of 1")
	c := compare(now, layers("base 1 of 2", "base 2 of 2", "torch-2.5 1 of 2", "torch-2.5 2 of 2"))
	if c.Changed != 3 || c.Added != 1 || len(c.Removed) != 1 || c.Removed[0].Name != "torch-2.5 2 of 2" {
		t.Errorf("the comparison is %+v", c)
	}
}

// golden compares with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = "testdata/" + name
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil || got != string(want) {
		t.Errorf("%v; got\n%s\nwant\n%s", err, got, want)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10188: "9.9 KiB", 10189: "10 KiB", 1<<20 - 1: "1.0 MiB",
		1048063: "1023 KiB", 5 << 30: "5.0 GiB", -2048: "-2.0 KiB", 1<<63 - 1: "8 EiB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestLongListsAreShort(t *testing.T) {
	list := strings.Fields("a b c d e f g h i j k l m")
	for n, want := range map[int]string{0: "", 10: "a b c d e f g h i j", 11: "a b c d e f g h i j k", 13: "a b c d e f g h i j and 3 more"} {
		if got := strings.Join(short(list[:n]), " "); got != want {
			t.Errorf("of %d it is %q, want %q", n, got, want)
		}
	}
}

// TestInspectKnowsTheCache holds that sizes come from the cache where it has them.
func TestInspectKnowsTheCache(t *testing.T) {
	a := &app{cacheDir: t.TempDir()}
	layers := []layer.Layer{{Name: "one", Key: strings.Repeat("1", 64), Size: 100}, {Name: "two", Key: strings.Repeat("2", 64), Size: 200}}
	digest := "sha256:" + strings.Repeat("0", 64)
	digests := layer.Digests{DiffID: digest, Size: 10240, Blobs: map[layer.Compression]layer.Blob{layer.Gzip: {Digest: digest, Size: 77}}}
	if err := a.cache().Put(layers[1], digests); err != nil {
		t.Fatal(err)
	}
	list := a.look(layers)
	if list[0].Size != 100 || list[0].DiffID != "" || list[0].travels() != 100 {
		t.Errorf("of a layer that nobody read: %+v", list[0])
	}
	l9 := layer.Layer{Name: "three", Key: strings.Repeat("3", 64), Size: 300}
	digests.Blobs = map[layer.Compression]layer.Blob{"gzip:9": {Digest: digest, Size: 66}, "zstd:19": {Digest: digest, Size: 55}}
	if err := a.cache().Put(l9, digests); err != nil {
		t.Fatal(err)
	}
	if l := a.look([]layer.Layer{l9})[0]; l.travels() != 66 || l.compressed(layer.Zstd, "zstd") != "55 B" {
		t.Errorf("of one that was compressed at levels of somebody's choice: %+v", l)
	}
	if list[1].Size != 10240 || list[1].DiffID != digest || list[1].travels() != 77 {
		t.Errorf("of one that was compressed: %+v", list[1])
	}
}
