package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// ParseJSON reads JSON alone. The error is a *SyntaxError.
func ParseJSON(b []byte) (*Node, error) { return parseJSON(bytes.TrimPrefix(b, []byte("\ufeff"))) }

func parseJSON(b []byte) (*Node, error) {
	if len(b) > MaxJSON {
		return nil, syntax(0, "the file has %d bytes; %d are the most", len(b), MaxJSON)
	}
	r := &jsonReader{text: b, line: 1, dec: json.NewDecoder(bytes.NewReader(b))}
	r.dec.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, syntax(r.at(), "there is text behind the JSON value")
	}
	return n, nil
}

// jsonReader builds nodes of the decoder's tokens, and counts lines as it goes.
type jsonReader struct {
	text []byte
	dec  *json.Decoder
	seen int // bytes counted
	line int // at seen
}

// at is the line of the token read last.
func (r *jsonReader) at() int {
	end := min(int(r.dec.InputOffset()), len(r.text))
	r.line += bytes.Count(r.text[r.seen:end], []byte("\n"))
	r.seen = end
	return r.line
}

func (r *jsonReader) token() (json.Token, error) {
	t, err := r.dec.Token()
	if err == nil {
		return t, nil
	}
	line := r.at()
	var bad *json.SyntaxError
	if errors.As(err, &bad) {
		line = lineAt(r.text, min(int(bad.Offset), len(r.text)))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, syntax(lineAt(r.text, len(r.text)), "the JSON ends too early")
	}
	return nil, syntax(line, "this is not JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
}

func (r *jsonReader) value(depth int) (*Node, error) {
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	if depth > MaxDepth {
		return nil, syntax(r.at(), tooDeep)
	}
	n := &Node{Line: r.at()}
	switch t := t.(type) {
	case bool:
		n.Kind, n.Text = Bool, map[bool]string{false: "false", true: "true"}[t]
	case json.Number:
		n.Kind, n.Text = Number, t.String()
	case string:
		n.Kind, n.Text = Text, t
	case json.Delim:
		if t == '[' {
			return n, r.list(n, depth)
		}
		return n, r.object(n, depth)
	}
	return n, nil
}

func (r *jsonReader) list(n *Node, depth int) error {
	n.Kind = List
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	_, err := r.token()
	return err
}

func (r *jsonReader) object(n *Node, depth int) error {
	n.Kind = Map
	for r.dec.More() {
		t, err := r.token()
		if err != nil {
			return err
		}
		key, _ := t.(string) // the decoder takes nothing else for a key
		line := r.at()
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.Pairs = append(n.Pairs, Pair{key, line, value})
	}
	_, err := r.token()
	return err
}
