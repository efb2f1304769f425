package layer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// Registration is where an image with a Nix database keeps what `nix-store --load-db` reads.
const Registration = "/nix-path-registration"

// roots is where an image keeps what its garbage collector must leave.
const roots = "nix/var/nix/gcroots/nix2vast/"

// database is the layer that the image's Nix needs to know its store. The database itself
// is made at boot of a text: it has no bytes that are the same everywhere.
func (c *closure) database() Layer {
	l := Layer{Name: "nix database"}
	l.Made = append(l.Made, Made{Name: Registration[1:], Mode: 0o644, Data: []byte(registration(c.sorted))})
	for _, dir := range []string{"db", "gcroots", "profiles", "temproots", "userpool"} {
		l.Made = append(l.Made, Made{Name: "nix/var/nix/" + dir, Mode: 0o755, Dir: true})
	}
	// With the number of the schema and without a database Nix does nothing: it would take
	// the whole store for garbage until init has loaded the registration.
	l.Made = append(l.Made, Made{Name: "nix/var/nix/db/schema", Mode: 0o644, Data: []byte("10")})
	needed := map[string]bool{}
	for _, p := range c.sorted {
		for _, r := range p.References {
			needed[r] = needed[r] || r != p.Path
		}
	}
	for _, p := range c.sorted {
		if !needed[p.Path] {
			l.Made = append(l.Made, Made{Name: roots + p.Base(), Link: p.Path})
		}
	}
	slices.SortFunc(l.Made, func(a, b Made) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range l.Made {
		l.Size += int64(len(m.Data))
	}
	return l
}

// registration is what `nix-store --dump-db` would write: for each path its hash without
// the name of the algorithm, its size, an empty line for the derivation, the number of
// references, and these.
func registration(paths []plan.Path) string {
	var b strings.Builder
	for _, p := range paths {
		fmt.Fprintf(&b, "%s\n%s\n%d\n\n%d\n", p.Path, strings.TrimPrefix(p.NarHash, "sha256:"), p.NarSize, len(p.References))
		for _, r := range slices.Sorted(slices.Values(p.References)) {
			fmt.Fprintln(&b, r)
		}
	}
	return b.String()
}
