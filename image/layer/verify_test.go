package layer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/image/nar"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// settle waits until the clock of files has passed what a Cache would not believe.
func settle(t testing.TB) {
	t.Helper()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for range 2 {
		<-ticker.C
	}
}

// flip changes a byte of a file and gives it its times back.
func flip(t *testing.T, path string) {
	t.Helper()
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if err := errors.Join(os.WriteFile(path, b, 0), os.Chtimes(path, before.ModTime(), before.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	s := newStore(t)
	good := s.add(t, "good-1", tree{"bin/a": "#!a", "share/b": "b"})
	one, two := s.add(t, "one-1", tree{"lib/one": "1"}), s.add(t, "two-2", tree{"": "2"})
	large := s.add(t, "large-1", tree{"a": strings.Repeat("a", 5000), "b": strings.Repeat("b", 5000)})
	layers := append([]Layer{layerOf(good, one), layerOf(two)}, partsOf(large, 3)...)
	settle(t)
	cache := Cache{Dir: t.TempDir()}
	verify := func() error { return Verify(t.Context(), layers, string(s), cache) }
	if err := errors.Join(verify(), verify()); err != nil {
		t.Fatal(err)
	}
	flip(t, string(s)+one.Path+"/lib/one")
	flip(t, string(s)+two.Path)
	flip(t, string(s)+large.Path+"/b")
	settle(t) // what is wrong must not be remembered as right
	empty := Cache{Dir: t.TempDir()}
	hash := func() error {
		_, err := Hash(t.Context(), layers, string(s), empty)
		return err
	}
	for _, check := range []func() error{verify, hash, hash, verify} {
		err := check()
		for _, p := range []plan.Path{one, two, large} {
			if err == nil || strings.Count(err.Error(), p.Path) != 2 || !strings.Contains(err.Error(), p.NarHash) {
				t.Fatalf("%v, want %s", err, p.Path)
			}
		}
		if strings.Contains(err.Error(), good.Path) || !strings.Contains(err.Error(), "nix-store --store "+string(s)+" --repair-path "+plan.StoreDir) {
			t.Error(err)
		}
	}
	flip(t, string(s)+one.Path+"/lib/one")
	flip(t, string(s)+two.Path)
	flip(t, string(s)+large.Path+"/b")
	if err := errors.Join(verify(), hash()); err != nil {
		t.Error(err)
	}
}

// TestVerifiedIsNotReadAgain lets Hash verify a path, and changes it in a way that only a
// reading could notice: it gives the record the fingerprint of the changed file.
func TestVerifiedIsNotReadAgain(t *testing.T) {
	s := newStore(t)
	p := s.add(t, "some-1", tree{"file": "content"})
	root := string(s) + p.Path
	cache := Cache{Dir: t.TempDir()}
	settle(t)
	if _, err := Hash(t.Context(), []Layer{layerOf(p)}, string(s), cache); err != nil {
		t.Fatal(err)
	}
	name, print := verifiedName(root, p.NarHash), func() verified {
		f := newFingerprint()
		if err := nar.Walk(t.Context(), root, f); err != nil {
			t.Fatal(err)
		}
		return verified{f.String()}
	}
	var v verified
	if !cache.read(name, &v) || v != print() {
		t.Fatalf("Hash remembers %v, want %v", v, print())
	}
	flip(t, root+"/file")
	if err := cache.write(name, print()); err != nil {
		t.Fatal(err)
	}
	if err := Verify(t.Context(), []Layer{layerOf(p)}, string(s), cache); err != nil {
		t.Error("the file was read again: ", err)
	}
}

// TestChangedAtOnce changes a file within one tick of the clock after it was written: its
// times may be the same, so the first reading must not be remembered.
func TestChangedAtOnce(t *testing.T) {
	s := newStore(t)
	for i := range 20 {
		cache := Cache{Dir: t.TempDir()}
		began := time.Now()
		p := s.add(t, fmt.Sprint("fresh-", i), tree{"file": "content"})
		if err := Verify(t.Context(), []Layer{layerOf(p)}, string(s), cache); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		entries, err := os.ReadDir(cache.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 0 && took < tick/2 {
			t.Errorf("a file that is %v old is believed to stay", took)
		}
	}
}

func TestMissing(t *testing.T) {
	s := newStore(t)
	here := s.add(t, "here-1", tree{"": "x"})
	layers := []Layer{layerOf(aPath("gone-2", 1), here), layerOf(aPath("gone-1", 1))}
	_, err := Hash(t.Context(), layers, string(s), Cache{})
	for _, err := range []error{err, Verify(t.Context(), layers, string(s), Cache{})} {
		var want []string
		for _, l := range layers {
			want = append(want, l.Items[0].Path.Path)
		}
		slices.Sort(want)
		text := fmt.Sprintf("not here:\n  %s\nbuild or fetch them: nix-store --store %s --realise %s",
			strings.Join(want, "\n  "), s, strings.Join(want, " "))
		if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), here.Path) {
			t.Errorf("%v, want %s", err, text)
		}
	}
}

// TestHash wants what Tar makes, once for all and without reading what is known.
func TestHash(t *testing.T) {
	s := newStore(t)
	a, b := s.add(t, "a-1", tree{"a": "1"}), s.add(t, "b-1", tree{"b": "2"})
	layers := append([]Layer{layerOf(a), layerOf(b), {Name: "made", Key: Layer{Name: "made"}.key()}},
		partsOf(s.add(t, "c-1", tree{"c": strings.Repeat("c", 3000), "d": "4"}), 2)...)
	cache := Cache{Dir: t.TempDir() + "/made/by/Put"}
	first, err := Hash(t.Context(), layers, string(s), cache)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		sum := NewSum(new(strings.Builder))
		if err := l.Tar(t.Context(), sum, string(s)); err != nil {
			t.Fatal(err)
		}
		if first[i].DiffID != sum.Digest() || first[i].Size != sum.Size() {
			t.Errorf("%s: %+v, want %s", l.Name, first[i], sum.Digest())
		}
	}
	if err := os.RemoveAll(string(s)); err != nil {
		t.Fatal(err)
	}
	again, err := Hash(t.Context(), layers, string(s), cache)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(first) {
		t.Errorf("%v, %v", again, err)
	}
	_, err = Hash(t.Context(), layers, string(s), Cache{})
	if err == nil || !strings.Contains(err.Error(), a.Path) {
		t.Error(err)
	}
}

func TestFingerprintSeesEverything(t *testing.T) {
	s := newStore(t)
	p := s.add(t, "some-1", tree{"dir/file": "content", "dir/other": "content", "link": "-> dir"})
	root := string(s) + p.Path
	cache := Cache{Dir: t.TempDir()}
	verify := func() error { return Verify(t.Context(), []Layer{layerOf(p)}, string(s), cache) }
	for name, change := range map[string]func() error{
		"a file more":     func() error { return os.WriteFile(root+"/dir/new", nil, 0o644) },
		"a file less":     func() error { return os.Remove(root + "/dir/other") },
		"another name":    func() error { return os.Rename(root+"/dir/file", root+"/dir/filf") },
		"another target":  func() error { return errors.Join(os.Remove(root+"/link"), os.Symlink("dis", root+"/link")) },
		"another mode":    func() error { return os.Chmod(root+"/dir/file", 0o755) },
		"another content": func() error { return os.WriteFile(root+"/dir/file", []byte("CONTENT"), 0) },
		"the files swapped": func() error {
			return errors.Join(os.WriteFile(root+"/dir/other", []byte("c0ntent"), 0),
				unix.Renameat2(unix.AT_FDCWD, root+"/dir/other", unix.AT_FDCWD, root+"/dir/file", unix.RENAME_EXCHANGE))
		},
	} {
		settle(t)
		if err := verify(); err != nil {
			t.Fatal(err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := verify(); err == nil || !strings.Contains(err.Error(), p.Path) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.RemoveAll(root); err != nil {
			t.Fatal(err)
		}
		s.add(t, "some-1", tree{"dir/file": "content", "dir/other": "content", "link": "-> dir"})
	}
}
