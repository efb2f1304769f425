package checks

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// No formatter of Nix is to be had from Debian, so this one only looks. It wants what nixpkgs-fmt makes,
// as far as it can be told line by line: blanks, brackets, and indentation.

// nixMask copies a text with all that is in strings and comments replaced by one letter, so
// that what is left is code. Lines and columns stay.
type nixMask struct {
	text string
	out  []byte
	at   int
}

// Letters that stand for what was in a comment, a string, and a line of a string that begins in it.
const (
	inComment = '\x01'
	inString  = '\x02'
)

func maskNix(text string) string {
	m := &nixMask{text: text, out: []byte(text)}
	m.code(false)
	return string(m.out)
}

// hide replaces n letters, but for line breaks.
func (m *nixMask) hide(n int, by byte) {
	for ; n > 0 && m.at < len(m.text); n-- {
		if m.out[m.at] != '\n' {
			m.out[m.at] = by
		}
		m.at++
	}
}

func (m *nixMask) has(word string) bool { return strings.HasPrefix(m.text[m.at:], word) }

// code goes on to the end or, inside ${…} of a string, to the bracket that closes it.
func (m *nixMask) code(inside bool) {
	for depth := 0; m.at < len(m.text); {
		switch {
		case m.has("#"):
			m.hide(len(m.text[m.at:])-len(after(m.text[m.at:], "\n"))-1, inComment)
		case m.has("/*"):
			m.hide(len(m.text[m.at:])-len(after(m.text[m.at:], "*/")), inComment)
		case m.has(`"`):
			m.str(`"`)
		case m.has("''"):
			m.str("''")
		case m.has("{"):
			depth++
			m.at++
		case m.has("}"):
			if depth == 0 && inside {
				return
			}
			depth--
			m.at++
		default:
			m.at++
		}
	}
}

// after is what follows a word, or nothing.
func after(text, word string) string {
	_, rest, _ := strings.Cut(text, word)
	return rest
}

// str hides a string with its quotes, and all code inside it.
func (m *nixMask) str(quote string) {
	escapes := []string{`\"`, `\\`, `\$`, "$$"}
	if quote == "''" {
		escapes = []string{"'''", "''$", `''\`, "$$"}
	}
	from := m.at
	m.at += len(quote)
	for m.at < len(m.text) && !(m.has(quote) && !m.hasAny(escapes)) {
		switch {
		case m.hasAny(escapes):
			m.at += 2
			if quote == "''" && !m.has("{") {
				m.at++
			}
		case m.has("${"):
			m.at += 2
			m.code(true)
			m.at++
		default:
			m.at++
		}
	}
	end := m.at + len(quote)
	m.at = from
	m.hide(end-from, inString)
}

func (m *nixMask) hasAny(words []string) bool { return slices.ContainsFunc(words, m.has) }

// nixRules are about a line of code alone, less its indentation.
var nixRules = []struct {
	bad  *regexp.Regexp
	says string
}{
	{regexp.MustCompile(`[ \t]$`), "a blank at the end"},
	{regexp.MustCompile(`\S  +[^ \x01]`), "two blanks"},
	{regexp.MustCompile(`[\[{][^\s\]}{]|[^\s\[{}][\]}]|\{\{|\}\}`), "a bracket without a blank inside it"},
	{regexp.MustCompile(`(\[ {2,}\]|\{ {2,}\}|\[\]|\{\})`), "empty brackets are [ ] and { }"},
	{regexp.MustCompile(`[^ ] +;`), "a blank before a semicolon"},
	{regexp.MustCompile(`[;,][^\s)]`), "no blank after a semicolon or comma"},
	{regexp.MustCompile(`[^\s=!<>]=|[^=!<>]=[^\s=]|=[^\s=]`), "no blank beside ="},
	{regexp.MustCompile(`[^\s+]\+\+|\+\+[^\s+]|[^\s]//|//\S|[^\s]&&|&&\S|\S\|\||\|\|\S`), "no blank beside an operator"},
	{regexp.MustCompile(`\( | \)`), "a blank inside ( )"},
	{regexp.MustCompile(`\s:|[\w}]:[^\s/]`), "a colon stands behind its argument, with a blank after it"},
}

// nixFormat is what is wrong with the format of a text, a sentence each.
func nixFormat(text string) (wrong []string) {
	say := func(line int, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("%d: ", line+1)+fmt.Sprintf(format, args...))
	}
	if !strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "\n\n") {
		say(strings.Count(text, "\n"), "it ends in one line break")
	}
	lines := strings.Split(strings.TrimRight(maskNix(text), "\n"), "\n")
	var open []int // the indentation of the line with each open bracket
	for i, line := range lines {
		code := strings.TrimLeft(line, " ")
		indent := len(line) - len(code)
		if code == "" && i > 0 && strings.TrimSpace(lines[i-1]) == "" {
			say(i, "two empty lines")
		}
		inside := strings.HasPrefix(code, string(inString)) && i > 0 && strings.HasSuffix(lines[i-1], string(inString)) || code == ""
		if !inside {
			say := func(format string, args ...any) { say(i, format, args...) }
			nixIndent(code, indent, open, say)
		}
		// ${name} of an attribute has none, and neither has what a colon of a URL or a path has.
		plain := regexp.MustCompile(`\$\{[^}]*\}|\x01+|<[\w/]+>|@`).ReplaceAllString(code, "x")
		for _, rule := range nixRules {
			if !inside && rule.bad.MatchString(plain) {
				say(i, "%s: %s", rule.says, strings.TrimSpace(strings.Split(text, "\n")[i]))
			}
		}
		open = nixBrackets(code, indent, open)
	}
	return wrong
}

// nixIndent looks at where a line begins: what is in a bracket is further right than the line that opened
// it, and the closing one, like the commas of arguments, is below its beginning.
func nixIndent(code string, indent int, open []int, say func(string, ...any)) {
	if strings.Contains(code, "\t") {
		say("a tab")
	}
	if indent%2 != 0 {
		say("an indentation of %d", indent)
	}
	if len(open) == 0 {
		return
	}
	outer := open[len(open)-1]
	switch {
	case strings.ContainsAny(code[:1], "]})"):
		if indent != outer {
			say("the bracket closes at %d what begins at %d", indent, outer)
		}
	case code[0] == ',':
		if indent != outer {
			say("the comma is at %d, and its list begins at %d", indent, outer)
		}
	case indent == outer && regexp.MustCompile(`^(then|else)\b`).MatchString(code): // of (if …
	case indent <= outer:
		say("an indentation of %d in what begins at %d", indent, outer)
	}
}

// nixBrackets is what is open after a line.
func nixBrackets(code string, indent int, open []int) []int {
	for _, c := range code {
		switch c {
		case '[', '{', '(':
			open = append(open, indent)
		case ']', '}', ')':
			open = open[:max(len(open)-1, 0)]
		}
	}
	return open
}

func TestNixIsFormatted(t *testing.T) {
	files := 0
	for _, path := range tracked(t, ".nix") {
		if path == "Dockerfile.nix" { // a Dockerfile
			continue
		}
		files++
		for _, wrong := range nixFormat(readFile(t, path)) {
			t.Errorf("%s:%s", filepath.ToSlash(path), wrong)
		}
	}
	if files < 60 {
		t.Errorf("only %d files were found", files)
	}
}

// What is well formed in one place and not in another.
func TestNixFormatSees(t *testing.T) {
	const good = "{ lib, ... }:\n{\n  a = [ 1 2 ] ++ b; # words\n  c = ''\n   odd {\n  '';\n  d.${e} = x: \"a=${f { }}\";\n  g = { };\n}\n"
	if wrong := nixFormat(good); len(wrong) > 0 {
		t.Errorf("of a good text: %q", wrong)
	}
	for _, c := range []struct{ from, to, says string }{
		{"[ 1", "[1", "a bracket without"}, {"2 ]", "2]", "a bracket without"}, {"] ++ b", "]++ b", "no blank beside an operator"},
		{"  a =", "   a =", "an indentation of 3"}, {"  a =", "a =", "an indentation of 0 in what begins at 0"}, {"a = [", "a=[", "no blank beside ="},
		{"b;", "b ;", "a blank before a semicolon"}, {"};\n", "}; \n", "a blank at the end"}, {"\n}\n", "\n}", "one line break"},
		{"\n}\n", "\n  }\n", "the bracket closes at 2"}, {"a =", "a  =", "two blanks"}, {"x: ", "x:", "a colon"}, {"{\n  a", "{\n\n\n  a", "two empty lines"},
		{"\n  a", "\n\ta", "a tab"}, {"{ lib, ...", "{ lib,...", "semicolon or comma"}, {"  '';", " '';", ""},
	} {
		wrong := nixFormat(strings.Replace(good, c.from, c.to, 1))
		if c.says != "" && !strings.Contains(strings.Join(wrong, "\n"), c.says) {
			t.Errorf("with %q in place of %q it says %q, not %s", c.to, c.from, wrong, c.says)
		}
	}
}
