package compose

import (
	"fmt"
	"strings"

	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// expand replaces ${NAME} and ${NAME:-default}, and $$ by $, as process-compose
// does at load, in one value: a variable with a quote in it cannot break the file.
// $NAME is the shell's. Without an environment the braces are the shell's too.
func (p *project) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			rest = rest[1:]
		case strings.HasPrefix(rest, "{") && p.environ != nil:
			inside, behind, closed := strings.Cut(rest[1:], "}")
			value, ok := p.variable(inside)
			if !closed || !ok {
				return "", fmt.Errorf("%q is neither ${NAME} nor ${NAME:-default}; write $${ where the shell is to read it, or set disable_env_expansion",
					tree.Shorten("$"+rest))
			}
			out.WriteString(value)
			rest = behind
		default:
			out.WriteByte('$')
		}
		text = rest
	}
}

// variable is what is between the braces of ${ }: NAME, NAME-x, NAME:-x, NAME=x or NAME:=x.
func (p *project) variable(inside string) (value string, ok bool) {
	end := strings.IndexFunc(inside, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
	name, operator := inside, ""
	if end >= 0 {
		name, operator = inside[:end], inside[end:]
	}
	if name == "" {
		return "", false
	}
	value, set := p.environ[name]
	if operator == "" {
		return value, true
	}
	if rest, colon := strings.CutPrefix(operator, ":"); colon {
		operator, set = rest, value != ""
	}
	if operator == "" || operator[0] != '-' && operator[0] != '=' {
		return "", false
	}
	if !set {
		value = operator[1:]
	}
	return value, true
}

// rendered makes set replace {{.NAME}} too.
func (p *project) rendered(proc *process, set tree.Setter) tree.Setter {
	return func(n *tree.Node, at string) {
		expand := p.Expand
		defer func() { p.Expand = expand }()
		p.Expand = func(text string) (string, error) {
			if expand != nil {
				var err error
				if text, err = expand(text); err != nil {
					return "", err
				}
			}
			return render(text, proc.vars)
		}
		set(n, at)
	}
}

// render replaces {{.NAME}}: what of Go's templates is used in these files.
func render(text string, vars map[string]string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		inside, behind, closed := strings.Cut(rest, "}}")
		name, dotted := strings.CutPrefix(strings.TrimSpace(strings.Trim(inside, "-")), ".")
		value, known := vars[name]
		if !closed || !dotted || !known {
			return "", fmt.Errorf("%q is not {{.NAME}} of one of vars; set is_template_disabled where it is the command's own", tree.Shorten("{{"+rest))
		}
		out.WriteString(value)
		text = behind
	}
}
