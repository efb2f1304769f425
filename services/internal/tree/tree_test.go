package tree

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// show writes a node with its lines.
func show(n *Node) string {
	var parts []string
	for _, item := range n.Items {
		parts = append(parts, show(item))
	}
	for _, pair := range n.Pairs {
		parts = append(parts, fmt.Sprintf("%s@%d=%s", pair.Key, pair.Line, show(pair.Value)))
	}
	switch n.Kind {
	case List:
		return "[" + strings.Join(parts, " ") + "]"
	case Map:
		return "{" + strings.Join(parts, " ") + "}"
	case Text:
		return fmt.Sprintf("%q@%d", n.Text, n.Line)
	}
	return fmt.Sprintf("%s:%s@%d", [...]string{"null", "bool", "number"}[n.Kind], n.Text, n.Line)
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"{\"a\": [1, \"b\",\n true], \n\n\"c\": null}", `{a@1=[number:1@1 "b"@1 bool:true@2] c@4=null:@4}`},
		{"a:\n- 1\n- b\nc: ~\nd:\n", `{a@1=[number:1@2 "b"@3] c@4=null:~@4 d@5=null:null@5}`},
		{"a: yes\nb: \"yes\"\nc: 'it''s'\nd: 0x10\ne: 1.5\nf: .inf\n", `{a@1="yes"@1 b@2="yes"@2 c@3="it's"@3 d@4=number:0x10@4 e@5=number:1.5@5 f@6=number:.inf@6}`},
		{"a: |\n  x\n\n  y\nb: >-\n  x\n  y\nc: z\n", `{a@1="x\n\ny\n"@1 b@5="x y"@5 c@8="z"@8}`},
		{"a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\nf: {<<: [*x], b: 3}\n", `{a@1={b@1=number:1@1} c@2={b@1=number:1@1} d@3={e@3=number:2@3 b@1=number:1@1} f@4={b@4=number:3@4}}`},
		{"a: !!str 5\nb: !x {c: d}\n1: e\n? f\n: g\n", `{a@1="5"@1 b@2={c@2="d"@2} 1@3="e"@3 f@4="g"@5}`},
		{"{a: b, # YAML\n c: [d]}", `{a@1="b"@1 c@2=["d"@2]}`},
		{"\ufeffa: b\r\nc: d\r\n", `{a@1="b"@1 c@2="d"@2}`},
		{"# nothing but a comment before\n---\na: b\n", `{a@3="b"@3}`},
	} {
		n, err := Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		} else if got := show(n); got != c.want {
			t.Errorf("%q is\n%s, want\n%s", c.text, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		text, want string
		line       int
	}{
		{"", "empty", 0},
		{"# only this\n", "empty", 0},
		{"{\n\"a\" 1}", "this is not JSON", 2},
		{"{\"a\": 1}\n{}", "text behind", 2},
		{"a: b\nc: [\n", "cannot be read", 2},
		{"a: {<<: 1}\n", "<< takes a map and not a number", 1},
		{"? [a]\n: b\n", "found an invalid key", 2},
		{"a\n\xff", "not UTF-8", 2},
	} {
		n, err := Parse([]byte(c.text))
		var bad *SyntaxError
		if !errors.As(err, &bad) || !strings.Contains(bad.Text, c.want) || bad.Line != c.line {
			t.Errorf("%q: %#v, %#v; want %q in line %d", c.text, n, err, c.want, c.line)
		}
	}
}

// TestMergesAreBounded merges maps that each bring all of those before.
func TestMergesAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("b: &b {")
	for i := range 200 {
		fmt.Fprintf(&text, "k%d: v, ", i)
	}
	text.WriteString("z: v}\n")
	for i := range 200 {
		fmt.Fprintf(&text, "m%d: {<<: *b}\n", i)
	}
	_, err := Parse([]byte(text.String()))
	if err == nil || err.Error() != tooLong {
		t.Errorf("the error is %v, want %q", err, tooLong)
	}
}

func TestNearest(t *testing.T) {
	known := map[string]bool{"working_dir": true, "command": true, "env_file": true, "disabled": true}
	for word, want := range map[string]string{
		"workingDir": "; is it working_dir?", "comand": "; is it command?", "env-file": "; is it env_file?", "disable": "; is it disabled?",
		"ports": "", "": "", strings.Repeat("x", 1000): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}
