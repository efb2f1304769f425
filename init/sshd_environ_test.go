package boot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSetEnvHasLimits: sshd reads it for each connection. What it leaves out is
// counted, and what only it can pass on comes first.
func TestSetEnvHasLimits(t *testing.T) {
	short, long := []string{"A=1", "LARGE=" + strings.Repeat("x", setEnvBytes)}, []string{}
	for i := range setEnvMost {
		short = append(short, fmt.Sprintf("V%04d=%d", i, i))
		long = append(long, fmt.Sprintf("V%04d=%s", i, strings.Repeat("y", 1000)))
	}
	rest := []string{"PATH=/bin", "ZEBRA=a b", "with-dash=1", "LINES=a\nb"}
	for name, c := range map[string]struct {
		environ      []string
		left, atMost int
		has          []string
	}{
		"few":   {rest, 0, 3, []string{`"PATH=/bin"`, `"ZEBRA=a b"`, `"with-dash=1"`}},
		"many":  {slices.Concat(short, rest), 5, setEnvMost, []string{`"PATH=/bin"`, `"with-dash=1"`, `"A=1"`, `"V0996=996"`}},
		"large": {slices.Concat(long, rest), setEnvMost - 129, 132, []string{`"PATH=/bin"`, `"with-dash=1"`, `"V0128=yy`}},
	} {
		line, left := setEnv(c.environ)
		if left != c.left || strings.Count(line, "=") != c.atMost || len(line) > setEnvBytes+setEnvMost {
			t.Errorf("%s: %d left, %d bytes, %d variables", name, left, len(line), strings.Count(line, "="))
		}
		for _, want := range c.has {
			if !strings.Contains(line, want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
	}
}

func TestAnEnvironmentThatIsTooLargeIsSaid(t *testing.T) {
	c := &Container{Root: t.TempDir(), Environ: []string{"A=1", "LARGE=" + strings.Repeat("x", setEnvBytes)}}
	if _, err := writeSSHD(c); err != nil {
		t.Fatal(err)
	}
	if len(c.Problems) != 1 || !strings.Contains(c.Problems[0], ": 1 of its 2 variables reach sessions by the files that shells read") {
		t.Errorf("%q", c.Problems)
	}
}
