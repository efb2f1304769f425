package tree

import (
	"maps"
	"slices"
	"strings"
)

func sorted[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// Nearest is "; is it NAME?" for the key of known that differs in the fewest letters,
// or "" where none is near.
func Nearest[T any](word string, known map[string]T) string {
	best, least := "", 1+max(1, min(len(word), 32)/3)
	for _, name := range sorted(known) {
		if d := distance(fold(word), fold(name)); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; is it " + best + "?"
}

// fold takes away what people spell in different ways: workingDir is working_dir.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// distance counts the letters to insert, delete or exchange (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
