package registry

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// SPDXType is the media type of an SBOM.
const SPDXType = "application/spdx+json"

// home is where this program's names are.
const home = "https://github.com/fleek-platform/nix2vast"

// The parts of SPDX 2.3 that are used: https://spdx.github.io/spdx-spec/v2.3/
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		License       string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID        string         `json:"SPDXID"`
		Name      string         `json:"name"`
		Version   string         `json:"versionInfo,omitempty"`
		Location  string         `json:"downloadLocation"`
		Analyzed  bool           `json:"filesAnalyzed"`
		Checksums []spdxChecksum `json:"checksums,omitempty"`
		Refs      []spdxRef      `json:"externalRefs,omitempty"`
		Purpose   string         `json:"primaryPackagePurpose,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

const spdxImage = "SPDXRef-image"

// SBOM lists the store paths of an image and what needs what, as SPDX 2.3 in JSON: the
// same bytes for the same plan. A package's checksum is its NAR hash.
func SBOM(p plan.Plan) ([]byte, error) {
	plain, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	d := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: p.Name + "-" + p.Tag,
		Namespace: fmt.Sprintf("%s/spdx/%s-%x", home, p.Name, sha256.Sum256(plain)),
		Creation:  spdxCreation{p.Created, []string{"Tool: nix2vast"}},
		Packages: []spdxPackage{{
			ID: spdxImage, Name: p.Name, Version: p.Tag, Location: "NOASSERTION", Purpose: "CONTAINER",
		}},
		Relationships: []spdxRelationship{{"SPDXRef-DOCUMENT", "DESCRIBES", spdxImage}},
	}
	paths := contents(p)
	for _, path := range paths {
		d.Packages = append(d.Packages, spdxOf(path))
		d.Relationships = append(d.Relationships, spdxRelationship{spdxImage, "CONTAINS", spdxID(path)})
	}
	for _, path := range paths {
		for _, r := range path.References {
			// A path need not refer to one of the image: of /init only the content is in it.
			i := slices.IndexFunc(paths, func(o plan.Path) bool { return o.Path == r })
			if i >= 0 && r != path.Path {
				d.Relationships = append(d.Relationships, spdxRelationship{spdxID(path), "DEPENDS_ON", spdxID(paths[i])})
			}
		}
	}
	b, err := json.MarshalIndent(d, "", " ")
	return append(b, '\n'), err
}

// contents is every store path whose content is in the image, sorted, each once.
func contents(p plan.Plan) []plan.Path {
	list := append(slices.Clone(p.Closure), p.Rootfs.Path)
	for _, f := range p.Files {
		list = append(list, f.Path)
	}
	slices.SortFunc(list, func(a, b plan.Path) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(list, func(a, b plan.Path) bool { return a.Path == b.Path })
}

func spdxOf(path plan.Path) spdxPackage {
	name, version := split(path.Title())
	return spdxPackage{
		ID: spdxID(path), Name: name, Version: version, Location: "NOASSERTION",
		Checksums: []spdxChecksum{{"SHA256", strings.TrimPrefix(path.NarHash, "sha256:")}},
		Refs:      []spdxRef{{"OTHER", "nix-store-path", path.Path}},
	}
}

// spdxID has letters, digits, dots and hyphens only.
func spdxID(path plan.Path) string {
	return "SPDXRef-" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, path.Base())
}

// split does what Nix' parseDrvName does: the version begins behind the first hyphen that no
// letter follows.
func split(title string) (name, version string) {
	for i := 0; i+1 < len(title); i++ {
		next := title[i+1] | 0x20 // lower case
		if title[i] == '-' && (next < 'a' || next > 'z') {
			return title[:i], title[i+1:]
		}
	}
	return title, ""
}
