package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Attrs are the attributes of the derivation that a plan is the output of, as Nix hands
// them to a builder with __structuredAttrs. Those that Nix adds itself are left aside,
// https://nix.dev/manual/nix/latest/language/advanced-attributes#adv-attr-structuredAttrs.
type Attrs struct {
	// Outputs are the paths that Nix wants written, "out" among them.
	Outputs map[string]string `json:"outputs"`
	// Image is decoded strictly: a misspelt attribute is an error.
	Image json.RawMessage `json:"image"`
	// Graph is what exportReferencesGraph.graph tells of rootfs, files, roots of groups,
	// and all that they need.
	Graph graph `json:"graph"`
}

// image is the attribute set "image". What it has in common with Plan means the same.
type image struct {
	Name         string            `json:"name"`
	Tag          string            `json:"tag"`
	Tags         []string          `json:"tags"`
	Registries   []string          `json:"registries"`
	Architecture string            `json:"architecture"`
	Created      string            `json:"created"`
	Revision     string            `json:"revision"` // of the source, for the label
	Source       string            `json:"source"`   // its address, for the label
	Config       v1.Config         `json:"config"`
	Annotations  map[string]string `json:"annotations"`
	Groups       []Group           `json:"groups"`
	Rootfs       string            `json:"rootfs"`
	// Modes and Owners are a set each, or the path of a file that holds one.
	Modes  json.RawMessage `json:"modes"`
	Owners json.RawMessage `json:"owners"`
	Files  []struct {
		Path   string `json:"path"`
		Target string `json:"target"`
		Mode   string `json:"mode"`
	} `json:"files"`
	Database bool   `json:"database"`
	Layers   Limits `json:"layers"`
}

// epoch is the time of an image that tells none.
const epoch = "1970-01-01T00:00:01Z"

// graph is what Nix knows of store paths: a list of them as builders get it, or a set by
// path as `nix path-info --json` of newer versions writes it.
type graph map[string]Path

func (g *graph) UnmarshalJSON(b []byte) error {
	*g = graph{}
	var list []Path
	if len(b) > 0 && b[0] == '{' {
		var set map[string]Path
		if err := json.Unmarshal(b, &set); err != nil {
			return err
		}
		for name, p := range set {
			p.Path = name
			list = append(list, p)
		}
	} else if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, p := range list {
		(*g)[p.Path] = p
	}
	return nil
}

// Build makes the plan that attributes ask for. It calls read for the files that modes
// and owners are in, if there are some, and reads nothing else. What is wrong it says at once, as Problems.
func Build(b []byte, read func(path string) ([]byte, error)) (p Plan, out string, err error) {
	var a Attrs
	if err := json.Unmarshal(b, &a); err != nil {
		return p, "", err
	}
	if len(a.Image) == 0 {
		return p, "", fmt.Errorf("there is no attribute \"image\"")
	}
	var in image
	if err := decode(a.Image, &in); err != nil {
		return p, "", fmt.Errorf("the attribute image: %w", err)
	}
	p = Plan{
		Version: Version, Name: in.Name, Tag: in.Tag, Tags: in.Tags, Registries: in.Registries,
		Architecture: in.Architecture, Created: in.Created, Config: in.Config, Annotations: in.Annotations,
		Groups: in.Groups, Database: in.Database, Layers: in.Layers,
	}
	if p.Created == "" {
		p.Created = epoch
	}
	p.describe(in.Revision, in.Source)
	c := collector{graph: a.Graph, missing: map[string]bool{}, seen: map[string]bool{}}
	p.Rootfs.Path = c.root("rootfs", in.Rootfs)
	if p.Rootfs.Modes, err = byPath(in.Modes, read, "octal numbers"); err != nil {
		c.add("modes: %v", err)
	}
	if p.Rootfs.Owners, err = byPath(in.Owners, read, "UID:GID"); err != nil {
		c.add("owners: %v", err)
	}
	for _, f := range in.Files {
		p.Files = append(p.Files, File{Path: c.root("files", f.Path), Target: f.Target, Mode: f.Mode})
	}
	for _, g := range in.Groups {
		for _, root := range g.Roots {
			c.path("groups: the root of "+g.Name, root)
		}
	}
	p.Closure = c.closure()
	return p, a.Outputs["out"], append(c.Problems, validate(p, c.missing)...).err()
}

// byPath reads what is said of paths of the root file system.
func byPath(b json.RawMessage, read func(string) ([]byte, error), what string) (set map[string]string, err error) {
	var file string
	if json.Unmarshal(b, &file) == nil && file != "" {
		if b, err = read(file); err != nil {
			return nil, err
		}
	}
	if len(b) == 0 {
		return nil, nil
	}
	if err := decode(b, &set); err != nil {
		return nil, fmt.Errorf("neither a set of %s by path, nor the path of a file with one: %w", what, err)
	}
	return set, nil
}

// collector finds what an image holds, from what it is made of.
type collector struct {
	Problems
	graph   graph
	missing map[string]bool
	seen    map[string]bool
}

// root returns what is known of a path that is no part of the closure itself.
func (c *collector) root(what, path string) Path {
	p, ok := c.info(what, path)
	if ok {
		for _, ref := range p.References {
			c.path(path, ref)
		}
	}
	return p
}

// path takes a path into the closure, with all that it needs.
func (c *collector) path(what, path string) {
	if c.seen[path] {
		return
	}
	c.seen[path] = true
	p, ok := c.info(what, path)
	if !ok {
		return
	}
	for _, ref := range p.References {
		c.path(path, ref)
	}
}

func (c *collector) info(what, path string) (Path, bool) {
	p, ok := c.graph[path]
	if !ok {
		if path != "" && !c.missing[path] {
			c.add("%s: the graph lacks %s; add it to exportReferencesGraph.graph", what, path)
			c.missing[path] = true
		}
		return Path{Path: path}, false
	}
	normal, err := NormalHash(p.NarHash)
	if err != nil {
		normal = p.NarHash // validate says what it is
	}
	refs := slices.Clone(p.References)
	slices.Sort(refs)
	return Path{Path: path, NarHash: normal, NarSize: p.NarSize, References: slices.Compact(refs)}, true
}

// closure is what path has seen, sorted.
func (c *collector) closure() []Path {
	list := []Path{}
	for _, path := range slices.Sorted(maps.Keys(c.seen)) {
		if p, ok := c.info("", path); ok {
			list = append(list, p)
		}
	}
	return list
}
