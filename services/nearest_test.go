package services

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"web", "postgresql", "sshd", "working_dir", "ExecStart"}
	for word, want := range map[string]string{
		"wbe": "web", "webb": "web", "WEB": "web", "postgres": "postgresql", "posgresql": "postgresql", "ssh": "sshd",
		"workingDir": "working_dir", "Execstrat": "ExecStart", "nginx": "", "x": "", "redis": "", "": "", strings.Repeat("x", 1000): "",
		"ProtectSystemOfMine": "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%.40q: %q, want %q", word, got, want)
		}
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"wbe", "web", 1}, {"GPUWAIT", "GPU_WAIT", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
