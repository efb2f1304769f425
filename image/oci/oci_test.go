package oci

import (
	"encoding/json"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func sample() (plan.Plan, []layer.Layer, []layer.Digests) {
	p := plan.Plan{
		Architecture: "arm64", Created: "1970-01-01T00:00:01Z", Annotations: map[string]string{"a": "b"},
		Config: v1.Config{Entrypoint: []string{"/init"}, Env: []string{"LANG=C.UTF-8"}},
	}
	return p, []layer.Layer{{Name: "base", Key: "k1"}, {Name: "rootfs", Key: "k2"}}, []layer.Digests{
		{DiffID: digest("1"), Size: 10, Blobs: map[layer.Compression]layer.Blob{layer.Gzip: {Digest: digest("a"), Size: 5}, "gzip:9": {Digest: digest("c"), Size: 4}}},
		{DiffID: digest("2"), Size: 20, Blobs: map[layer.Compression]layer.Blob{layer.Gzip: {Digest: digest("b"), Size: 6}, "gzip:9": {Digest: digest("d"), Size: 5}}},
	}
}

func TestNew(t *testing.T) {
	p, layers, digests := sample()
	for _, c := range []struct {
		compression layer.Compression
		media       types.MediaType
		first       string
		size        int64
		key         string
	}{
		{layer.Gzip, types.OCILayer, digest("a"), 5, "k1"},
		{"gzip:9", types.OCILayer, digest("c"), 4, "k1:9"},
		{layer.None, types.OCIUncompressedLayer, digest("1"), 10, "k1"},
	} {
		image, err := New(p, layers, digests, c.compression)
		if err != nil {
			t.Fatal(err)
		}
		var m v1.Manifest
		if err := json.Unmarshal(image.Manifest, &m); err != nil {
			t.Fatal(err)
		}
		l := m.Layers[0]
		if len(m.Layers) != 2 || l.MediaType != c.media || l.Digest.String() != c.first || l.Size != c.size || l.Annotations[LayerKey] != c.key {
			t.Errorf("%s: the layers are %+v", c.compression, m.Layers)
		}
		if m.Config.Digest.String() != Digest(image.Config) || m.Config.Size != int64(len(image.Config)) || m.Annotations["a"] != "b" {
			t.Errorf("%s: the manifest is %+v", c.compression, m)
		}
		if image.Digest != Digest(image.Manifest) || image.ConfigDigest != Digest(image.Config) {
			t.Errorf("%s: the digests are not those of the bytes", c.compression)
		}
		var config v1.ConfigFile
		if err := json.Unmarshal(image.Config, &config); err != nil {
			t.Fatal(err)
		}
		if config.Architecture != "arm64" || config.OS != "linux" || config.Created.Unix() != 1 || config.Config.Entrypoint[0] != "/init" ||
			len(config.RootFS.DiffIDs) != 2 || config.RootFS.DiffIDs[1].String() != digest("2") || config.History[1].CreatedBy != "rootfs" {
			t.Errorf("%s: the configuration is %+v", c.compression, config)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for want, change := range map[string]func(*plan.Plan, []layer.Digests){
		"time of creation":             func(p *plan.Plan, _ []layer.Digests) { p.Created = "yesterday" },
		"layer rootfs":                 func(_ *plan.Plan, d []layer.Digests) { d[1].DiffID = "" },
		"base has no digest for gzip":  func(_ *plan.Plan, d []layer.Digests) { d[0].Blobs = nil },
		"layer base has no digest for": func(_ *plan.Plan, d []layer.Digests) { d[0].Blobs[layer.Gzip] = layer.Blob{Digest: "md5:1"} },
	} {
		p, layers, digests := sample()
		change(&p, digests)
		if _, err := New(p, layers, digests, layer.Gzip); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}
