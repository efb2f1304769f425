package plan

import (
	"cmp"
	"maps"
	"slices"
)

// Change is what became of one package between two plans.
type Change struct {
	Name string `json:"name"`
	// Old and New are its versions, sorted: none where it was added or removed, and the
	// same in both where it was only built anew. A package without a version has "".
	Old []string `json:"old"`
	New []string `json:"new"`
	// Delta is by how many bytes it grew.
	Delta int64 `json:"delta"`
}

// Rebuilt says that the package has other store paths, but no other version.
func (c Change) Rebuilt() bool { return slices.Equal(c.Old, c.New) }

// Diff lists the packages whose store paths differ, sorted by name.
func Diff(old, new Plan) []Change {
	before, after := packages(old.Closure), packages(new.Closure)
	var list []Change
	for name := range before {
		if _, ok := after[name]; !ok {
			after[name] = nil
		}
	}
	for name, paths := range after {
		if c, changed := compare(name, before[name], paths); changed {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func packages(closure []Path) map[string][]Path {
	m := map[string][]Path{}
	for _, p := range closure {
		name, _ := Package(p.Title())
		m[name] = append(m[name], p)
	}
	return m
}

func compare(name string, old, new []Path) (Change, bool) {
	c := Change{Name: name, Old: versions(old), New: versions(new)}
	left := map[string]string{}
	for _, p := range old {
		left[p.Path] = p.NarHash
		c.Delta -= p.NarSize
	}
	for _, p := range new {
		if left[p.Path] == p.NarHash {
			delete(left, p.Path)
		} else {
			left[p.Path] = p.NarHash
		}
		c.Delta += p.NarSize
	}
	return c, len(left) > 0
}

func versions(paths []Path) []string {
	set := map[string]bool{}
	for _, p := range paths {
		_, version := Package(p.Title())
		set[version] = true
	}
	list := slices.AppendSeq([]string{}, maps.Keys(set))
	slices.Sort(list)
	return list
}
