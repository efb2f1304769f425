package main

import (
	"cmp"
	"regexp"
	"slices"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// What became of a layer.
const (
	kept    = "kept"
	changed = "changed"
	added   = "added"
)

// comparison is what differs from an older plan.
type comparison struct {
	Name    string `json:"name"`
	Tag     string `json:"tag"`
	Kept    int    `json:"kept"`
	Changed int    `json:"changed"`
	Added   int    `json:"added"`
	// Removed are layers of the older plan that nothing took the place of.
	Removed []inspectedLayer `json:"removed"`
	// Send is how many bytes a host lacks that has the older image: of compressed layers
	// where the cache knows their sizes.
	Send int64 `json:"send"`
	// Packages are those whose store paths differ.
	Packages []plan.Change `json:"packages"`
}

// place is what a layer is called whatever version is in it, and into however many it was
// divided.
type place struct{ group, name string }

// numbered is the end of the name of a layer that is one of several.
var numbered = regexp.MustCompile(` [0-9]+ of [0-9]+$`)

func (l inspectedLayer) place() place {
	name, _ := plan.Package(numbered.ReplaceAllString(l.Name, ""))
	return place{l.Group, name}
}

// compare says of each layer what became of it. A layer is the same by its key; one that
// took the place of another is changed.
func compare(layers, old []inspectedLayer) *comparison {
	c := &comparison{Removed: []inspectedLayer{}}
	before := map[string]bool{}
	for _, l := range old {
		before[l.Key] = true
	}
	after := map[string]bool{}
	for _, l := range layers {
		after[l.Key] = true
	}
	free := map[place][]inspectedLayer{}
	for _, l := range old {
		if !after[l.Key] {
			free[l.place()] = append(free[l.place()], l)
		}
	}
	for i := range layers {
		l := &layers[i]
		at := l.place()
		switch {
		case before[l.Key]:
			l.Change = kept
			c.Kept++
			continue
		case len(free[at]) > 0:
			l.Change = changed
			free[at] = free[at][1:]
			c.Changed++
		default:
			l.Change = added
			c.Added++
		}
		c.Send += l.travels()
	}
	for _, left := range free {
		c.Removed = append(c.Removed, left...)
	}
	slices.SortFunc(c.Removed, func(a, b inspectedLayer) int { return cmp.Compare(a.Number, b.Number) })
	return c
}
