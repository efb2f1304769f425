package registry

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// required are the fields that https://github.com/spdx/spdx-spec/blob/support/2.3/schemas/spdx-schema.json
// wants, by where they are.
var required = map[string][]string{
	"":                      {"SPDXID", "creationInfo", "dataLicense", "name", "spdxVersion"},
	"creationInfo":          {"created", "creators"},
	"packages":              {"SPDXID", "downloadLocation", "name"},
	"packages/checksums":    {"algorithm", "checksumValue"},
	"packages/externalRefs": {"referenceCategory", "referenceLocator", "referenceType"},
	"relationships":         {"relatedSpdxElement", "relationshipType", "spdxElementId"},
}

func wantFields(t *testing.T, at string, v any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			wantFields(t, at, e)
		}
	case map[string]any:
		for _, f := range required[at] {
			if s, ok := v[f]; !ok || s == "" {
				t.Errorf("%s has no %s: %v", at, f, v)
			}
		}
		for f, e := range v {
			wantFields(t, strings.TrimPrefix(at+"/"+f, "/"), e)
		}
	}
}

func TestSBOM(t *testing.T) {
	_, p := sample(t)
	b, err := SBOM(p)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := SBOM(p); string(again) != string(b) {
		t.Error("the second SBOM of a plan is another one")
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	wantFields(t, "", v)
	var d spdxDocument
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`^SPDXRef-[a-zA-Z0-9.-]+$`)
	ids := []string{"SPDXRef-DOCUMENT"}
	for _, q := range d.Packages {
		if !id.MatchString(q.ID) || slices.Contains(ids, q.ID) {
			t.Errorf("the id %q is used, or none", q.ID)
		}
		ids = append(ids, q.ID)
	}
	for _, r := range d.Relationships {
		if !slices.Contains(ids, r.From) || !slices.Contains(ids, r.To) || r.From == r.To {
			t.Errorf("%v leads nowhere", r)
		}
	}
	bash := d.Packages[slices.IndexFunc(d.Packages, func(q spdxPackage) bool { return q.Name == "bash" })]
	lib := d.Packages[slices.IndexFunc(d.Packages, func(q spdxPackage) bool { return q.Name == "libcuda" })]
	if len(d.Packages) != 5 || bash.Version != "5.2-p37" || "sha256:"+bash.Checksums[0].Value != p.Closure[1].NarHash {
		t.Errorf("%d packages, bash is %+v", len(d.Packages), bash)
	}
	if !slices.Contains(d.Relationships, spdxRelationship{bash.ID, "DEPENDS_ON", lib.ID}) {
		t.Errorf("bash does not depend on libcuda: %v", d.Relationships)
	}
}

func TestSplit(t *testing.T) {
	for title, want := range map[string][2]string{
		"bash-5.2-p37": {"bash", "5.2-p37"}, "glibc": {"glibc", ""}, "gcc-wrapper-12.3.0": {"gcc-wrapper", "12.3.0"},
		"python3.11-numpy-1.26": {"python3.11-numpy", "1.26"}, "a-": {"a-", ""}, "": {"", ""}, "x--1": {"x", "-1"},
	} {
		if name, version := split(title); name != want[0] || version != want[1] {
			t.Errorf("%s is %s and %s", title, name, version)
		}
	}
}

func TestProvenance(t *testing.T) {
	_, p := sample(t)
	image := Subject{"ghcr.io/owner/sample", "sha256:" + strings.Repeat("a", 64)}
	b, err := Provenance(p, "sha256:"+strings.Repeat("b", 64), image)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := Provenance(p, "sha256:"+strings.Repeat("b", 64), image); string(again) != string(b) {
		t.Error("the second provenance of an image is another one")
	}
	var s statement
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	def := s.Predicate.Definition
	if s.Subject[0].Digest["sha256"] != strings.Repeat("a", 64) || def.Parameters.Plan.Digest["sha256"] != strings.Repeat("b", 64) ||
		len(def.Dependencies) != 4 || s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" ||
		def.Type == "" || s.Predicate.Details.Builder.ID == "" {
		t.Errorf("%s", b)
	}
	for _, path := range contents(p) {
		if !slices.ContainsFunc(def.Dependencies, func(r resource) bool {
			return r.URI == "nix:"+path.Path && "sha256:"+r.Digest[narHash] == path.NarHash
		}) {
			t.Errorf("%s is not among what the image was made of", path.Path)
		}
	}
}

// TestContents has each path once, whatever place of the plan it is in.
func TestContents(t *testing.T) {
	a, b := plan.Path{Path: "/nix/store/a"}, plan.Path{Path: "/nix/store/b"}
	p := plan.Plan{Closure: []plan.Path{b, a}, Rootfs: plan.Rootfs{Path: a}, Files: []plan.File{{Path: b}}}
	if got := contents(p); len(got) != 2 || got[0].Path != a.Path || got[1].Path != b.Path {
		t.Errorf("%v", got)
	}
}
