package plan

import (
	"maps"
	"time"
)

// describe tells what the plan knows of the image, in the words of
// https://github.com/opencontainers/image-spec/blob/main/annotations.md, as labels for
// engines and as annotations for registries. What the author has set stays, and what is
// not known is left out: there is no base image, and an epoch is no time of creation.
func (p *Plan) describe(revision, source string) {
	const prefix = "org.opencontainers.image."
	known := map[string]string{
		prefix + "title":    p.Name,
		prefix + "version":  p.Tag,
		prefix + "revision": revision,
		prefix + "source":   source,
	}
	if t, err := time.Parse(time.RFC3339, p.Created); err == nil && t.Year() > 1980 { // Nix' epochs end there
		known[prefix+"created"] = p.Created
	}
	p.Config.Labels = with(p.Config.Labels, known)
	for key := range known { // a registry tells what an engine tells
		if label, ok := p.Config.Labels[key]; ok {
			known[key] = label
		}
	}
	known[prefix+"ref.name"] = p.Tag // of a manifest only
	p.Annotations = with(p.Annotations, known)
}

// with is set and what more has beside it, less what is empty.
func with(set, more map[string]string) map[string]string {
	all := maps.Clone(more)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	maps.Copy(all, set)
	return all
}
