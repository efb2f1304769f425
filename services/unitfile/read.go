package unitfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/unit"

	"github.com/fleek-platform/nix2vast/services"
)

// longestLine is systemd's LONG_LINE_MAX, in bytes, continuations included.
const longestLine = 1 << 20

// blanks is what separates words and is cut off around names and values.
const blanks = " \t\n\r"

// An option is one assignment and where it was read.
type option struct {
	unit.UnitOption
	file string
	line int // of its first line
}

// problems collects what is wrong, over all files of a unit.
type problems struct {
	list  []error
	fatal bool // one of them is more than a warning
}

func (p *problems) add(file string, line int, warning bool, format string, args ...any) {
	p.list = append(p.list, &services.Problem{File: file, Line: line, Warning: warning, Text: fmt.Sprintf(format, args...)})
	p.fatal = p.fatal || !warning
}

func (p *problems) bad(o option, format string, args ...any) {
	p.add(o.file, o.line, false, format, args...)
}

func (p *problems) warn(o option, format string, args ...any) {
	p.add(o.file, o.line, true, format, args...)
}

// merge takes over those of another list.
func (p *problems) merge(other *problems) {
	if other == nil {
		return
	}
	p.list = append(p.list, other.list...)
	p.fatal = p.fatal || other.fatal
	other.list = nil
}

func (p *problems) err() error { return errors.Join(p.list...) }

// A reader turns the text of one file into its assignments, by the rules of
// systemd.syntax(7) and of config_parse in systemd's conf-parser.c.
type reader struct {
	file     string
	section  string
	problems *problems
	options  []option
}

// read appends the assignments of a file, in order. What systemd would skip with
// a warning is skipped with one.
func read(file string, b []byte, p *problems) []option {
	r := reader{file: file, problems: p}
	text := strings.TrimPrefix(string(b), "\ufeff")
	var joined strings.Builder // the lines so far of one that goes on
	first, number, goesOn := 0, 0, false
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), blanks)
		if line != "" && (line[0] == '#' || line[0] == ';') {
			continue
		}
		if !goesOn {
			first = number
			joined.Reset()
		}
		goesOn = escapedEnd(line)
		if goesOn {
			line = line[:len(line)-1] + " "
		}
		joined.WriteString(line)
		if !goesOn {
			r.assignment(first, joined.String())
		}
	}
	if goesOn {
		r.assignment(first, joined.String())
	}
	return r.options
}

// escapedEnd says whether a line ends with a backslash that no other one escapes.
func escapedEnd(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

func (r *reader) assignment(number int, line string) {
	warn := func(format string, args ...any) { r.problems.add(r.file, number, true, format, args...) }
	line = strings.Trim(line, blanks)
	switch {
	case line == "":
		return
	case len(line) > longestLine:
		r.problems.add(r.file, number, false, "the line has %d bytes, %d are the most that systemd takes", len(line), longestLine)
		return
	case strings.IndexByte(line, 0) >= 0:
		r.problems.add(r.file, number, false, "the line holds a NUL byte")
		return
	case !utf8.ValidString(line):
		warn("the line is not UTF-8 and is ignored; write the bytes as \\xHH")
		return
	case line[0] == '[':
		r.section = strings.TrimSuffix(line[1:], "]")
		if !strings.HasSuffix(line, "]") {
			warn("%s lacks the closing bracket; what follows is ignored", quoted(line))
			r.section = "X-"
		} else if !knownSection(r.section) {
			warn("there is no section [%s]%s; it is ignored", r.section, didYouMean(r.section, sections))
		}
		return
	}
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.Trim(name, blanks), strings.Trim(value, blanks)
	switch {
	case r.section == "":
		warn("%s stands before the first section, such as [Service], and is ignored", quoted(line))
	case strings.HasPrefix(r.section, "X-") || !knownSection(r.section):
	case !ok || name == "":
		warn("%s is not of the form NAME=VALUE and is ignored", quoted(line))
	default:
		r.options = append(r.options, option{unit.UnitOption{Section: r.section, Name: name, Value: value}, r.file, number})
	}
}

// quoted shows the begin of a text in a message.
func quoted(text string) string {
	const most = 60
	if len(text) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(text[:most], ""))
	}
	return fmt.Sprintf("%q", text)
}
