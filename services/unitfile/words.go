package unitfile

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A scanner takes a value apart into words, by "Quoting" in systemd.syntax(7).
type scanner struct {
	rest string
	odd  []string // escapes that are none; they stay as they are
}

// next returns the next word; ok is false at the end.
func (s *scanner) next() (word string, ok bool, err error) {
	s.rest = strings.TrimLeft(s.rest, blanks)
	if s.rest == "" {
		return "", false, nil
	}
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '\\':
			text, n, known := unescape(s.rest[i:])
			if n < 2 {
				return "", false, fmt.Errorf("a backslash ends %s", quoted(s.rest))
			}
			if !known {
				s.odd = append(s.odd, text)
			}
			b.WriteString(text)
			i += n - 1
		case c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote = c
		case strings.IndexByte(blanks, c) >= 0:
			s.rest = s.rest[i:]
			return b.String(), true, nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", false, fmt.Errorf("a quote is not closed in %s", quoted(s.rest))
	}
	s.rest = ""
	return b.String(), true, nil
}

// unescape reads one escape, as cunescape_one of systemd's escape.c does: what it
// stands for, and how many bytes of text it takes. An unknown one stands for itself.
func unescape(text string) (plain string, n int, known bool) {
	if len(text) < 2 {
		return "", len(text), false
	}
	if i := strings.IndexByte(`abfnrtv\"'s`, text[1]); i >= 0 {
		return "\a\b\f\n\r\t\v\\\"' "[i : i+1], 2, true
	}
	digits, base, from := 0, 16, 2
	switch c := text[1]; {
	case c == 'x':
		digits = 2
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	case c >= '0' && c <= '7':
		digits, base, from = 3, 8, 1
	}
	if digits > 0 && len(text) >= from+digits {
		code, err := strconv.ParseUint(text[from:from+digits], base, 32)
		switch {
		case err != nil || code == 0:
		case digits <= 3 && code <= 0xff:
			return string([]byte{byte(code)}), from + digits, true
		case digits > 3 && utf8.ValidRune(rune(code)):
			return string(rune(code)), from + digits, true
		}
	}
	_, size := utf8.DecodeRuneInString(text[1:])
	return text[:1+size], 1 + size, false
}

// quoteWord writes a word so that a scanner gives it back.
func quoteWord(word string) string {
	if word == ";" {
		return `\;`
	}
	plain := word != ""
	for _, c := range word {
		if c <= ' ' || c == 0x7f || c == utf8.RuneError || strings.ContainsRune(`"'\`, c) {
			plain = false
		}
	}
	if plain {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(word); {
		r, size := utf8.DecodeRuneInString(word[i:])
		switch c := word[i]; {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f || r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteString(word[i : i+size])
		}
		i += size
	}
	b.WriteByte('"')
	return b.String()
}
