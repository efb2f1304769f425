package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// text writes the inspection for people.
func (i inspection) text(w io.Writer, colours bool) {
	fmt.Fprintf(w, "%s:%s  linux/%s, %s, %s, %s\n\n", i.Name, i.Tag, i.Architecture,
		plural(len(i.Layers), "layer"), plural(i.Paths, "store path"), size(i.Size))
	paint := func(colour string) string {
		if colours {
			return colour
		}
		return ""
	}
	t := table{right: []bool{true, false, false, false, true, true, true, true}}
	head := []string{"#", "", "group", "layer", "paths", "size", "", ""}
	if i.Against != nil {
		head[1] = "change"
	}
	if !slices.ContainsFunc(i.Layers, func(l inspectedLayer) bool { return l.Group != "" }) {
		head[2] = ""
	}
	for n, c := range []layer.Compression{layer.Gzip, layer.Zstd} {
		if slices.ContainsFunc(i.Layers, func(l inspectedLayer) bool { _, ok := l.blob(c); return ok }) {
			head[6+n] = string(c)
		}
	}
	t.painted(paint(dim), head...)
	marks := map[string]string{kept: dim, changed: yellow, added: green}
	for _, l := range i.Layers {
		t.painted(paint(marks[l.Change]), strconv.Itoa(l.Number), l.Change, l.Group, l.Name, strconv.Itoa(l.Paths),
			size(l.Size), l.compressed(layer.Gzip, head[6]), l.compressed(layer.Zstd, head[7]))
	}
	if i.Against != nil {
		for _, l := range i.Against.Removed {
			t.painted(paint(red), "", "removed", l.Group, l.Name, strconv.Itoa(l.Paths), size(l.Size))
		}
	}
	t.write(w)
	if i.Against != nil {
		i.Against.text(w, i.Size)
	}
}

// compressed is the size in one form, a dash where it is not known, and nothing where the
// column is not there.
func (l inspectedLayer) compressed(c layer.Compression, column string) string {
	if column == "" {
		return ""
	}
	if blob, ok := l.blob(c); ok {
		return size(blob.Size)
	}
	return "–"
}

func (c comparison) text(w io.Writer, all int64) {
	fmt.Fprintf(w, "\nagainst %s:%s: %s kept, %d changed, %d added, %d removed; %s to send, of %s\n",
		c.Name, c.Tag, plural(c.Kept, "layer"), c.Changed, c.Added, len(c.Removed), size(c.Send), size(all))
	if len(c.Packages) == 0 {
		fmt.Fprintln(w, "no package changed")
		return
	}
	fmt.Fprintf(w, "\n")
	t := table{right: []bool{false, false, true}}
	var rebuilt []string
	var delta int64
	for _, p := range c.Packages {
		if p.Rebuilt() {
			rebuilt = append(rebuilt, p.Name)
			delta += p.Delta
			continue
		}
		t.add(p.Name, versionChange(p), grown(p.Delta))
	}
	t.write(w)
	if len(rebuilt) > 0 {
		line := plural(len(rebuilt), "package") + " rebuilt"
		if text := grown(delta); text != "" {
			line += ", " + text
		}
		fmt.Fprintf(w, "  %s: %s\n", line, strings.Join(short(rebuilt), ", "))
	}
}

// short is the begin of a list that is long; JSON has all of it.
func short(list []string) []string {
	const most = 10
	if len(list) <= most+1 {
		return list
	}
	return append(list[:most:most], fmt.Sprintf("and %d more", len(list)-most))
}

func versionChange(p plan.Change) string {
	list := func(versions []string) string {
		text := strings.Join(slices.DeleteFunc(slices.Clone(versions), func(v string) bool { return v == "" }), ", ")
		if text == "" && len(versions) > 0 {
			return "(no version)"
		}
		return text
	}
	switch {
	case len(p.Old) == 0:
		return strings.TrimSpace("added " + strings.TrimPrefix(list(p.New), "(no version)"))
	case len(p.New) == 0:
		return strings.TrimSpace("removed " + strings.TrimPrefix(list(p.Old), "(no version)"))
	}
	return list(p.Old) + " → " + list(p.New)
}
