package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// golden is a layer with everything that a tar stream may have.
func golden(t *testing.T, s testStore) Layer {
	t.Helper()
	l := layerOf(
		s.add(t, "one-1.0", tree{
			"bin/run": "#!/bin/sh\n", "lib/data": strings.Repeat("0123456789", 1000), "lib/current": "-> data",
			"lib/twin":     strings.Repeat("0123456789", 1000),
			"share/empty/": "", "share/Grüße": "hello\n", "zero": "",
			strings.Repeat("deep/", 50) + strings.Repeat("n", 250): "a path of 500 bytes",
		}),
		s.add(t, "two-2.0", tree{"": "a store path that is a file"}),
		s.add(t, "three-3.0", tree{"": "-> " + strings.Repeat("far/", 60)}),
	)
	l.Items = append(l.Items,
		Item{Path: s.add(t, "rootfs", tree{"etc/passwd": "root:x:0:0\n", "etc/shadow": "root::\n", "usr/bin/env": "#!\n", "tmp/": ""}),
			Target: "/", Modes: map[string]string{"/etc/shadow": "0600", "/tmp": "1777"}},
		Item{Path: s.add(t, "init", tree{"": "#! ELF"}), Target: "/sbin/init", Modes: map[string]string{"/sbin/init": "4755"}})
	l.Made = []Made{
		{Name: "nix-path-registration", Mode: 0o644, Data: []byte("text\n")},
		{Name: "nix/var/nix/db", Mode: 0o755, Dir: true},
		{Name: "nix/var/nix/gcroots/nix2vast/one", Link: "/nix/store/one"},
	}
	l.Key = l.key()
	return l
}

// goldenDigest is that of golden's tar stream. Whoever changes it raises Format.
const goldenDigest = "sha256:e9cfe0dadbc364ab89f405777b5c390ca5e30fc3f28e2ebdaa360a05d4df606f"

// TestGolden makes the tree twice, with all that Nix does not hash being different.
func TestGolden(t *testing.T) {
	s := newStore(t)
	l := golden(t, s)
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(s.tarOf(t, l))); got != goldenDigest || Format != 1 {
		t.Errorf("the stream is %s in format %d, was %s in format 1", got, Format, goldenDigest)
	}
	defer unix.Umask(unix.Umask(0o077))
	other := newStore(t)
	golden(t, other)
	one := string(other) + l.Items[0].Path.Path
	if err := errors.Join(os.Remove(one+"/lib/twin"), os.Link(one+"/lib/data", one+"/lib/twin")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(string(other), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		now := time.Now()
		return errors.Join(os.Chmod(path, info.Mode()&0o700|0o007), os.Chtimes(path, now, now))
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(s.tarOf(t, l), other.tarOf(t, l)) {
		t.Error("modes, times or umask have changed the stream")
	}
}

// TestHeaders reads the golden layer by the standard library.
func TestHeaders(t *testing.T) {
	s := newStore(t)
	l := golden(t, s)
	modes, position := map[string]int64{}, map[string]int{}
	for n, m := range members(t, s.tarOf(t, l)) {
		if m.Uid != 0 || m.Gid != 0 || m.Uname != "root" || m.Gname != "root" || m.ModTime.Unix() != 1 || strings.HasPrefix(m.Name, "/") {
			t.Errorf("%+v", m.Header)
		}
		if _, twice := modes[m.Name]; twice {
			t.Errorf("%s is there twice", m.Name)
		}
		modes[m.Name], position[m.Name] = m.Mode, n
		if dir := filepath.Dir(strings.TrimSuffix(m.Name, "/")) + "/"; dir != "./" {
			if at, ok := position[dir]; !ok || at >= n {
				t.Errorf("%s comes before its directory", m.Name)
			}
		}
	}
	one := l.Items[0].Path.Path[1:]
	for name, want := range map[string]int64{
		"nix/": 0o755, "nix/store/": 0o755, one + "/": 0o555, one + "/bin/": 0o555, one + "/bin/run": 0o555,
		one + "/lib/data": 0o444, one + "/lib/current": 0o777, one + "/share/empty/": 0o555,
		"etc/": 0o755, "etc/passwd": 0o644, "etc/shadow": 0o600, "tmp/": 0o1777, "usr/bin/env": 0o755,
		"sbin/": 0o755, "sbin/init": 0o4755, "nix/var/nix/db/": 0o755, "nix-path-registration": 0o644,
		"nix/var/nix/gcroots/nix2vast/one": 0o777,
	} {
		if got, ok := modes[name]; !ok || got != want {
			t.Errorf("%s has the mode %o (%v), want %o", name, got, ok, want)
		}
	}
}

// TestGNUTar unpacks names that only a test has, by another program.
func TestGNUTar(t *testing.T) {
	s := newStore(t)
	files := tree{
		"new\nline": "1", "tab\tquote'\"\\": "2", "Grüße/世界": "3", "\xff\xfe\x80": "4", strings.Repeat("n", 250): "5",
		strings.Repeat("p/", 200) + "end": "6", strings.Repeat("ü", 127): "7", " lead": "8", "-rf": "9", "…/" + strings.Repeat("q", 99): "10",
		"link": "-> " + strings.Repeat("t/", 300) + "\xff\n", "Case": "A", "case": "a", "empty/": "", "=": "11", "1=2\n3": "12",
	}
	p := s.add(t, "odd-1", files)
	stream := s.tarOf(t, layerOf(p))
	for _, locale := range []string{"C", "C.UTF-8"} {
		to := t.TempDir()
		cmd := exec.Command("tar", "-x", "--same-permissions", "-C", to)
		cmd.Stdin, cmd.Env = bytes.NewReader(stream), append(os.Environ(), "LC_ALL="+locale)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("chmod", "-R", "u+w", to).Run() })
		if err := Verify(t.Context(), []Layer{layerOf(p)}, to, Cache{}); err != nil {
			t.Errorf("%s: %v", locale, err)
		}
		var stat unix.Stat_t
		if err := unix.Stat(to+p.Path+"/Case", &stat); err != nil || stat.Mode&0o7777 != 0o444 || stat.Mtim.Sec != 1 {
			t.Errorf("%o, %v, %v", stat.Mode, stat.Mtim, err)
		}
	}
	for _, m := range members(t, stream) {
		name := strings.TrimPrefix(m.Name, p.Path[1:]+"/")
		if want, ok := files[name]; ok && m.Typeflag == tar.TypeReg && m.content != want {
			t.Errorf("%q holds %q, want %q", name, m.content, want)
		}
		delete(files, name)
	}
	if len(files) > 0 {
		t.Errorf("the standard library does not see %q", files)
	}
}

// randomTree has directories, empty ones among them, and files of 0 to 9,999 bytes.
func randomTree(r *rand.Rand) tree {
	files := tree{}
	for range 1 + r.IntN(60) {
		name := ""
		for range 1 + r.IntN(4) {
			name += fmt.Sprintf("%c%d/", 'a'+r.IntN(3), r.IntN(3))
		}
		switch r.IntN(8) {
		case 0:
			files[name+"empty/"] = ""
		case 1:
			files[name+"link"] = "-> elsewhere"
		default:
			files[fmt.Sprint(name, "file", r.IntN(5))] = strings.Repeat("x", r.IntN(10000)*r.IntN(2))
		}
	}
	return files
}

// TestParts wants the parts of a path to be the path: each file once, each directory where
// it is needed, with the mode that it has in the whole.
func TestParts(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		s := newStore(t)
		p := s.add(t, "large", randomTree(r))
		whole := map[string]member{}
		for _, m := range members(t, s.tarOf(t, layerOf(p))) {
			whole[m.Name] = m
		}
		layers := partsOf(p, 1+r.IntN(9))
		digests, err := Hash(t.Context(), layers, string(s), Cache{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{} // in how many parts
		for n, l := range layers {
			stream := s.tarOf(t, l)
			if got := fmt.Sprintf("sha256:%x", sha256.Sum256(stream)); got != digests[n].DiffID || int64(len(stream)) != digests[n].Size {
				t.Errorf("seed %d: part %d is %s alone, and %s with the others", seed, n, got, digests[n].DiffID)
			}
			dirs := map[string]bool{"./": true}
			for _, m := range members(t, stream) {
				if w := whole[m.Name]; w.content != m.content || w.Mode != m.Mode || w.Linkname != m.Linkname || w.Typeflag != m.Typeflag {
					t.Errorf("seed %d: %s differs in part %d", seed, m.Name, n)
				}
				if !dirs[filepath.Dir(strings.TrimSuffix(m.Name, "/"))+"/"] {
					t.Errorf("seed %d: %s comes before its directory", seed, m.Name)
				}
				dirs[m.Name] = m.Typeflag == tar.TypeDir
				seen[m.Name]++
			}
			for name, dir := range dirs { // none for nothing
				below := func(other string) bool { return other != name && strings.HasPrefix(other, name) }
				empty := !slices.ContainsFunc(slices.Collect(maps.Keys(whole)), below)
				if dir && !empty && name != "./" && !slices.ContainsFunc(slices.Collect(maps.Keys(dirs)), below) {
					t.Errorf("seed %d: there is nothing for %s in part %d", seed, name, n)
				}
			}
		}
		for name, m := range whole {
			if n := seen[name]; n == 0 || n > 1 && m.Typeflag != tar.TypeDir {
				t.Errorf("seed %d: %s is in %d parts", seed, name, n)
			}
		}
	}
}

// partsOf are the layers of a path that is split.
func partsOf(p plan.Path, parts int) []Layer {
	list := whole(p, "", parts)
	for i := range list {
		list[i].Key = list[i].key()
	}
	return list
}

// TestPartsAreEven wants parts of about the same size, and empty ones where a file is larger.
func TestPartsAreEven(t *testing.T) {
	s := newStore(t)
	even, odd := tree{}, tree{"b": strings.Repeat("large", 100_000), "a": "small", "c": "small"}
	for i := range 400 {
		even[fmt.Sprintf("%d/%d", i%7, i)] = strings.Repeat("x", 1000+i)
	}
	p := s.add(t, "even", even)
	for _, l := range partsOf(p, 4) {
		if n := int64(len(s.tarOf(t, l))); n < p.NarSize/5 || n > p.NarSize/2 {
			t.Errorf("%s has %d bytes of %d", l.Name, n, p.NarSize)
		}
	}
	var sizes []int
	for _, l := range partsOf(s.add(t, "odd", odd), 4) {
		sizes = append(sizes, len(s.tarOf(t, l)))
	}
	if sizes[0] < 500_000 || sizes[1] != 1024 || sizes[2] != 1024 || sizes[3] < 2048 {
		t.Errorf("the parts have %v bytes", sizes)
	}
}

func TestTarRefuses(t *testing.T) {
	s := newStore(t)
	whiteout := layerOf(s.add(t, "whiteout", tree{"etc/.wh.passwd": ""}))
	none := layerOf(s.add(t, "none", tree{"etc/passwd": ""}))
	none.Items[0].Modes = map[string]string{"/etc/shadow": "0600"}
	link := layerOf(s.add(t, "link", tree{"sh": "-> bash"}))
	link.Items[0].Target, link.Items[0].Modes = "/", map[string]string{"/sh": "0755"}
	for want, l := range map[string]Layer{
		"/etc/.wh.passwd cannot be in an image": whiteout, "there is no /etc/shadow in /nix/store/": none,
		"/sh is a symbolic link, which has no mode": link, "no such file": layerOf(aPath("gone", 1)),
	} {
		if err := l.Tar(t.Context(), &bytes.Buffer{}, string(s)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := none.Tar(t.Context(), fullDisk{}, string(s)); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, unix.ENOSPC }
