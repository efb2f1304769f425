package layer

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// buckets packs small paths into layers, by the hashes of their packages' names, bit by
// bit: whatever is too large for one layer becomes two, by the next bit. So a path stays
// where it is whatever happens to others, as long as no bucket near it overflows, and a new
// version of a package goes where the old one was.
func buckets(group string, paths []plan.Path, limit int64) []Layer {
	list := make([]hashed, len(paths))
	for i, p := range paths {
		list[i] = hashed{p, sha256.Sum256([]byte(packageName(p.Title())))}
	}
	var layers []Layer
	split(list, 0, limit, func(bucket []hashed) {
		slices.SortFunc(bucket, func(a, b hashed) int { return cmp.Compare(a.Path.Path, b.Path.Path) })
		l := Layer{Name: group, Group: group}
		for _, p := range bucket {
			l.Items = append(l.Items, Item{Path: p.Path, Target: p.Path.Path})
			l.Size += p.NarSize
		}
		layers = append(layers, l)
	})
	for i := range layers {
		if len(layers) > 1 {
			layers[i].Name = fmt.Sprintf("%s %d of %d", group, i+1, len(layers))
		}
	}
	return layers
}

type hashed struct {
	plan.Path
	sum [sha256.Size]byte
}

func (h hashed) bit(n int) int { return int(h.sum[n/8]>>(7-n%8)) & 1 }

// split calls use with what fits into a bucket, or is one package.
func split(list []hashed, depth int, limit int64, use func([]hashed)) {
	if len(list) == 0 {
		return
	}
	var size int64
	same := true
	for _, p := range list {
		size += p.NarSize
		same = same && p.sum == list[0].sum
	}
	if size <= limit || same {
		use(list)
		return
	}
	var sides [2][]hashed
	for _, p := range list {
		sides[p.bit(depth)] = append(sides[p.bit(depth)], p)
	}
	split(sides[0], depth+1, limit, use)
	split(sides[1], depth+1, limit, use)
}

// packageName is what Nix takes for the name in a name with a version: all in front of the
// first hyphen that no letter follows.
func packageName(title string) string {
	for i := 0; i+1 < len(title); i++ {
		next := title[i+1] | 0x20 // in lower case, where it is a letter
		if title[i] == '-' && (next < 'a' || next > 'z') {
			return title[:i]
		}
	}
	return title
}
