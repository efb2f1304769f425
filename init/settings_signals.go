package boot

import (
	"fmt"
	"strings"
	"syscall"
)

// setSignals takes what the main command gets in the place of signals: FROM:TO, with
// names or numbers, and 0 for none. That of dumb-init --rewrite is "15:3".
func setSignals(s *Settings, v Variable) string {
	instead := map[syscall.Signal]syscall.Signal{}
	for _, word := range strings.FieldsFunc(v.Value, func(r rune) bool { return r == ',' || r == ' ' }) {
		from, to, ok := strings.Cut(word, ":")
		sig, other := ParseSignal(from), ParseSignal(to)
		if !ok || sig == 0 || other == 0 && to != "0" {
			return fmt.Sprintf("%s: %s is not of the form TERM:INT, or TERM:0 for none: signals stay as they are", v.Name, excerpt(word))
		}
		if sig == syscall.SIGKILL || sig == syscall.SIGSTOP || sig == syscall.SIGCHLD {
			return fmt.Sprintf("%s: %s never gets to the main command: signals stay as they are", v.Name, excerpt(from))
		}
		instead[sig] = other
	}
	s.Signals = instead
	return ""
}

// What Settings.SignalScope may be.
const (
	ScopeGroup   = "group"
	ScopeProcess = "process"
)
