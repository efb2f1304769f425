package plan

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

var (
	// https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
	nameSyntax = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)
	tagSyntax  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	// https://nix.dev/manual/nix/latest/store/store-path
	pathSyntax  = regexp.MustCompile(`^/nix/store/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+._?=-]{1,211}$`)
	ownerSyntax = regexp.MustCompile(`^(0|[1-9][0-9]{0,8}):(0|[1-9][0-9]{0,8})$`)
	modeSyntax  = regexp.MustCompile(`^0?[0-7]{3,4}$`)
	hashSyntax  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Validate says everything that is wrong with a plan, as Problems.
func Validate(p Plan) error { return validate(p, nil).err() }

// validate leaves out what it would say of the paths that are known to be missing.
func validate(p Plan, missing map[string]bool) Problems {
	v := &validator{plan: p, missing: missing, closure: map[string]bool{}}
	v.names()
	v.paths()
	v.groups()
	v.files()
	v.config()
	if p.Layers.Max < 0 || p.Layers.Own < 0 || p.Layers.Part < 0 {
		v.add("layers: max is %d, own %d, part %d; none may be below 0, which stands for the default",
			p.Layers.Max, p.Layers.Own, p.Layers.Part)
	}
	return v.Problems
}

type validator struct {
	Problems
	plan    Plan
	missing map[string]bool
	closure map[string]bool
}

func (v *validator) names() {
	p := v.plan
	if !nameSyntax.MatchString(p.Name) {
		v.add("name: %q is not made of lower-case letters and digits with single dots, dashes or underscores between them",
			p.Name)
	}
	for _, tag := range append([]string{p.Tag}, p.Tags...) {
		if !tagSyntax.MatchString(tag) {
			v.add("tag: %q is not made of 1 to 128 letters, digits, dots, dashes and underscores, with no dot or dash in front",
				tag)
		}
	}
	for _, r := range p.Registries {
		v.registry(r)
	}
	if p.Architecture != "amd64" && p.Architecture != "arm64" {
		v.add("architecture: %q is neither amd64 nor arm64", p.Architecture)
	}
	if _, err := time.Parse(time.RFC3339, p.Created); err != nil {
		v.add("created: %q is no time of RFC 3339, such as 1970-01-01T00:00:01Z", p.Created)
	}
	for _, key := range slices.Sorted(maps.Keys(p.Annotations)) {
		if key == "" {
			v.add("annotations: one has no name")
		}
	}
}

// registry is a host and what is in front of the image's name.
func (v *validator) registry(text string) {
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		v.add("registries: %q: leave out %q and write %q", text, scheme+"://", rest)
		return
	}
	host, _, _ := strings.Cut(text, "/")
	if host != "localhost" && !strings.ContainsAny(host, ".:") {
		v.add("registries: %q names no host; Docker Hub's is docker.io", text)
		return
	}
	if v.plan.Name != "" && strings.HasSuffix(text, "/"+v.plan.Name) {
		v.add("registries: %q ends in the image's name, which is added to it; write %q",
			text, strings.TrimSuffix(text, "/"+v.plan.Name))
		return
	}
	if _, err := name.NewRepository(text + "/x"); err != nil {
		v.add("registries: %q is no HOST[:PORT][/FOLDER] that a registry takes: %v", text, err)
	}
}

func (v *validator) paths() {
	for _, p := range v.plan.Closure {
		if v.closure[p.Path] {
			v.add("closure: %s is there twice", p.Path)
		}
		v.closure[p.Path] = true
	}
	for _, p := range v.plan.Closure {
		v.path("closure", p)
	}
	if v.plan.Rootfs.Path.Path == "" {
		v.add("rootfs: there is none; give the store path that becomes /")
	} else {
		v.path("rootfs", v.plan.Rootfs.Path)
	}
	for _, target := range slices.Sorted(maps.Keys(v.plan.Rootfs.Modes)) {
		v.mode("rootfs: the mode of "+strconv.Quote(target), v.plan.Rootfs.Modes[target])
		if !path.IsAbs(target) || path.Clean(target) != target {
			v.add("rootfs: modes: %q is no clean absolute path", target)
		}
	}
	for _, target := range slices.Sorted(maps.Keys(v.plan.Rootfs.Owners)) {
		if owner := v.plan.Rootfs.Owners[target]; !ownerSyntax.MatchString(owner) {
			v.add("rootfs: the owner of %q is %q, which is no UID:GID such as 1000:100", target, owner)
		}
		if !path.IsAbs(target) || path.Clean(target) != target {
			v.add("rootfs: owners: %q is no clean absolute path", target)
		}
	}
}

func (v *validator) path(what string, p Path) {
	if v.missing[p.Path] {
		return
	}
	if !pathSyntax.MatchString(p.Path) {
		v.add("%s: %q is no path of the Nix store, %s/HASH-NAME", what, p.Path, StoreDir)
		return
	}
	if !hashSyntax.MatchString(p.NarHash) {
		v.add("%s: %s: the narHash %q is not \"sha256:\" and 64 hexadecimal digits", what, p.Path, p.NarHash)
	}
	if p.NarSize <= 0 {
		v.add("%s: %s: the narSize %d is no size in bytes", what, p.Path, p.NarSize)
	}
	for _, ref := range p.References {
		if !v.closure[ref] && !v.missing[ref] {
			v.add("%s: %s refers to %s, which the closure lacks", what, p.Path, ref)
		}
	}
}

func (v *validator) groups() {
	seen := map[string]bool{}
	for _, g := range v.plan.Groups {
		if g.Name == "" || seen[g.Name] {
			v.add("groups: the name %q is empty or taken", g.Name)
		}
		seen[g.Name] = true
		for _, root := range g.Roots {
			if !v.closure[root] && !v.missing[root] {
				v.add("groups: the root %q of %s is not in the closure", root, g.Name)
			}
		}
	}
}

func (v *validator) files() {
	seen := map[string]bool{}
	for _, f := range v.plan.Files {
		v.path("files", f.Path)
		v.mode("files: the mode of "+strconv.Quote(f.Target), f.Mode)
		switch {
		case !path.IsAbs(f.Target) || path.Clean(f.Target) != f.Target || f.Target == "/":
			v.add("files: the target %q is no clean absolute path of a file", f.Target)
		case f.Target == "/nix" || f.Target == StoreDir || strings.HasPrefix(f.Target, StoreDir+"/"):
			v.add("files: the target %q is in the store, where only store paths are", f.Target)
		case seen[f.Target]:
			v.add("files: two have the target %q", f.Target)
		}
		seen[f.Target] = true
	}
	for _, target := range slices.Sorted(maps.Keys(seen)) {
		for dir := path.Dir(target); len(dir) > 1; dir = path.Dir(dir) {
			if seen[dir] {
				v.add("files: the target %q is below %q, which is a file", target, dir)
			}
		}
	}
}

func (v *validator) mode(what, mode string) {
	if !modeSyntax.MatchString(mode) {
		v.add("%s is %q, which is no octal number such as 0755", what, mode)
	}
}
