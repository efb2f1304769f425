package services

import (
	"slices"
	"strings"
)

// expand returns the words of the command with the variables of env in them, by
// the rules of systemd.service(5), "Command lines": a word that is $NAME becomes
// the words of the value, maybe none; ${NAME} becomes the value wherever it
// stands; $$ is a dollar sign; every other $ is itself. A variable that is not
// set is empty. The program, the first word, is taken as it is.
func (c Command) expand(env []string) []string {
	if !c.Expand || len(c.Argv) == 0 {
		return slices.Clone(c.Argv) // the caller may change it
	}
	argv := append(make([]string, 0, len(c.Argv)), c.Argv[0])
	for _, word := range c.Argv[1:] {
		name, dollar := strings.CutPrefix(word, "$")
		switch {
		case dollar && isVariable(name):
			argv = append(argv, splitWords(valueOf(env, name))...)
		default:
			argv = append(argv, expandWord(word, env))
		}
	}
	return argv
}

// valueOf is the value of a variable in an environment, or "".
func valueOf(env []string, name string) string {
	for _, entry := range env {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return entry[len(name)+1:]
		}
	}
	return ""
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func expandWord(word string, env []string) string {
	var out strings.Builder
	for {
		text, rest, found := strings.Cut(word, "$")
		out.WriteString(text)
		if !found {
			return out.String()
		}
		name, behind, closed := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			rest = rest[1:]
		case strings.HasPrefix(rest, "{") && closed:
			out.WriteString(valueOf(env, name))
			rest = behind
		default:
			out.WriteByte('$')
		}
		word = rest
	}
}

// splitWords splits at white space, and takes what is in quotes as one word; a
// quote that is never closed ends with the text.
func splitWords(text string) []string {
	const space = " \t\r\n"
	var words []string
	for text = strings.TrimLeft(text, space); text != ""; text = strings.TrimLeft(text, space) {
		var word []byte
		quote := byte(0)
		i := 0
		for ; i < len(text); i++ {
			c := text[i]
			switch {
			case c == '\\' && quote != '\'' && i+1 < len(text):
				i++
				word = append(word, text[i])
				continue
			case c == quote:
				quote = 0
				continue
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
				continue
			}
			if quote == 0 && strings.IndexByte(space, c) >= 0 {
				break
			}
			word = append(word, c)
		}
		words = append(words, string(word))
		text = text[i:]
	}
	return words
}
