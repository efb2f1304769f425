package layer

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// closure is what the planner knows of a plan's store paths.
type closure struct {
	sorted []plan.Path          // by path
	known  map[string]plan.Path // by path
	groups []group              // from the bottom up
	total  int64                // bytes
}

// group is the paths of one group of the plan. What is needed comes before what needs it,
// since a change of the one is a change of the other, but not the other way round.
type group struct {
	name  string
	paths []plan.Path
}

// survey checks that the plan holds together, and sorts the closure into groups.
func survey(p plan.Plan) (*closure, error) {
	c := &closure{sorted: slices.Clone(p.Closure), known: map[string]plan.Path{}}
	slices.SortFunc(c.sorted, func(a, b plan.Path) int { return cmp.Compare(a.Path, b.Path) })
	if err := c.check(p); err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, g := range p.Groups {
		needed := map[string]bool{}
		for _, root := range g.Roots {
			c.collect(root, needed)
		}
		c.add(g.Name, func(p plan.Path) bool { return needed[p.Path] && !taken[p.Path] }, taken)
	}
	c.add(others, func(p plan.Path) bool { return !taken[p.Path] }, taken)
	c.order()
	return c, nil
}

// collect adds a path and all that it needs.
func (c *closure) collect(path string, needed map[string]bool) {
	if needed[path] {
		return
	}
	needed[path] = true
	for _, r := range c.known[path].References {
		c.collect(r, needed)
	}
}

func (c *closure) add(name string, belongs func(plan.Path) bool, taken map[string]bool) {
	g := group{name: name}
	for _, p := range c.sorted {
		if belongs(p) {
			g.paths = append(g.paths, p)
			taken[p.Path] = true
		}
	}
	if len(g.paths) > 0 {
		c.groups = append(c.groups, g)
	}
}

// order sorts the groups by how far each path is from one that needs nothing.
func (c *closure) order() {
	height := map[string]int{}
	var measure func(path string) int
	measure = func(path string) int {
		if h, ok := height[path]; ok {
			return h
		}
		height[path] = 0 // of a path that needs itself
		h := 0
		for _, r := range slices.Sorted(slices.Values(c.known[path].References)) {
			if r != path {
				h = max(h, 1+measure(r))
			}
		}
		height[path] = h
		return h
	}
	for _, p := range c.sorted {
		measure(p.Path)
	}
	for _, g := range c.groups {
		slices.SortFunc(g.paths, func(a, b plan.Path) int {
			return cmp.Or(cmp.Compare(height[a.Path], height[b.Path]),
				cmp.Compare(a.Title(), b.Title()), cmp.Compare(a.Path, b.Path))
		})
	}
}

// storePath has the alphabets of Nix' hashes and names.
var storePath = regexp.MustCompile(`^` + plan.StoreDir + `/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+\-._?=]+$`)

// octal is a mode that chmod(1) would take.
var octal = regexp.MustCompile(`^[0-7]{3,4}$`)

// check refuses a plan that does not hold together, and names all that is wrong.
func (c *closure) check(p plan.Plan) error {
	var wrong problems
	for _, p := range c.sorted {
		if _, twice := c.known[p.Path]; twice {
			wrong.add("%s is in the closure twice", p.Path)
		}
		c.known[p.Path] = p
		c.total += p.NarSize
		wrong.path(p)
	}
	needs := func(by string, references []string) {
		for _, r := range references {
			if _, ok := c.known[r]; !ok && r != by {
				wrong.add("%s refers to %s, which is not in the closure", by, r)
			}
		}
	}
	for _, p := range c.sorted {
		needs(p.Path, p.References)
	}
	wrong.path(p.Rootfs.Path)
	wrong.modes(p.Rootfs.Modes)
	wrong.owners(p.Rootfs.Owners)
	needs(p.Rootfs.Path.Path, p.Rootfs.References)
	targets := map[string]bool{}
	for _, f := range p.Files {
		wrong.path(f.Path)
		wrong.modes(map[string]string{f.Target: f.Mode})
		needs(f.Path.Path, f.References)
		if f.Target == "/" || targets[f.Target] {
			wrong.add("%s cannot become %s, which is something else", f.Path.Path, f.Target)
		}
		targets[f.Target] = true
	}
	for _, g := range p.Groups {
		for _, r := range g.Roots {
			if _, ok := c.known[r]; !ok {
				wrong.add("the group %q has the root %s, which is not in the closure", g.Name, r)
			}
		}
	}
	return wrong.err()
}

// problems are sentences on what is wrong with a plan.
type problems []string

func (l *problems) add(format string, args ...any) { *l = append(*l, fmt.Sprintf(format, args...)) }

func (l *problems) path(p plan.Path) {
	switch {
	case !storePath.MatchString(p.Path):
		l.add("%q is no path of %s", p.Path, plan.StoreDir)
	case p.NarSize < 0:
		l.add("%s has %d bytes", p.Path, p.NarSize)
	}
}

func (l *problems) modes(modes map[string]string) {
	for name, mode := range modes {
		if path.Clean(name) != name || !path.IsAbs(name) {
			l.add("the target %q is no clean absolute path", name)
		}
		if !octal.MatchString(mode) {
			l.add("the mode %q of %s is no octal number such as 0755", mode, name)
		}
	}
}

func (l *problems) owners(owners map[string]string) {
	for name, text := range owners {
		if path.Clean(name) != name || !path.IsAbs(name) {
			l.add("the target %q is no clean absolute path", name)
		}
		if _, err := parseOwner(text); err != nil {
			l.add("the owner %q of %s is no UID:GID such as 1000:100", text, name)
		}
	}
}

// enough is how many problems one message has room for.
const enough = 20

func (l problems) err() error {
	if len(l) == 0 {
		return nil
	}
	slices.Sort(l)
	text := strings.Join(l[:min(len(l), enough)], "\n")
	if len(l) > enough {
		text += fmt.Sprintf("\nand %d more", len(l)-enough)
	}
	if len(l) == 1 {
		return errors.New("the plan does not hold together: " + text)
	}
	return errors.New("the plan does not hold together:\n" + text)
}
