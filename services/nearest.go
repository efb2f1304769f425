package services

import (
	"slices"
	"strings"
)

// Nearest is the one of known that somebody who wrote word may have meant, or "": the
// one that differs in the fewest letters, a third of the word's and four at most, or
// has the same letters in another order. Case, "-" and "_" do not count.
func Nearest(word string, known []string) string {
	best, least := "", 1+max(1, min(len(word)/3, 4))
	for _, name := range slices.Sorted(slices.Values(known)) {
		if d := distance(fold(word), fold(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// fold takes away what people spell in different ways: workingDir is working_dir.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// distance counts the letters to insert, delete or exchange (Levenshtein); letters in
// another order are one mistake.
func distance(a, b string) int {
	const most = 64
	if len(a) > most || len(b) > most {
		return most
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
	if d := row[len(b)]; d < 2 || !slices.Equal(letters(a), letters(b)) {
		return d
	}
	return 1
}

func letters(text string) []byte {
	b := []byte(text)
	slices.Sort(b)
	return b
}
