package registry

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestRecord reads what many wrote at once, what is cut off, and what is not there.
func TestRecord(t *testing.T) {
	r := record{filepath.Join(t.TempDir(), "pushed")}
	const blob = "sha256:aa"
	err := each(t.Context(), 50, 10, func(_ context.Context, i int) error {
		return r.add("host", string(rune('a'+i%3)), blob)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"a", "b", "c", "d", "e"} {
		if err := r.add("host", repo, blob); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.from("host", "e", blob); len(got) != sources-1 || got[0] != "d" || len(r.from("other", "", blob)) > 0 {
		t.Errorf("%v", got)
	}
	if entries, err := os.ReadDir(r.dir); err != nil || len(entries) != 1 {
		t.Errorf("%v (%v)", entries, err)
	}
	if err := os.WriteFile(r.file(blob), []byte(`{"host": ["a`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := r.from("host", "", blob); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if err := r.add("host", "a", blob); err != nil || len(r.from("host", "", blob)) != 1 {
		t.Errorf("what was cut off stays (%v)", err)
	}
	if err := (record{}).add("host", "a", blob); err != nil {
		t.Error(err)
	}
}
