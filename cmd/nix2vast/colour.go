package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// The few colours that there are, as terminals have them,
// https://www.ecma-international.org/publications-and-standards/standards/ecma-48/.
const (
	plain  = "\x1b[0m"
	dim    = "\x1b[2m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
)

// colours says whether what is written to w may be coloured.
func (a *app) colours(w io.Writer) bool { return !a.settings.noColor && isTerminal(w) }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
