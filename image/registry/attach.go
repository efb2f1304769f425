package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fleek-platform/nix2vast/image/oci"
)

// Subject is the image that an artifact is about.
type Subject struct {
	Repository string
	Digest     string
}

// Artifact is a document that is attached to an image.
type Artifact struct {
	// Title is for people, Type its media type.
	Title, Type string
	Data        []byte
}

// What an artifact has in place of a configuration:
// https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidance-for-an-empty-descriptor
const emptyType = types.MediaType("application/vnd.oci.empty.v1+json")

var empty = []byte("{}")

// attach pushes the artifacts with the image as their subject, before any tag is set: a
// subject need not be there yet.
func (t *target) attach(ctx context.Context) error {
	for _, make := range t.Artifacts {
		a, err := make(Subject{t.repo.String(), t.image.Digest})
		if err != nil {
			return err
		}
		d, err := t.artifact(ctx, a)
		if err != nil {
			return err
		}
		t.pushed.Referrers = append(t.pushed.Referrers, d.Digest.String())
		if err := t.refer(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// artifact pushes one, unless it is there, and describes it.
func (t *target) artifact(ctx context.Context, a Artifact) (v1.Descriptor, error) {
	for title, b := range map[string][]byte{"the " + a.Title: a.Data, "an empty configuration": empty} {
		if _, err := t.blob(ctx, title, b); err != nil {
			return v1.Descriptor{}, err
		}
	}
	subject, err := describe(types.OCIManifestSchema1, t.image.Manifest)
	if err != nil {
		return subject, err
	}
	config, err := describe(emptyType, empty)
	if err != nil {
		return config, err
	}
	data, err := describe(types.MediaType(a.Type), a.Data)
	if err != nil {
		return data, err
	}
	m, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.Type,
		Config: config, Layers: []v1.Descriptor{data}, Subject: &subject,
		Annotations: map[string]string{"org.opencontainers.image.created": t.Plan.Created},
	})
	if err != nil {
		return v1.Descriptor{}, fmt.Errorf("writing the manifest of the %s: %w", a.Title, err)
	}
	d, err := describe(types.OCIManifestSchema1, m)
	if err != nil {
		return d, err
	}
	d.ArtifactType = a.Type
	if now, err := t.tagged(ctx, d.Digest.String()); err != nil || now != "" {
		return d, err
	}
	_, err = t.put(ctx, d.Digest.String(), types.OCIManifestSchema1, m)
	return d, err
}

func describe(mediaType types.MediaType, b []byte) (v1.Descriptor, error) {
	h, err := v1.NewHash(oci.Digest(b))
	return v1.Descriptor{MediaType: mediaType, Digest: h, Size: int64(len(b))}, err
}

// refer sees to it that who has the image finds the artifact. Registries of OCI 1.1 do
// that by themselves; in others a tag made of the image's digest lists them:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema
func (t *target) refer(ctx context.Context, d v1.Descriptor) error {
	var index v1.IndexManifest
	b, err := t.get(ctx, t.url("referrers/%s", t.image.Digest))
	if err == nil && json.Unmarshal(b, &index) == nil && lists(index, d) {
		return nil
	}
	tag := strings.Replace(t.image.Digest, ":", "-", 1)
	if b, err = t.manifest(ctx, tag); err != nil {
		return err
	}
	index = v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	if b != nil {
		if err := json.Unmarshal(b, &index); err != nil || index.MediaType != types.OCIImageIndex {
			return fmt.Errorf("the tag %s of %s, which lists what is attached to an image, is no list: remove it", tag, t.repo)
		}
	}
	if lists(index, d) {
		return nil
	}
	index.Manifests = append(index.Manifests, d)
	if b, err = json.Marshal(index); err != nil {
		return fmt.Errorf("writing the list of what is attached: %w", err)
	}
	_, err = t.put(ctx, tag, types.OCIImageIndex, b)
	return err
}

func lists(index v1.IndexManifest, d v1.Descriptor) bool {
	return slices.ContainsFunc(index.Manifests, func(m v1.Descriptor) bool { return m.Digest == d.Digest })
}
