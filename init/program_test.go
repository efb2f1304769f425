package boot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestUnpack(t *testing.T) {
	const name = "tool"
	large := strings.Repeat("x", 200_000)
	for _, tt := range []struct {
		name  string
		there func(file string) error // before
	}{
		{"nothing", func(string) error { return nil }},
		{"the same", func(file string) error { return os.WriteFile(file, []byte(large), 0o755) }},
		{"the same, not executable", func(file string) error { return os.WriteFile(file, []byte(large), 0o644) }},
		{"another", func(file string) error { return os.WriteFile(file, []byte("y"+large[1:]), 0o755) }},
		{"its beginning", func(file string) error { return os.WriteFile(file, []byte(large[:128<<10]), 0o755) }},
		{"more", func(file string) error { return os.WriteFile(file, []byte(large+"x"), 0o755) }},
		{"a link to another file", func(file string) error { return os.Symlink("/etc/passwd", file) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run", "programs")
			want := filepath.Join(dir, "tool")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := tt.there(want); err != nil {
				t.Fatal(err)
			}
			old := time.Unix(1e9, 0)
			if tt.name == "the same" {
				if err := os.Chtimes(want, old, old); err != nil {
					t.Fatal(err)
				}
			}
			file, err := unpack(fstest.MapFS{name: {Data: []byte(large)}}, name, dir)
			if err != nil || file != want {
				t.Fatalf("%q, %v", file, err)
			}
			got, err := os.ReadFile(file)
			if err != nil || string(got) != large {
				t.Errorf("it holds %d bytes, %v", len(got), err)
			}
			st, err := os.Lstat(file)
			if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o755 {
				t.Errorf("it is %v, %v", st.Mode(), err)
			}
			if kept := st.ModTime().Equal(old); kept != (tt.name == "the same") {
				t.Errorf("written anew: %v", !kept)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
				t.Errorf("beside it lie %v, %v", list, err)
			}
		})
	}
}

func TestRunFromSaysWhy(t *testing.T) {
	err := runFrom(t.TempDir(), nil, "tool")
	if err == nil || !strings.Contains(err.Error(), "this init was built without the program tool, and there is none at /") {
		t.Errorf("without programs: %v", err)
	}
	if err := runFrom(t.TempDir(), fstest.MapFS{}, "tool"); err != ErrNoInit {
		t.Errorf("without an init: %v", err)
	}
}
