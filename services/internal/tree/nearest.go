package tree

import (
	"maps"
	"slices"

	"github.com/fleek-platform/nix2vast/services"
)

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// Nearest is "; is it NAME?" for the key of known that was probably meant, or "".
func Nearest[T any](word string, known map[string]T) string {
	if name := services.Nearest(word, sorted(known)); name != "" {
		return "; is it " + name + "?"
	}
	return ""
}
