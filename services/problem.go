package services

import (
	"errors"
	"fmt"
	"strings"
)

// A Problem is one thing that is wrong with a definition, and where.
type Problem struct {
	File string
	Line int // 0: the file as a whole
	Text string
	// Warning: the definition is of use all the same, without that line.
	Warning bool
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Problems collects them, one error each, in the order in which they were found.
type Problems struct {
	File string
	list []error
}

// Add notes one; the format is that of fmt.Errorf.
func (p *Problems) Add(line int, format string, args ...any) {
	p.list = append(p.list, &Problem{File: p.File, Line: line, Text: strings.TrimSpace(fmt.Sprintf(format, args...))})
}

// Warn notes one that is a warning.
func (p *Problems) Warn(line int, text string) {
	p.list = append(p.list, &Problem{File: p.File, Line: line, Text: strings.TrimSpace(text), Warning: true})
}

// AddErr notes each of the errors that err joins at one place.
func (p *Problems) AddErr(line int, err error) {
	for _, e := range Split(err) {
		p.Add(line, "%v", e)
	}
}

// Err is all of them joined, or nil.
func (p *Problems) Err() error { return errors.Join(p.list...) }

// Split returns the errors that errors.Join put together, err itself where there
// are none, and nothing for nil.
func Split(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, Split(e)...)
	}
	return all
}
