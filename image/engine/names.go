package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// tagOf is the tag of "name:tag".
func tagOf(reference string) string { return reference[strings.LastIndexByte(reference, ':')+1:] }

// fullName is a reference as containerd's store has it, and Docker looks for it there: with
// the registry and the folder that people leave out.
func fullName(reference string) string {
	tag, err := name.NewTag(reference)
	if err != nil {
		return reference // as Called has it, there is none such
	}
	return strings.TrimPrefix(tag.Name(), "index.")
}

// Called returns the names that the image is to have: those of the plan, or the one that
// was asked for, which is a tag or "name:tag".
func (i Image) Called(asked string) ([]string, error) {
	if asked == "" {
		return i.Names(), nil
	}
	reference := asked
	if !strings.ContainsAny(asked, ":/") {
		reference = i.Plan.Name + ":" + asked
	}
	_, err := name.NewTag(reference)
	if err == nil && strings.Contains(tagOf(reference), "/") || tagOf(reference) == reference {
		err = errors.New("there is no tag in it")
	}
	if err != nil {
		return nil, fmt.Errorf("%q is neither a tag nor a name with one, such as %s: %w", asked, i.Names()[0], err)
	}
	return []string{reference}, nil
}
