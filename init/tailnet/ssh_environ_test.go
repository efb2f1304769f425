package tailnet

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestBoxEnviron reads what init writes, and what others have put beside it.
func TestBoxEnviron(t *testing.T) {
	root := t.TempDir()
	if got := boxEnviron(root); got != nil {
		t.Errorf("without a file: %q", got)
	}
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := `# BEGIN nix2vast
PATH='/run/nix2vast/bin:/usr/bin'
QUOTE='it'\''s = "$HOME" \n'
EMPTY=''
# END nix2vast
LANG=C.UTF-8
EDITOR="vi"
rubbish
=x
A B=c
`
	if err := os.WriteFile(filepath.Join(root, "etc/environment"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"PATH=/run/nix2vast/bin:/usr/bin", `QUOTE=it's = "$HOME" \n`, "EMPTY=", "LANG=C.UTF-8", "EDITOR=vi"}
	if got := boxEnviron(root); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}
