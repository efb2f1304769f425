package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGitHubToken runs a gh that is logged in, one that is not, and none.
func TestGitHubToken(t *testing.T) {
	for script, want := range map[string]string{
		"":                                  "",
		"#!/bin/sh\nexit 4\n":               "",
		"#!/bin/sh\necho \"token of $*\"\n": "token of auth token --hostname github.com",
	} {
		dir := t.TempDir()
		t.Setenv("PATH", dir)
		if script != "" {
			if err := os.WriteFile(filepath.Join(dir, "gh"), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := GitHubToken(t.Context()); err != nil || got != want {
			t.Errorf("%q: %q (%v)", script, got, err)
		}
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := os.WriteFile(filepath.Join(dir, "gh"), []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := GitHubToken(t.Context()); err == nil {
		t.Error("a gh that does not start is no error")
	}
}
