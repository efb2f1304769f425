package layer

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// storePathOf is a store path with a hash of seed.
func storePathOf(seed, title string) string {
	const alphabet = "0123456789abcdfghijklmnpqrsvwxyz"
	sum := sha256.Sum256([]byte(seed))
	b := make([]byte, 32)
	for i := range b {
		b[i] = alphabet[sum[i]%32]
	}
	return plan.StoreDir + "/" + string(b) + "-" + title
}

func hashOf(seed string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(seed))) }

// aPath is a path of a size that needs some others.
func aPath(title string, size int64, needs ...string) plan.Path {
	return plan.Path{Path: storePathOf(title, title), NarHash: hashOf(title), NarSize: size, References: needs}
}

// randomPlan is an image of n packages: sizes from 1 KiB to largest, each package needs
// some that came before.
func randomPlan(r *rand.Rand, n int, largest int64) plan.Plan {
	p := plan.Plan{
		Version: plan.Version, Name: "random", Created: "1970-01-01T00:00:01Z", Architecture: "amd64",
		Config: v1.Config{Cmd: []string{"/init"}}, Database: true,
		Rootfs: plan.Rootfs{Path: aPath("rootfs", 40<<10), Modes: map[string]string{"/etc/shadow": "0600"}},
		Files:  []plan.File{{Path: aPath("init", 9<<20), Target: "/init", Mode: "0755"}},
	}
	for i := range n {
		size := int64(1024 * math.Pow(float64(largest)/1024, r.Float64()))
		c := aPath(fmt.Sprintf("package%d-%d.%d", i*7/8, r.IntN(9), r.IntN(20)), size)
		c.Path = storePathOf(fmt.Sprint(i, c.Path), c.Title()) // several may share a name
		for range r.IntN(4) {
			if i > 0 {
				c.References = append(c.References, p.Closure[r.IntN(i)].Path)
			}
		}
		if r.IntN(3) == 0 {
			c.References = append(c.References, c.Path)
		}
		slices.Sort(c.References)
		c.References = slices.Compact(c.References)
		p.Closure = append(p.Closure, c)
	}
	for _, name := range []string{"base", "cuda", "services"} {
		g := plan.Group{Name: name}
		for range r.IntN(3) {
			g.Roots = append(g.Roots, p.Closure[r.IntN(n)].Path)
		}
		p.Groups = append(p.Groups, g)
	}
	for range 5 {
		p.Rootfs.References = append(p.Rootfs.References, p.Closure[r.IntN(n)].Path)
	}
	slices.SortFunc(p.Closure, func(a, b plan.Path) int { return cmp.Compare(a.Path, b.Path) })
	return p
}

// rebuilt is the plan with a new version of one path, and so of all that need it.
func rebuilt(p plan.Plan, path string) (now plan.Plan, changed map[string]bool) {
	changed = map[string]bool{path: true}
	for again := true; again; {
		again = false
		for _, c := range p.Closure {
			if !changed[c.Path] && slices.ContainsFunc(c.References, func(r string) bool { return changed[r] }) {
				changed[c.Path], again = true, true
			}
		}
	}
	renamed := func(list []string) []string {
		list = slices.Clone(list)
		for i, r := range list {
			if changed[r] {
				list[i] = storePathOf("rebuilt"+r, plan.Path{Path: r}.Title())
			}
		}
		return list
	}
	now = p
	now.Closure = slices.Clone(p.Closure)
	for i, c := range now.Closure {
		if changed[c.Path] {
			c.NarHash = hashOf("rebuilt" + c.NarHash)
		}
		c.Path, c.References = renamed([]string{c.Path})[0], renamed(c.References)
		now.Closure[i] = c
	}
	now.Groups = slices.Clone(p.Groups)
	for i, g := range now.Groups {
		now.Groups[i].Roots = renamed(g.Roots)
	}
	now.Rootfs.References = renamed(p.Rootfs.References)
	return now, changed
}

// eachRandom runs a check on many images; the name of the test tells the seed.
func eachRandom(t *testing.T, check func(t *testing.T, r *rand.Rand, p plan.Plan)) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			check(t, r, randomPlan(r, 1+r.IntN(400), 1<<(20+r.IntN(12))))
		})
	}
}

// layersOf plans an image that must be possible.
func layersOf(t *testing.T, p plan.Plan) []Layer {
	t.Helper()
	list, err := Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func keys(list []Layer) map[string]bool {
	m := map[string]bool{}
	for _, l := range list {
		m[l.Key] = true
	}
	return m
}
