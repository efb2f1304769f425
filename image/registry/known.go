package registry

import (
	"context"
	"encoding/json"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
)

// neighbours is how many other tags are looked into where the tag itself is new.
const neighbours = 2

// learn reads from the image that a tag names already which layers of ours it has, by
// oci.KeyOf. A machine without a cache so recognises what an earlier one pushed.
// What is learnt is good for this push only, and for blobs that the registry has: whoever
// may write to the repository may have written anything there.
func (c *client) learn(ctx context.Context, tags []string, comp layer.Compression) (map[string]layer.Digests, error) {
	found := map[string]layer.Digests{}
	for _, tag := range tags {
		if err := c.learnFrom(ctx, tag, comp, found); err != nil || len(found) > 0 {
			return found, err
		}
	}
	for _, tag := range c.alike(ctx, tags[0]) {
		if err := c.learnFrom(ctx, tag, comp, found); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (c *client) learnFrom(ctx context.Context, tag string, comp layer.Compression, found map[string]layer.Digests) error {
	b, err := c.manifest(ctx, tag)
	if err != nil || b == nil {
		return err
	}
	var m v1.Manifest
	if json.Unmarshal(b, &m) != nil || len(m.Layers) == 0 || m.Config.Size > maxManifest {
		return nil // an image of somebody else, or none
	}
	b, err = c.get(ctx, c.url("blobs/%s", m.Config.Digest))
	if err != nil {
		return nil // a broken image of the same name is about to be replaced
	}
	var config v1.ConfigFile
	if oci.Digest(b) != m.Config.Digest.String() || json.Unmarshal(b, &config) != nil ||
		len(config.RootFS.DiffIDs) != len(m.Layers) {
		return nil
	}
	for i, l := range m.Layers {
		key := l.Annotations[oci.LayerKey]
		if key == "" || l.MediaType != comp.MediaType() {
			continue
		}
		d := layer.Digests{DiffID: config.RootFS.DiffIDs[i].String()}
		if comp == layer.None {
			d.Size = l.Size
		}
		d.Blobs = map[layer.Compression]layer.Blob{comp: {Digest: l.Digest.String(), Size: l.Size}}
		found[key] = d
	}
	return nil
}

// alike lists the tags that are most likely those of the images before this one: as
// long, since they are times, and the last in order.
func (c *client) alike(ctx context.Context, tag string) []string {
	b, err := c.get(ctx, c.url("tags/list"))
	var list struct{ Tags []string }
	if err != nil || json.Unmarshal(b, &list) != nil {
		return nil // a registry need not list its tags
	}
	tags := slices.DeleteFunc(list.Tags, func(t string) bool { return len(t) != len(tag) || t == tag })
	slices.Sort(tags)
	slices.Reverse(tags)
	return tags[:min(len(tags), neighbours)]
}
