// Package stage writes an image as a fixed number of folders, for the COPY lines of a
// Dockerfile, which cannot loop. Each folder becomes one layer of that image.
package stage

import (
	"fmt"
	"strings"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// DefaultFolders is how many COPY lines the Dockerfile.nix of this repository has.
const DefaultFolders = 16

// Folder is what one folder holds: some layers, one, or none.
type Folder struct {
	// Name is for people.
	Name string
	// Key stands for the content, and is "" where there is none.
	Key string
	// Size is about how many bytes it has.
	Size   int64
	Layers []layer.Layer
}

// Split divides an image into exactly n folders, in the order of its layers: store paths
// come first, then files, then the root file system, which changes most. What is left over
// is empty and comes last, since Docker's builder before BuildKit fails at a COPY line after
// one that copied nothing, https://github.com/moby/moby/issues/40591.
func Split(p plan.Plan, n int) ([]Folder, error) {
	if n < 1 || n > 100 {
		return nil, fmt.Errorf("%d folders are none, or more than the 100 layers that every engine takes", n)
	}
	p.Layers.Max = n
	layers, err := layer.Plan(p)
	if err != nil {
		// So few may be more than the planner can do; what is too much is folded here.
		p.Layers.Max = 0
		if layers, err = layer.Plan(p); err != nil {
			return nil, err
		}
	}
	list := make([]Folder, 0, n)
	for _, l := range layers {
		list = append(list, Folder{Layers: []layer.Layer{l}, Size: l.Size})
	}
	list = fold(list, n)
	list = append(list, make([]Folder, n-len(list))...)
	for i := range list {
		list[i].describe()
	}
	return list, nil
}

// store is how many folders there are up to the last one with store paths.
func store(list []Folder) int {
	for i := len(list) - 1; i >= 0; i-- {
		for _, l := range list[i].Layers {
			for _, item := range l.Items {
				if item.Target == item.Path.Path {
					return i + 1
				}
			}
		}
	}
	return 0
}

// fold joins neighbours, the smallest ones first and store paths before anything else,
// until there are no more than n.
func fold(list []Folder, n int) []Folder {
	for len(list) > n {
		pairs := store(list) - 1
		if pairs < 1 {
			pairs = len(list) - 1
		}
		best := 0
		for i := 1; i < pairs; i++ {
			if list[i].Size+list[i+1].Size < list[best].Size+list[best+1].Size {
				best = i
			}
		}
		one := &list[best]
		one.Layers = append(one.Layers, list[best+1].Layers...)
		one.Size += list[best+1].Size
		list = append(list[:best+1], list[best+2:]...)
	}
	return list
}

func (f *Folder) describe() {
	var names, keys []string
	for _, l := range f.Layers {
		names, keys = append(names, l.Name), append(keys, l.Key)
	}
	f.Name, f.Key = strings.Join(names, ", "), strings.Join(keys, " ")
}
