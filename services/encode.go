package services

import (
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Format is the form of the lines on the container's output.
type Format string

// The formats: a line to read, or one JSON object a line.
const (
	Text Format = "text"
	JSON Format = "json"
)

// stamp is the time on a line: RFC 3339 in UTC with milliseconds, of one width.
const stamp = "2006-01-02T15:04:05.000Z"

// form is how a line looks.
type form int

const (
	formText  form = iota // 2006-01-02T15:04:05.000Z web | text
	formColor             // the same with a coloured name
	formJSON              // {"time":"2006-01-02T15:04:05.000Z","service":"web","text":"text"}
)

// line appends one line.
func (f form) line(b []byte, name string, at time.Time, text []byte) []byte {
	return f.finish(f.head(b, name, at), text)
}

// head appends what stands before the text: it is the same for all lines that
// came at one time.
func (f form) head(b []byte, name string, at time.Time) []byte {
	if f == formJSON {
		b = at.UTC().AppendFormat(append(b, `{"time":"`...), stamp)
		b = escape(append(b, `","service":"`...), []byte(name))
		return append(b, `","text":"`...)
	}
	b = append(at.UTC().AppendFormat(b, stamp), ' ')
	if c := color(name); f == formColor && c != 0 {
		b = append(strconv.AppendInt(append(b, "\x1b["...), c, 10), 'm')
		b = append(append(b, name...), "\x1b[0m"...)
	} else {
		b = append(b, name...)
	}
	return append(b, " | "...)
}

// finish appends the text and the line's end.
func (f form) finish(b, text []byte) []byte {
	if f == formJSON {
		return append(escape(b, text), "\"}\n"...)
	}
	return append(append(b, text...), '\n')
}

// most is the length that a text may take, with its end.
func (f form) most(text int) int {
	if f == formJSON {
		return 6*text + 3 // \u0000
	}
	return text + 1
}

// color is a name's own code of ECMA-48's "select graphic rendition". Red is left
// for what goes wrong, init has none.
func color(name string) int64 {
	if name == initName {
		return 0
	}
	codes := []int64{32, 33, 34, 35, 36, 92, 93, 94, 95, 96}
	h := fnv.New32a()
	h.Write([]byte(name)) // never fails
	return codes[int(h.Sum32()%uint32(len(codes)))]
}

// escape appends text as the inside of a JSON string; bytes that are no UTF-8
// become U+FFFD. It is written by hand since encoding/json takes six times as long.
func escape(b, text []byte) []byte {
	const hex = "0123456789abcdef"
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRune(text[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, text[from:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, "\ufffd"...)
		case c >= ' ':
			b = append(b, '\\', c)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\n':
			b = append(b, `\n`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(b, text[from:]...)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	terminal := false
	err = conn.Control(func(fd uintptr) {
		_, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		terminal = err == nil
	})
	return err == nil && terminal
}
