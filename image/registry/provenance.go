package registry

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// ProvenanceType is the media type of a provenance.
const ProvenanceType = "application/vnd.in-toto+json"

// The parts that are used of https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
// and https://slsa.dev/spec/v1.0/provenance
type (
	statement struct {
		Type          string     `json:"_type"`
		Subject       []resource `json:"subject"`
		PredicateType string     `json:"predicateType"`
		Predicate     predicate  `json:"predicate"`
	}
	resource struct {
		Name   string            `json:"name,omitempty"`
		URI    string            `json:"uri,omitempty"`
		Digest map[string]string `json:"digest"`
	}
	predicate struct {
		Definition definition `json:"buildDefinition"`
		Details    details    `json:"runDetails"`
	}
	definition struct {
		Type         string     `json:"buildType"`
		Parameters   parameters `json:"externalParameters"`
		Dependencies []resource `json:"resolvedDependencies"`
	}
	parameters struct {
		Name         string   `json:"name"`
		Tag          string   `json:"tag"`
		Architecture string   `json:"architecture"`
		Plan         resource `json:"plan"`
	}
	details struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
	}
)

// narHash is how a digest of a NAR is called: in-toto's "sha256" is that of a file.
const narHash = "narSha256"

// Provenance says what an image was made of: an unsigned statement of in-toto with the
// plan, whose digest planDigest is that of its file, and each store path. It is the same for
// the same plan and image.
func Provenance(p plan.Plan, planDigest string, image Subject) ([]byte, error) {
	hex := func(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
	s := statement{
		Type:          "https://in-toto.io/Statement/v1",
		Subject:       []resource{{Name: image.Repository, Digest: map[string]string{"sha256": hex(image.Digest)}}},
		PredicateType: "https://slsa.dev/provenance/v1",
	}
	s.Predicate.Definition = definition{Type: home + "/image/v1", Parameters: parameters{
		Name: p.Name, Tag: p.Tag, Architecture: p.Architecture,
		Plan: resource{Name: "plan", Digest: map[string]string{"sha256": hex(planDigest)}},
	}}
	for _, path := range contents(p) {
		s.Predicate.Definition.Dependencies = append(s.Predicate.Definition.Dependencies,
			resource{Name: path.Base(), URI: "nix:" + path.Path, Digest: map[string]string{narHash: hex(path.NarHash)}})
	}
	s.Predicate.Details.Builder.ID = home
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("writing the provenance: %w", err)
	}
	return b, nil
}
