package modular

import (
	"errors"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// commands reads one command line or several. An empty one takes away those before it.
func (r *reader) commands(to *services.Commands) tree.Setter {
	return func(n *tree.Node, at string) {
		var list []string
		r.TextOrTexts(&list)(n, at)
		*to = nil
		for _, text := range list {
			if strings.TrimSpace(text) == "" {
				*to = nil
				continue
			}
			*to = append(*to, r.command(n, at, text)...)
		}
	}
}

// command reads a command line of systemd, as systemd.service(5) tells under Command
// Lines: prefixes, quotes, and $NAME, which is left to the run.
func (r *reader) command(n *tree.Node, at, text string) services.Commands {
	var cmd services.Command
	text = strings.TrimSpace(text)
	named, expand := false, true
	for len(text) > 0 && strings.ContainsRune("-@:+!|", rune(text[0])) {
		switch text[0] {
		case '-':
			cmd.IgnoreFailure = true
		case '@':
			named = true
		case ':':
			expand = false
		case '+', '!':
			cmd.Privileged = true
		}
		text = text[1:]
	}
	words, err := split(text)
	if err == nil && (len(words) == 0 || named && len(words) < 2) {
		err = errors.New("it names no program")
	}
	if err != nil {
		r.Add(n, "%s: %q: %v", at, tree.Shorten(text), err)
		return nil
	}
	if named {
		cmd.Argv0 = words[1]
		words = append(words[:1], words[2:]...)
	}
	cmd.Argv = words
	cmd.Expand = expand && strings.Contains(text, "$")
	return services.Commands{cmd}
}

var errQuote = errors.New("a quote is not closed")

// split takes a line into words; quotes of both kinds and a backslash work as systemd has them.
func split(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text) && quote != '\'':
			i++
			begun = true
			if simple := strings.IndexByte("ntrs", text[i]); simple >= 0 {
				word.WriteByte("\n\t\r "[simple])
			} else if text[i] != '\n' {
				word.WriteByte(text[i])
			}
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\'') && !begun:
			quote, begun = c, true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			begun = true
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, errQuote
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}
