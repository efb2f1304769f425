package tree

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

// Reader hands nodes to fields and notes what does not fit.
type Reader struct {
	Problems services.Problems
	// Expand, where it is set, is applied to each text that is read.
	Expand func(text string) (string, error)
	// Silent takes unknown keys without a word.
	Silent bool
}

// Setter takes the value of a key; at is its path, such as processes.web.command.
type Setter func(n *Node, at string)

// Fields are the keys of a map and what takes them.
type Fields map[string]Setter

// Add notes a problem.
func (r *Reader) Add(n *Node, format string, args ...any) { r.Problems.Add(n.Line, format, args...) }

// Map gives each value of a map to its setter. A key whose value is null counts as
// absent, keys that begin with x- are anybody's, and an unknown one is a problem.
func (r *Reader) Map(n *Node, at string, fields Fields) {
	seen := map[string]int{}
	r.Each(n, at, func(key string, line int, value *Node, at string) {
		if first, twice := seen[key]; twice {
			r.Problems.Add(line, "%s is given twice, first in line %d, which holds", at, first)
			return
		}
		seen[key] = line
		set, known := fields[key]
		switch {
		case known && value.Kind != Null:
			set(value, at)
		case known || strings.HasPrefix(key, "x-") || r.Silent:
		default:
			r.Problems.Add(line, "%s is not a key that is known%s", at, Nearest(key, fields))
		}
	})
}

// Each calls f for every pair of a map, and notes where n is none.
func (r *Reader) Each(n *Node, at string, f func(key string, line int, value *Node, at string)) {
	if n.Kind != Map {
		r.wrong(n, at, "a map")
		return
	}
	for _, pair := range n.Pairs {
		path := pair.Key
		if at != "" {
			path = at + "." + path
		}
		f(pair.Key, pair.Line, pair.Value, path)
	}
}

func (r *Reader) wrong(n *Node, at, want string) {
	if at == "" {
		at = "the file"
	}
	shown := n.Kind.String()
	if n.Kind == Bool || n.Kind == Number || n.Kind == Text && n.Text != "" {
		shown = strconv.Quote(Shorten(n.Text))
	}
	r.Add(n, "%s is %s; it must be %s", at, shown, want)
}

// Shorten cuts a text to what fits into a message.
func Shorten(text string) string {
	if len(text) <= 60 {
		return text
	}
	return strings.ToValidUTF8(text[:57], "") + "..."
}

// scalar is the text of a scalar after its expansion.
func (r *Reader) scalar(n *Node, at string) (text string, ok bool) {
	text = n.Text
	if n.Kind == Text && r.Expand != nil {
		expanded, err := r.Expand(text)
		if err != nil {
			r.Add(n, "%s: %v", at, err)
			return "", false
		}
		text = expanded
	}
	if strings.ContainsRune(text, 0) {
		r.Add(n, "%s holds a NUL byte", at)
		return "", false
	}
	return text, true
}

// Value is a scalar as text; numbers and truth values as they are written.
func (r *Reader) Value(n *Node, at string) (string, bool) {
	if n.Kind == List || n.Kind == Map {
		r.wrong(n, at, "a text")
		return "", false
	}
	return r.scalar(n, at)
}

// Text sets a text.
func (r *Reader) Text(to *string) Setter {
	return func(n *Node, at string) {
		if n.Kind != Text && !n.Plain {
			r.wrong(n, at, "a text")
		} else if text, ok := r.Value(n, at); ok {
			*to = text
		}
	}
}

// Texts sets a list of texts.
func (r *Reader) Texts(to *[]string) Setter {
	return func(n *Node, at string) {
		if n.Kind != List {
			r.wrong(n, at, "a list of texts")
			return
		}
		for i, item := range n.Items {
			if text, ok := r.Value(item, fmt.Sprintf("%s[%d]", at, i)); ok {
				*to = append(*to, text)
			}
		}
	}
}

// TextOrTexts sets a list of texts, of which one may stand alone.
func (r *Reader) TextOrTexts(to *[]string) Setter {
	return func(n *Node, at string) {
		if n.Kind != List {
			n = &Node{Kind: List, Line: n.Line, Items: []*Node{n}}
		}
		r.Texts(to)(n, at)
	}
}

// Bool sets a truth value. The words of YAML 1.1 count too.
func (r *Reader) Bool(to *bool) Setter {
	return func(n *Node, at string) {
		text, ok := r.scalar(n, at)
		switch {
		case !ok:
		case n.Kind != Bool && !n.Plain:
			r.wrong(n, at, "true or false")
		case slices.Contains([]string{"true", "yes", "on"}, strings.ToLower(text)):
			*to = true
		case slices.Contains([]string{"false", "no", "off"}, strings.ToLower(text)):
			*to = false
		default:
			r.wrong(n, at, "true or false")
		}
	}
}

// Int sets a whole number between least and most. A text that is one counts, since
// ports are often quoted.
func (r *Reader) Int(to *int, least, most int) Setter {
	return func(n *Node, at string) {
		text, ok := r.scalar(n, at)
		if !ok {
			return
		}
		number, err := strconv.Atoi(text)
		if n.Kind == List || n.Kind == Map || err != nil || number < least || number > most {
			r.wrong(n, at, fmt.Sprintf("a whole number from %d to %d", least, most))
			return
		}
		*to = number
	}
}

// maxSeconds is ten years: more is a mistake, and would overflow a time.Duration sooner or later.
const maxSeconds = 10 * 365 * 24 * 3600

// Seconds sets a time span that is given as a number of seconds.
func (r *Reader) Seconds(to *services.Duration) Setter {
	return func(n *Node, at string) {
		text, ok := r.scalar(n, at)
		if !ok {
			return
		}
		number, err := strconv.ParseFloat(text, 64)
		if n.Kind == List || n.Kind == Map || err != nil || !(number >= 0 && number <= maxSeconds) {
			r.wrong(n, at, "a number of seconds")
			return
		}
		*to = services.Seconds(number)
	}
}

// OneOf sets a text that is a key of the map to its value.
func OneOf[T any](r *Reader, to *T, values map[string]T) Setter {
	return func(n *Node, at string) {
		text, ok := r.Value(n, at)
		if !ok {
			return
		}
		value, known := values[text]
		if !known {
			r.Add(n, "%s is %q, which is none of %s", at, Shorten(text), strings.Join(sorted(values), ", "))
			return
		}
		*to = value
	}
}

// Environment adds variables: a list of NAME=VALUE or a map. With unset, which takes
// their names, a value may be null.
func (r *Reader) Environment(to *map[string]string, unset func(name string)) Setter {
	put := func(n *Node, at, name, value string) {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			r.Add(n, "%s: %q cannot be the name of a variable", at, Shorten(name))
			return
		}
		if *to == nil {
			*to = map[string]string{}
		}
		(*to)[name] = value
	}
	return func(n *Node, at string) {
		if n.Kind == List {
			var list []string
			r.Texts(&list)(n, at)
			for _, item := range list {
				name, value, ok := strings.Cut(item, "=")
				if !ok {
					r.Add(n, "%s: %q is not of the form NAME=VALUE", at, Shorten(item))
					continue
				}
				put(n, at, name, value)
			}
			return
		}
		r.Each(n, at, func(name string, _ int, value *Node, at string) {
			if value.Kind == Null && unset != nil {
				unset(name)
			} else if text, ok := r.Value(value, at); ok {
				if value.Kind == Null {
					text = ""
				}
				put(value, at, name, text)
			}
		})
	}
}
