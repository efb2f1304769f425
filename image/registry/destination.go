package registry

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// Destination is a repository, and the tags that a push sets in it. The first tag is the
// one that a Result is about.
type Destination struct {
	Repo name.Repository
	Tags []string
}

// Resolve says where a push goes: to each of args, such as "ghcr.io/owner/name:tag", or,
// where there are none, to the plan's registries. A tag in an argument goes before the
// given one, and both before the plan's, whose further tags are left out then: they are
// names of what the plan calls it.
func Resolve(p plan.Plan, args []string, tag string, allowHTTP bool) ([]Destination, error) {
	if len(args) == 0 {
		for _, r := range p.Registries {
			last := r[strings.LastIndex(r, "/")+1:]
			if strings.Contains(r, "/") && strings.Contains(last, ":") {
				return nil, fmt.Errorf("the plan's registry %q has a tag: a registry is given without the image's name"+
					" and tag, such as ghcr.io/owner", r)
			}
			args = append(args, strings.TrimSuffix(r, "/")+"/"+p.Name)
		}
	}
	if len(args) == 0 {
		return nil, errors.New("there is nowhere to push to: the plan names no registry. Give a destination," +
			" such as ghcr.io/owner/" + p.Name + ", or set registries in the image's module")
	}
	var list []Destination
	for _, arg := range args {
		d, err := resolve(p, arg, tag, allowHTTP)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// component is what a repository may be called:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
var component = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

var tagName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

func resolve(p plan.Plan, arg, tag string, allowHTTP bool) (Destination, error) {
	if scheme, rest, ok := strings.Cut(arg, "://"); ok {
		return Destination{}, fmt.Errorf("the destination %q has a scheme: leave %q out and say %q", arg, scheme+"://", rest)
	}
	if strings.Contains(arg, "@") {
		return Destination{}, fmt.Errorf("the destination %q has a digest: an image gets its digest from what is in it;"+
			" say a repository and a tag", arg)
	}
	repo := arg
	if i := strings.LastIndex(arg, ":"); i > strings.LastIndex(arg, "/") && strings.Contains(arg, "/") {
		repo, tag = arg[:i], arg[i+1:]
		if tag == "" {
			return Destination{}, fmt.Errorf("the destination %q ends in a colon without a tag behind it", arg)
		}
	}
	host, path, _ := strings.Cut(repo, "/")
	switch {
	case path == "":
		return Destination{}, fmt.Errorf("the destination %q is a registry without a repository: say %s/owner/%s",
			arg, strings.TrimSuffix(repo, "/"), p.Name)
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		return Destination{}, fmt.Errorf("the destination %q names no registry: say docker.io/%s for Docker Hub,"+
			" or ghcr.io/%s", arg, repo, repo)
	case strings.ToLower(path) != path:
		return Destination{}, fmt.Errorf("the destination %q has capital letters, which no repository may have: say %s/%s",
			arg, host, strings.ToLower(path))
	}
	if !component.MatchString(path) {
		return Destination{}, fmt.Errorf("the destination %q: each part between slashes has letters and digits, with . _ __ or -"+
			" only between them", arg)
	}
	options := []name.Option{name.StrictValidation}
	if allowHTTP {
		options = append(options, name.Insecure)
	}
	r, err := name.NewRepository(repo, options...)
	if err != nil {
		return Destination{}, fmt.Errorf("the destination %q: %w", arg, err)
	}
	d := Destination{Repo: r, Tags: []string{tag}}
	if tag == "" {
		d.Tags = append([]string{p.Tag}, p.Tags...)
	}
	for _, t := range d.Tags {
		if t == "" {
			return Destination{}, fmt.Errorf("the destination %q has no tag, and neither has the plan: say %s:TAG or --tag TAG",
				arg, repo)
		}
		if !tagName.MatchString(t) {
			return Destination{}, fmt.Errorf("the tag %q: a tag has up to 128 letters, digits, _, - and ., and begins"+
				" with none of the last two", t)
		}
	}
	return d, nil
}
