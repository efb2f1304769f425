// Package oci writes what engines and registries call an image: its configuration and its
// manifest, of a plan and the digests of its layers.
package oci

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// LayerKey is the annotation of a layer in the manifest that says which layer.Layer it is,
// so that whoever has the plan, but neither cache nor store, knows its digests again.
const LayerKey = "dev.nix2vast.layer"

// KeyOf is the value of LayerKey: the layer's key, and behind it the level of the compression
// where one was chosen, since the digest of one level is not that of another.
func KeyOf(l layer.Layer, c layer.Compression) string {
	if n := c.Level(); n != 0 {
		return l.Key + ":" + strconv.Itoa(n)
	}
	return l.Key
}

// Image is an image by name: everything but its layers.
type Image struct {
	Config       []byte
	ConfigDigest string
	Manifest     []byte
	Digest       string // of the manifest
}

// New makes configuration and manifest. The digests are those of the layers, in their
// order, each with the blob of compression c, which for None need not be there.
func New(p plan.Plan, layers []layer.Layer, digests []layer.Digests, c layer.Compression) (Image, error) {
	created, err := time.Parse(time.RFC3339, p.Created)
	if err != nil {
		return Image{}, fmt.Errorf("the plan's time of creation: %w", err)
	}
	config := v1.ConfigFile{
		Architecture: p.Architecture, OS: "linux", Created: v1.Time{Time: created},
		Config: p.Config, RootFS: v1.RootFS{Type: "layers"},
	}
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Annotations: p.Annotations}
	for i, l := range layers {
		diff, err := v1.NewHash(digests[i].DiffID)
		if err != nil {
			return Image{}, fmt.Errorf("layer %s: %w", l.Name, err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diff)
		config.History = append(config.History, v1.History{Created: config.Created, CreatedBy: l.Name})
		blob, ok := digests[i].Blobs[c]
		if c == layer.None {
			blob, ok = layer.Blob{Digest: digests[i].DiffID, Size: digests[i].Size}, true
		}
		digest, err := v1.NewHash(blob.Digest)
		if err != nil || !ok {
			return Image{}, fmt.Errorf("layer %s has no digest for %s", l.Name, c)
		}
		manifest.Layers = append(manifest.Layers, v1.Descriptor{
			MediaType: c.MediaType(), Digest: digest, Size: blob.Size, Annotations: map[string]string{LayerKey: KeyOf(l, c)},
		})
	}
	var image Image
	if image.Config, err = json.Marshal(config); err != nil {
		return Image{}, fmt.Errorf("writing the image's configuration: %w", err)
	}
	image.ConfigDigest = Digest(image.Config)
	digest, _ := v1.NewHash(image.ConfigDigest) // Digest makes no other
	manifest.Config = v1.Descriptor{MediaType: types.OCIConfigJSON, Digest: digest, Size: int64(len(image.Config))}
	if image.Manifest, err = json.Marshal(manifest); err != nil {
		return Image{}, fmt.Errorf("writing the image's manifest: %w", err)
	}
	image.Digest = Digest(image.Manifest)
	return image, nil
}

// Digest is "sha256:" and hexadecimal digits.
func Digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
