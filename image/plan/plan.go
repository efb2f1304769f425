// Package plan describes an image before it is made: what is in it, by store path and
// hash, and how it is to be started. A plan is one JSON file that a Nix build writes. It
// holds no byte of the image: those stay in the Nix store until somebody wants them.
package plan

import (
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Version is the version of Plan that this program writes and reads.
const Version = 1

// StoreDir is where the store is in every image.
const StoreDir = "/nix/store"

// Plan is an image that is yet to be made.
type Plan struct {
	Version int `json:"version"`

	// Name is the last part of the repository, such as "sample".
	Name string `json:"name"`
	// Tag is the tag that names this very image; Tags are further names of it.
	Tag  string   `json:"tag"`
	Tags []string `json:"tags,omitempty"`
	// Registries are where a push without a destination goes, without the name: "ghcr.io/owner".
	Registries []string `json:"registries,omitempty"`

	// Architecture is that of the image, in Go's words: amd64, arm64.
	Architecture string `json:"architecture"`
	// Created is the time that the image tells, in RFC 3339. It is no reading of a clock:
	// the same inputs are the same image.
	Created string `json:"created"`
	// Config is how the container is started: the "config" of
	// https://github.com/opencontainers/image-spec/blob/main/config.md.
	Config v1.Config `json:"config"`
	// Annotations are those of the manifest.
	Annotations map[string]string `json:"annotations,omitempty"`

	// Closure is every store path of the image, sorted by path; of Rootfs and Files
	// only what they refer to.
	Closure []Path `json:"closure"`
	// Groups say which paths change together, from what changes least to what changes
	// most. A path belongs to the first group whose roots need it, or to none.
	Groups []Group `json:"groups,omitempty"`
	// Rootfs is the tree that becomes /.
	Rootfs Rootfs `json:"rootfs"`
	// Files are single files that are not in the store of the image, such as /init.
	Files []File `json:"files,omitempty"`
	// Database says that the image gets what its Nix needs to know its store:
	// /nix-path-registration, and roots for the garbage collector.
	Database bool `json:"database,omitempty"`

	Layers Limits `json:"layers"`
}

// Path is a store path and what Nix knows of it.
type Path struct {
	Path string `json:"path"`
	// NarHash is "sha256:" and 64 hexadecimal digits.
	NarHash string `json:"narHash"`
	// NarSize is in bytes.
	NarSize    int64    `json:"narSize"`
	References []string `json:"references,omitempty"`
}

// Base is the path without the store: hash, name and version.
func (p Path) Base() string { return path.Base(p.Path) }

// Title is Base without the hash.
func (p Path) Title() string {
	_, title, _ := strings.Cut(p.Base(), "-")
	return title
}

// Group is a set of paths by what needs them.
type Group struct {
	Name  string   `json:"name"`
	Roots []string `json:"roots"`
}

// Rootfs is a store path whose content becomes /. Its directories get mode 0755, its files
// 0644, or 0755 where they may be executed, since the store keeps no more than that.
type Rootfs struct {
	Path
	// Modes are the exceptions, in octal: "/etc/shadow": "0600".
	Modes map[string]string `json:"modes,omitempty"`
	// Owners are those of what does not belong to root, by number: "/srv/data": "1000:100".
	Owners map[string]string `json:"owners,omitempty"`
}

// File is a store path that is one regular file and is copied to Target.
type File struct {
	Path
	Target string `json:"target"`
	// Mode is in octal, such as "0755".
	Mode string `json:"mode"`
}

// Limits are what the planner of layers goes by. Zero values stand for the defaults
// of package layer.
type Limits struct {
	// Max is how many layers there may be, all together.
	Max int `json:"max,omitempty"`
	// Own is the size in bytes from which a path is a layer of its own.
	Own int64 `json:"own,omitempty"`
	// Part is the size in bytes above which a path is split into several layers.
	Part int64 `json:"part,omitempty"`
}
