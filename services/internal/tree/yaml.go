package tree

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

const (
	tooDeep = "it is nested too deeply"
	tooLong = "it has too much in it for YAML; give it as JSON"
)

func parseYAML(b []byte) (n *Node, err error) {
	// The parser was seen to panic on odd input.
	defer func() {
		if p := recover(); p != nil {
			n, err = nil, syntax(0, "this YAML cannot be read: %v", p)
		}
	}()
	if len(b) > MaxYAML {
		return nil, syntax(0, tooLong)
	}
	tokens := lexer.Tokenize(string(b))
	if err := bound(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, yamlError(err)
	}
	r := &yamlReader{anchors: map[string]*Node{}}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if n != nil {
			return nil, syntax(line(doc.Body), "a second YAML document begins here; one is read")
		}
		if n, err = r.value(doc.Body, 0); err != nil {
			return nil, err
		}
	}
	if n == nil {
		return nil, syntax(0, "the file is empty")
	}
	return n, nil
}

// bound refuses what would take the parser, which recurses, too long or too deep.
func bound(tokens token.Tokens) error {
	if len(tokens) > MaxYAMLTokens {
		return syntax(0, tooLong)
	}
	flow, inline, lastLine := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != lastLine {
			inline, lastLine = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			inline++
		}
		if flow > MaxDepth || flow < -MaxDepth || inline > MaxDepth && flow == 0 || inline > MaxYAMLTokens/10 {
			return syntax(t.Position.Line, tooDeep)
		}
	}
	return nil
}

// yamlError shortens goccy's error, which shows the source, to a line and a sentence.
func yamlError(err error) error {
	text := err.Error()
	at := 0
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if n, scanErr := fmt.Sscanf(rest, "%d:", &at); n != 1 || scanErr != nil {
			at = 0
		}
		if _, message, ok := strings.Cut(rest, "] "); ok {
			text = message
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	return syntax(at, "this YAML cannot be read: %s", text)
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// yamlReader makes nodes of goccy's.
type yamlReader struct {
	anchors map[string]*Node
	merged  int // pairs that merge keys have brought
}

func (r *yamlReader) value(n ast.Node, depth int) (*Node, error) {
	if n == nil {
		return &Node{}, nil
	}
	if depth > 2*MaxDepth {
		return nil, syntax(line(n), tooDeep)
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		value, err := r.value(n.Value, depth+1)
		if err == nil && n.Name != nil {
			r.anchors[n.Name.GetToken().Value] = value
		}
		return value, err
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if value := r.anchors[name]; value != nil {
			return value, nil
		}
		return nil, syntax(line(n), "there is no anchor &%s above", name)
	case *ast.TagNode:
		value, err := r.value(n.Value, depth+1)
		if err == nil && n.GetToken().Value == "!!str" && value.Kind != List && value.Kind != Map {
			text := *value
			text.Kind, text.Plain = Text, false
			return &text, nil
		}
		return value, err
	case *ast.SequenceNode:
		return r.list(n, depth)
	case *ast.MappingNode:
		return r.mapping(line(n), n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping(line(n), []*ast.MappingValueNode{n}, depth)
	}
	return scalar(n)
}

func scalar(n ast.Node) (*Node, error) {
	t := n.GetToken()
	node := &Node{Line: line(n), Text: t.Value, Plain: true}
	switch n := n.(type) {
	case *ast.NullNode:
		node.Kind = Null
	case *ast.BoolNode:
		node.Kind = Bool
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		node.Kind = Number
	case *ast.StringNode:
		node.Kind, node.Text = Text, n.Value
		node.Plain = t.Type != token.SingleQuoteType && t.Type != token.DoubleQuoteType
	case *ast.LiteralNode:
		node.Kind, node.Text, node.Plain = Text, n.Value.Value, false
	default:
		return nil, syntax(line(n), "%q has no meaning here", t.Value)
	}
	return node, nil
}

func (r *yamlReader) list(n *ast.SequenceNode, depth int) (*Node, error) {
	node := &Node{Kind: List, Line: line(n)}
	for _, item := range n.Values {
		value, err := r.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		value.Line = cmp.Or(value.Line, node.Line)
		node.Items = append(node.Items, value)
	}
	return node, nil
}

func (r *yamlReader) mapping(at int, values []*ast.MappingValueNode, depth int) (*Node, error) {
	node := &Node{Kind: Map, Line: at}
	var merges []*Node
	for _, pair := range values {
		value, err := r.value(pair.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if pair.Key.IsMergeKey() {
			merges = append(merges, value)
			continue
		}
		var key ast.Node = pair.Key
		if explicit, ok := key.(*ast.MappingKeyNode); ok {
			key = explicit.Value
		}
		name, err := r.value(key, depth+1)
		if err != nil {
			return nil, err
		}
		if name.Kind == List || name.Kind == Map {
			return nil, syntax(line(key), "a key is a text and not %v", name.Kind)
		}
		if len(node.Pairs) == 0 && len(merges) == 0 {
			node.Line = line(key)
		}
		value.Line = cmp.Or(value.Line, line(key))
		node.Pairs = append(node.Pairs, Pair{name.Text, line(key), value})
	}
	return node, r.merge(node, merges)
}

// merge adds what "<<" names and the map does not have itself.
func (r *yamlReader) merge(node *Node, merges []*Node) error {
	if len(merges) == 0 {
		return nil
	}
	have := map[string]bool{}
	for _, pair := range node.Pairs {
		have[pair.Key] = true
	}
	for _, m := range merges {
		from := []*Node{m}
		if m.Kind == List {
			from = m.Items
		}
		for _, source := range from {
			if source.Kind != Map {
				return syntax(node.Line, "<< takes a map and not %v", source.Kind)
			}
			if r.merged += 1 + len(source.Pairs); r.merged > MaxYAMLTokens {
				return syntax(node.Line, tooLong)
			}
			for _, pair := range source.Pairs {
				if !have[pair.Key] {
					have[pair.Key] = true
					node.Pairs = append(node.Pairs, pair)
				}
			}
		}
	}
	return nil
}
