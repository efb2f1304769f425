// Package layer turns a plan into layers: which path goes into which, the tar stream of
// each, its digests, and the memory of digests that spares reading a path twice.
//
// A layer is a function of the store paths in it and of nothing else, so that two images
// with the same CUDA share its layers, whoever built them, and a host that has the one
// fetches little of the other.
package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// Format is the version of the tar stream that a layer is written as. Whatever changes a
// byte of it raises the number, which is part of every Key.
const Format = 1

// Layer is what one layer of the image holds.
type Layer struct {
	// Name is for people: "cuda_cudart-12.8", "packages 3 of 8", "rootfs".
	Name string
	// Group is the name of the plan's group that the paths belong to.
	Group string
	// Key stands for the content: hexadecimal digits, the same for the same paths.
	Key string
	// Items are in the order of the tar stream.
	Items []Item
	// Made are files that no store path holds, sorted by name.
	Made []Made
	// Size is about how many bytes the layer has.
	Size int64
}

// Item is a store path, or a part of it, at its place in the image.
type Item struct {
	plan.Path
	// Target is where it goes: the store path itself, "/" or a file.
	Target string
	// Part counts from 0 where the path is split into Parts, which is 0 otherwise.
	Part, Parts int
	// Modes are those of a root file system that are not 0755 or 0644, by the path in the
	// image. It is nil in the store, where modes are 0555 and 0444.
	Modes map[string]string
	// Owners are those of a root file system that are not root, as UID:GID, by the path in
	// the image.
	Owners map[string]string
}

// Made is a file, directory or symbolic link of which the plan says all.
type Made struct {
	Name string // without a slash in front
	Mode int64
	Dir  bool
	Link string
	Data []byte
}

// key is the sum over everything that the tar stream is a function of.
func (l Layer) key() string {
	h := sha256.New()
	fmt.Fprintf(h, "nix2vast layer %d\n", Format)
	for _, i := range l.Items {
		fmt.Fprintf(h, "item %q %q %q %d/%d %q\n", i.Path.Path, i.NarHash, i.Target, i.Part, i.Parts, i.Modes)
		if len(i.Owners) > 0 { // layers of a time before owners keep their keys
			fmt.Fprintf(h, "owners %q\n", i.Owners)
		}
	}
	for _, m := range l.Made {
		fmt.Fprintf(h, "made %q %o %v %q %q\n", m.Name, m.Mode, m.Dir, m.Link, m.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
