// Package tree reads JSON and YAML into nodes that know their line, and hands
// their values to the fields of a definition: what does not fit becomes a sentence
// that says where, and the rest is still read.
//
// The input may be hostile: the size, the depth and the number of nodes are bounded,
// and an alias shares the node that it stands for instead of copying it.
package tree

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Bounds of what is read. goccy's parser takes 200 bytes of memory for a byte of YAML, and
// time that is quadratic in the keys of one map: half a second at MaxYAMLTokens.
const (
	MaxJSON       = 16 << 20 // bytes
	MaxYAML       = 512 << 10
	MaxYAMLTokens = 30000
	MaxDepth      = 64
)

// Kind is what a node is.
type Kind uint8

// The kinds of a node.
const (
	Null Kind = iota
	Bool
	Number
	Text
	List
	Map
)

var kindNames = [...]string{"nothing", "a truth value", "a number", "a text", "a list", "a map"}

func (k Kind) String() string { return kindNames[k] }

// Node is one value of a file.
type Node struct {
	Kind Kind
	Line int // from 1
	// Text is a scalar: of a Text its value, of others as it was written.
	Text string
	// Plain is a YAML scalar without quotes, whose kind depends on what ${NAME} stands for.
	Plain bool
	Items []*Node // of a List
	Pairs []Pair  // of a Map, in the order of the file
}

// Pair is one key of a Map.
type Pair struct {
	Key   string
	Line  int
	Value *Node
}

// Get is the value of a key, or nil. Of a key that is given twice it is the first.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Pairs {
		if n.Pairs[i].Key == key {
			return n.Pairs[i].Value
		}
	}
	return nil
}

// SyntaxError is why a file could not be read at all.
type SyntaxError struct {
	Line int // 0: the file as a whole
	Text string
}

func (e *SyntaxError) Error() string { return e.Text }

func syntax(line int, format string, args ...any) error {
	return &SyntaxError{Line: line, Text: fmt.Sprintf(format, args...)}
}

// Parse reads JSON, or YAML 1.2 where it is not JSON. The error is a *SyntaxError.
func Parse(b []byte) (*Node, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if i := invalid(b); i >= 0 {
		return nil, syntax(lineAt(b, i), "there is a byte that is not UTF-8")
	}
	text := bytes.TrimSpace(b)
	if len(text) == 0 {
		return nil, syntax(0, "the file is empty")
	}
	if text[0] != '{' {
		return parseYAML(b)
	}
	n, err := parseJSON(b)
	if err != nil {
		// A flow mapping of YAML begins like JSON. Where neither can read it, JSON
		// has the better message.
		if other, yamlErr := parseYAML(b); yamlErr == nil {
			return other, nil
		}
	}
	return n, err
}

// invalid is the place of the first byte that is not UTF-8, or -1.
func invalid(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

func lineAt(b []byte, i int) int { return 1 + bytes.Count(b[:i], []byte("\n")) }
