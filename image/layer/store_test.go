package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/nar"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// tree is what a test puts into a store path, by name. A name that ends in a slash is a
// directory, content that begins with "-> " a link, and with "#!" a program. The name "" is
// the path itself.
type tree map[string]string

// testStore is a folder with a /nix/store.
type testStore string

func newStore(t testing.TB) testStore {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(dir+plan.StoreDir, 0o755); err != nil {
		t.Fatal(err)
	}
	return testStore(dir)
}

// add makes a store path, with the hash and size that Nix would know.
func (s testStore) add(t testing.TB, title string, files tree, needs ...string) plan.Path {
	t.Helper()
	p := plan.Path{Path: storePathOf(title, title), References: needs}
	root := string(s) + p.Path
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, path := files[name], root
		if name != "" {
			path = root + "/" + name
		}
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		target, link := strings.CutPrefix(text, "-> ")
		switch {
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		case link:
			err = errors.Join(err, os.Symlink(target, path))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
			if strings.HasPrefix(text, "#!") {
				err = errors.Join(err, os.Chmod(path, 0o755))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if p.NarHash, p.NarSize, err = nar.Hash(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	return p
}

// layerOf is a layer with whole store paths.
func layerOf(paths ...plan.Path) Layer {
	l := Layer{Name: "test"}
	for _, p := range paths {
		l.Items = append(l.Items, Item{Path: p, Target: p.Path})
		l.Size += p.NarSize
	}
	l.Key = l.key()
	return l
}

// tarOf is the tar stream of a layer.
func (s testStore) tarOf(t testing.TB, l Layer) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := l.Tar(context.Background(), &b, string(s)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// member is an entry of a tar stream.
type member struct {
	tar.Header
	content string
}

// members reads a tar stream by the standard library.
func members(t *testing.T, stream []byte) []member {
	t.Helper()
	var list []member
	for r := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, member{*h, string(content)})
	}
}
