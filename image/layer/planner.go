package layer

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// What the plan's limits are where it sets none, in layers and bytes. Docker's overlay2
// refuses an image of more than 125 layers, and whoever builds on ours adds some.
const (
	DefaultMax  = 100
	DefaultOwn  = 32 << 20
	DefaultPart = 512 << 20
	// HighestMax is the most that a plan may ask for.
	HighestMax = 120
)

// bucketSize is how large a layer of small paths may get, in bytes.
const bucketSize = 64 << 20

// others is the group of the paths that no group of the plan needs.
const others = "packages"

// Plan divides an image into layers, from the bottom up: each group of the plan with its
// large paths and its buckets of small ones, then what belongs to no group, then what the
// image's Nix reads, the single files, and the root file system. It reads the plan only,
// no file, and its result does not depend on the order of the plan's closure.
func Plan(p plan.Plan) ([]Layer, error) {
	l, err := limitsOf(p.Layers)
	if err != nil {
		return nil, err
	}
	c, err := survey(p)
	if err != nil {
		return nil, err
	}
	top := c.top(p)
	for {
		list := append(c.layers(l), top...)
		if len(list) <= l.count {
			for i := range list {
				list[i].Key = list[i].key()
			}
			return list, nil
		}
		if l.own > c.total && l.bucket > c.total && l.part > c.total {
			return nil, fmt.Errorf("the image needs %d layers at least, and may have %d: there are %d groups with paths, and %d layers above them",
				len(list), l.count, len(list)-len(top), len(top))
		}
		l = l.double(c.total)
	}
}

// limits are the plan's, with defaults filled in: a number of layers, and bytes.
type limits struct {
	count             int
	own, bucket, part int64
}

func limitsOf(p plan.Limits) (limits, error) {
	l := limits{cmp.Or(p.Max, DefaultMax), cmp.Or(p.Own, DefaultOwn), bucketSize, cmp.Or(p.Part, DefaultPart)}
	switch {
	case l.count < 0 || l.count > HighestMax:
		return l, fmt.Errorf("the plan asks for %d layers: an image may have 1 to %d, since Docker refuses more than 125", l.count, HighestMax)
	case l.own < 0 || l.part < 0:
		return l, fmt.Errorf("the plan's limits of %d and %d bytes for a layer are not sizes", l.own, l.part)
	}
	return l, nil
}

// double makes for fewer layers. What is larger than all there is has no need to grow.
func (l limits) double(total int64) limits {
	for _, n := range []*int64{&l.own, &l.bucket} {
		if *n <= total {
			*n *= 2
		}
	}
	l.part = max(l.part, l.own)
	if l.own > total {
		l.part = max(l.part, total+1)
	}
	return l
}

// layers are those of the closure.
func (c *closure) layers(l limits) []Layer {
	var list []Layer
	for _, g := range c.groups {
		var small []plan.Path
		for _, p := range g.paths {
			if p.NarSize < l.own && p.NarSize <= l.part {
				small = append(small, p)
				continue
			}
			list = append(list, whole(p, g.name, int((p.NarSize+l.part-1)/l.part))...)
		}
		list = append(list, buckets(g.name, small, l.bucket)...)
	}
	return list
}

// whole are the layers of a path that shares none.
func whole(p plan.Path, group string, parts int) []Layer {
	parts = max(parts, 1)
	list := make([]Layer, parts)
	for i := range list {
		list[i] = Layer{
			Name: p.Title(), Group: group, Size: p.NarSize / int64(parts),
			Items: []Item{{Path: p, Target: p.Path}},
		}
		if parts > 1 {
			list[i].Items[0].Part, list[i].Items[0].Parts = i, parts
			list[i].Name += fmt.Sprintf(" %d of %d", i+1, parts)
		}
	}
	return list
}

// top are the layers above the closure.
func (c *closure) top(p plan.Plan) []Layer {
	var list []Layer
	if p.Database {
		list = append(list, c.database())
	}
	files := slices.SortedFunc(slices.Values(p.Files), func(a, b plan.File) int { return cmp.Compare(a.Target, b.Target) })
	for _, f := range files {
		list = append(list, Layer{
			Name: path.Base(f.Target), Size: f.NarSize,
			Items: []Item{{Path: f.Path, Target: f.Target, Modes: map[string]string{f.Target: f.Mode}}},
		})
	}
	modes := maps.Clone(p.Rootfs.Modes)
	if modes == nil {
		modes = map[string]string{} // nil stands for a store path
	}
	return append(list, Layer{
		Name: "rootfs", Size: p.Rootfs.NarSize,
		Items: []Item{{Path: p.Rootfs.Path, Target: "/", Modes: modes, Owners: p.Rootfs.Owners}},
	})
}
