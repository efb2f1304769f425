package registry

import (
	"strings"
	"testing"
)

// TestMessage: whatever a registry says fits on a line, and does nothing to a terminal.
func TestMessage(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a\nb\t c\r": "a b c", "\x1b[31mred\x07": "[31mred", strings.Repeat("é", 600): strings.Repeat("é", 500) + "…",
		`{"errors":[{"code":"DENIED","message":"no"},{"code":"X","message":"y\nz","detail":1}]}`: "denied no x y z",
		`{"errors":[]}`: `{"errors":[]}`, "\xff\xfe": "",
	} {
		if got := (&transport{}).message(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// TestMessageHidesFirst: no part of a secret is left where the rest was cut off.
func TestMessageHidesFirst(t *testing.T) {
	base := &transport{secrets: map[string]bool{"MARKER-MARKER": true}}
	for n := maxShown - 20; n < maxShown+5; n++ {
		text := strings.Repeat("x", n) + "MARKER-MARKER"
		for _, in := range []string{text, `{"errors":[{"message":"` + text + `"}]}`} {
			if got := base.message(in); strings.Contains(got, "xM") {
				t.Fatalf("%d: %q", n, got)
			}
		}
	}
}
