package services

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadProc(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	for _, n := range []int{0, 1, 2047, 2048, 2049, 100_000} {
		want := strings.Repeat("x", n)
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := readProc(file); err != nil || string(got) != want {
			t.Errorf("of %d bytes it reads %d, %v", n, len(got), err)
		}
	}
	if _, err := readProc(file + "s"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	if _, err := readProc(filepath.Dir(file)); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("of a directory: %v", err)
	}
}
