package registry

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestAttach attaches an SBOM and a provenance, with and without the API for referrers.
func TestAttach(t *testing.T) {
	for _, api := range []bool{true, false} {
		f := newFront(t, memory.WithReferrersSupport(api))
		p := pusher(t, f.host())
		p.Artifacts = []func(Subject) (Artifact, error){
			func(Subject) (Artifact, error) {
				b, err := SBOM(p.Plan)
				return Artifact{"SBOM", SPDXType, b}, err
			},
			func(s Subject) (Artifact, error) {
				b, err := Provenance(p.Plan, "sha256:"+strings.Repeat("1", 64), s)
				return Artifact{"provenance", ProvenanceType, b}, err
			},
		}
		first := p.run(t)
		second := p.run(t)
		if a, b := first.Images[0].Referrers, second.Images[0].Referrers; len(a) != 2 || a[0] != b[0] || a[1] != b[1] {
			t.Errorf("referrers %v, then %v", a, b)
		}
		d, err := name.NewDigest(f.host() + "/owner/sample@" + first.Images[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		index, err := remote.Referrers(d)
		if err != nil {
			t.Fatal(err)
		}
		m, err := index.IndexManifest()
		if err != nil || len(m.Manifests) != 2 {
			t.Fatalf("API %v: %d referrers (%v)", api, len(m.Manifests), err)
		}
		for _, r := range m.Manifests {
			if api { // the registry for tests tells of the configuration's type here
				r.ArtifactType = ""
			}
			checkArtifact(t, d, r)
		}
	}
}

func checkArtifact(t *testing.T, image name.Digest, r v1.Descriptor) {
	t.Helper()
	got, err := remote.Get(image.Context().Digest(r.Digest.String()))
	if err != nil {
		t.Fatal(err)
	}
	var m v1.Manifest
	if err := json.Unmarshal(got.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	if m.Subject == nil || m.Subject.Digest.String() != image.DigestStr() || len(m.Layers) != 1 ||
		m.ArtifactType != SPDXType && m.ArtifactType != ProvenanceType {
		t.Errorf("the artifact is %s", got.Manifest)
	}
	if r.ArtifactType != "" && r.ArtifactType != m.ArtifactType {
		t.Errorf("the artifact's type is %q, and it is listed as %q", m.ArtifactType, r.ArtifactType)
	}
}
