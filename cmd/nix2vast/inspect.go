package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// inspection is what inspect tells. Its JSON is for programs: fields are added, never
// renamed. Sizes are in bytes.
type inspection struct {
	Name         string           `json:"name"`
	Tag          string           `json:"tag"`
	Architecture string           `json:"architecture"`
	Created      string           `json:"created"`
	Paths        int              `json:"paths"` // in the store of the image
	Size         int64            `json:"size"`
	Layers       []inspectedLayer `json:"layers"`
	Against      *comparison      `json:"against,omitempty"`
}

type inspectedLayer struct {
	Number int    `json:"number"` // from 1, at the bottom
	Name   string `json:"name"`
	Group  string `json:"group,omitempty"`
	Key    string `json:"key"`
	Paths  int    `json:"paths"`
	// Size is that of the tar stream where DiffID is known, and about that where not.
	Size       int64                            `json:"size"`
	DiffID     string                           `json:"diffID,omitempty"`
	Compressed map[layer.Compression]layer.Blob `json:"compressed,omitempty"`
	// Change is kept, changed or added, where there is a plan to compare with.
	Change string `json:"change,omitempty"`
}

// travels is how many bytes a layer is on its way, as far as that is known.
func (l inspectedLayer) travels() int64 {
	if blob, ok := l.blob(layer.Gzip); ok {
		return blob.Size
	}
	return l.Size
}

// blob is the layer in one form: at the level that is the default, else at the first that is known.
func (l inspectedLayer) blob(c layer.Compression) (layer.Blob, bool) {
	for _, z := range c.Levels() {
		if blob, ok := l.Compressed[z]; ok {
			return blob, true
		}
	}
	return layer.Blob{}, false
}

func (a *app) inspectCommand() *cobra.Command {
	var against, one string
	var asJSON bool
	c := &cobra.Command{
		Use: "inspect [PLAN]", Short: "list layers and sizes, and what changed against another plan",
		Long: `List the layers of an image, from the bottom up, with their sizes.

Sizes are those of the tar streams. Of a layer that nobody has read yet they are about
right; compressed sizes are there once a layer was compressed. PLAN is a file, or a folder
or link that leads to one; without it, the result that nix build left here.`,
		Example: `  nix2vast image inspect
  nix2vast image inspect result --against old-result
  nix2vast image inspect --paths rootfs
  nix2vast image inspect --json | jq .size`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			if one != "" {
				_, layers, err := a.open(planArg(args))
				if err != nil {
					return err
				}
				return showPaths(out, layers, one, asJSON)
			}
			i, err := a.inspect(planArg(args), against)
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(out, i)
			}
			i.text(out, a.colours(out))
			return nil
		},
	}
	c.Flags().StringVar(&against, "against", "", "another `PLAN`: show what changed since that one")
	c.Flags().StringVar(&one, "paths", "", "list the store paths of one `LAYER`, by number or name")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.MarkFlagsMutuallyExclusive("against", "paths")
	complete := func(cmd *cobra.Command, _ []string, begin string) ([]string, cobra.ShellCompDirective) {
		return completePlan(cmd, nil, begin)
	}
	_ = c.RegisterFlagCompletionFunc("against", complete) // there is such a flag, so it cannot fail
	return c
}

func (a *app) inspect(path, against string) (inspection, error) {
	p, layers, err := a.open(path)
	if err != nil {
		return inspection{}, err
	}
	i := inspection{
		Name: p.Name, Tag: p.Tag, Architecture: p.Architecture, Created: p.Created,
		Paths: len(p.Closure), Layers: a.look(layers),
	}
	for _, l := range i.Layers {
		i.Size += l.Size
	}
	if against == "" {
		return i, nil
	}
	old, oldLayers, err := a.open(against)
	if err != nil {
		return i, fmt.Errorf("comparing with %s: %w", against, err)
	}
	i.Against = compare(i.Layers, a.look(oldLayers))
	i.Against.Name, i.Against.Tag = old.Name, old.Tag
	i.Against.Packages = plan.Diff(old, p)
	return i, nil
}

// look tells what is known of layers without reading them.
func (a *app) look(layers []layer.Layer) []inspectedLayer {
	list := make([]inspectedLayer, len(layers))
	cache, levels := a.cache(), append(layer.Gzip.Levels(), layer.Zstd.Levels()...)
	for n, l := range layers {
		i := inspectedLayer{Number: n + 1, Name: l.Name, Group: l.Group, Key: l.Key, Paths: len(l.Items), Size: l.Size}
		if d, ok := cache.Get(l, levels...); ok {
			i.Size, i.DiffID, i.Compressed = d.Size, d.DiffID, d.Blobs
		}
		list[n] = i
	}
	return list
}

// inspectedPath is a store path of one layer, as JSON.
type inspectedPath struct {
	Path    string `json:"path"`
	NarHash string `json:"narHash"`
	NarSize int64  `json:"narSize"`
	Target  string `json:"target"`
	Part    int    `json:"part,omitempty"` // from 1, of Parts
	Parts   int    `json:"parts,omitempty"`
}

func showPaths(w io.Writer, layers []layer.Layer, name string, asJSON bool) error {
	l, err := pick(layers, name)
	if err != nil {
		return err
	}
	list := []inspectedPath{}
	t := table{right: []bool{true}}
	for _, i := range l.Items {
		p := inspectedPath{Path: i.Path.Path, NarHash: i.NarHash, NarSize: i.NarSize, Target: i.Target}
		note := ""
		if i.Target != i.Path.Path {
			note = "becomes " + i.Target
		}
		if i.Parts > 1 {
			p.Part, p.Parts = i.Part+1, i.Parts
			note = fmt.Sprintf("part %d of %d", p.Part, p.Parts)
		}
		list = append(list, p)
		t.add(size(i.NarSize), p.Path, note)
	}
	if asJSON {
		return writeJSON(w, list)
	}
	for _, m := range l.Made {
		t.add(size(int64(len(m.Data))), "/"+strings.TrimSuffix(m.Name, "/"), "made from the plan")
	}
	t.write(w)
	return nil
}

// pick finds one layer by its number or name.
func pick(layers []layer.Layer, name string) (layer.Layer, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > len(layers) {
			return layer.Layer{}, usagef("there is no layer %d; they are 1 to %d", n, len(layers))
		}
		return layers[n-1], nil
	}
	var found []string
	var one layer.Layer
	for n, l := range layers {
		if l.Name == name {
			one, found = l, append(found, strconv.Itoa(n+1))
		}
	}
	switch len(found) {
	case 0:
		return one, usagef("there is no layer %q; inspect without --paths lists them", name)
	case 1:
		return one, nil
	}
	return one, usagef("the layers %s have the name %q; give a number", strings.Join(found, ", "), name)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
