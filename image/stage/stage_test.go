package stage

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/image/plan"
)

// box makes a store below a temporary folder, and a plan of what is in it.
type box struct {
	t    *testing.T
	root string
	plan plan.Plan
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{t: t, root: t.TempDir()}
	t.Cleanup(func() {
		if err := remove(b.root); err != nil {
			t.Error(err)
		}
	})
	b.plan = plan.Plan{Version: plan.Version, Name: "sample", Tag: "v1", Architecture: "amd64", Created: "1970-01-01T00:00:01Z"}
	b.plan.Closure = []plan.Path{
		b.path("library-1.0", map[string]string{
			"lib/a.so": "0444 library", "lib/b.so": "-> a.so", "bin/run": "0555 #!/bin/sh\n", "share/odd name é\n": "0444 x",
			"set": "4555 more than the store keeps",
		}),
		b.path("tool-2.0", map[string]string{"bin/tool": "0555 tool", "empty/": ""}),
	}
	b.plan.Files = []plan.File{{Path: b.file("init", "init"), Target: "/init", Mode: "0755"}}
	b.setRootfs("one")
	return b
}

func (b *box) setRootfs(text string) {
	b.plan.Rootfs = plan.Rootfs{
		Path:  b.path("rootfs-"+text, map[string]string{"etc/shadow": "0444 " + text, "tmp/": "", "lib": "-> usr/lib", "usr/lib/": ""}),
		Modes: map[string]string{"/etc/shadow": "0600", "/tmp": "1777"},
	}
}

// path makes a store path as Nix leaves one: read-only, and one second after the epoch.
func (b *box) path(title string, files map[string]string) plan.Path {
	b.t.Helper()
	p := b.info(title)
	dir := b.root + p.Path
	for name, what := range files {
		b.check(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		switch mode, text, _ := strings.Cut(what, " "); {
		case strings.HasSuffix(name, "/"):
			b.check(os.MkdirAll(filepath.Join(dir, name), 0o755))
		case mode == "->":
			b.check(os.Symlink(text, filepath.Join(dir, name)))
		default:
			var bits uint32
			_, err := fmt.Sscanf(mode, "%o", &bits)
			b.check(err)
			b.check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			b.check(syscall.Chmod(filepath.Join(dir, name), bits))
		}
	}
	b.seal(dir)
	return p
}

func (b *box) file(title, text string) plan.Path {
	b.t.Helper()
	p := b.info(title)
	b.check(os.MkdirAll(filepath.Dir(b.root+p.Path), 0o755))
	b.check(os.WriteFile(b.root+p.Path, []byte(text), 0o444))
	b.seal(b.root + p.Path)
	return p
}

func (b *box) info(title string) plan.Path {
	hash := fmt.Sprintf("%032d", len(title)*7919)
	return plan.Path{Path: plan.StoreDir + "/" + hash + "-" + title, NarSize: 1000, NarHash: "sha256:" + hash + hash}
}

func (b *box) seal(path string) {
	b.t.Helper()
	b.check(filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			defer func() { b.check(os.Chmod(path, 0o555)) }()
		}
		return err
	}))
	var all []string
	b.check(filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	for _, path := range all {
		b.check(changeTime(path, time.Unix(1, 0)))
	}
}

func (b *box) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) stage(dir string, n int) ([]Folder, []bool) {
	b.t.Helper()
	folders, err := Split(b.plan, n)
	b.check(err)
	reused, err := Write(context.Background(), dir, folders, b.root, func(int) {})
	b.check(err)
	return folders, reused
}

// wanted is what the tar streams of a folder's layers hold.
func (b *box) wanted(f Folder) map[string]string {
	b.t.Helper()
	all := map[string]string{}
	for _, l := range f.Layers {
		var text bytes.Buffer
		b.check(l.Tar(context.Background(), &text, b.root))
		in := tar.NewReader(&text)
		for {
			h, err := in.Next()
			if err == io.EOF {
				break
			}
			b.check(err)
			content, err := io.ReadAll(in)
			b.check(err)
			mode := h.Mode
			if h.Typeflag == tar.TypeSymlink {
				mode = 0o777
			}
			all[strings.TrimSuffix(h.Name, "/")] = fmt.Sprintf("%c %o %d %s%s", h.Typeflag, mode, h.ModTime.Unix(), h.Linkname, content)
		}
	}
	return all
}

// found is what a folder holds, in the same words.
func (b *box) found(dir string) map[string]string {
	b.t.Helper()
	all := map[string]string{}
	b.check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		kind, text := byte(tar.TypeReg), ""
		switch {
		case d.IsDir():
			kind = tar.TypeDir
		case info.Mode()&fs.ModeSymlink != 0:
			kind = tar.TypeSymlink
			text, err = os.Readlink(path)
		default:
			var content []byte
			content, err = os.ReadFile(path)
			text = string(content)
		}
		name, _ := filepath.Rel(dir, path) // path is below dir
		all[name] = fmt.Sprintf("%c %o %d %s", kind, stat.Mode&0o7777, info.ModTime().Unix(), text)
		return err
	}))
	return all
}

func TestFoldersAreTheLayers(t *testing.T) {
	b := newBox(t)
	b.check(changeTime(b.root+b.plan.Closure[1].Path+"/bin/tool", time.Unix(1000, 0)))
	dir := filepath.Join(t.TempDir(), "out")
	folders, _ := b.stage(dir, 16)
	t.Cleanup(func() { b.check(remove(dir)) })
	for i, f := range folders {
		want, got := b.wanted(f), b.found(filepath.Join(dir, FolderName(i)))
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%02d: %q is %q, in the layer %q", i, name, got[name], want[name])
			}
		}
		if len(got) != len(want) {
			t.Errorf("%02d holds %d files, the layer %d", i, len(got), len(want))
		}
	}
	linked := func(name string) bool {
		from, err := os.Lstat(b.root + b.plan.Closure[0].Path + name)
		b.check(err)
		to, err := os.Lstat(filepath.Join(dir, "00", b.plan.Closure[0].Path+name))
		b.check(err)
		return os.SameFile(from, to)
	}
	if !linked("/lib/a.so") || !linked("/bin/run") {
		t.Error("a file of the store is copied, where a link would do")
	}
	if linked("/set") {
		t.Error("a file with other attributes than the layer says is linked")
	}
}

func TestRootfsEditKeepsTheOthers(t *testing.T) {
	b := newBox(t)
	dir := filepath.Join(t.TempDir(), "out")
	t.Cleanup(func() { b.check(remove(dir)) })
	b.stage(dir, 16)
	b.setRootfs("other")
	folders, reused := b.stage(dir, 16)
	last := slices.IndexFunc(folders, func(f Folder) bool { return f.Name == "rootfs" })
	for i, r := range reused {
		if r != (i != last) {
			t.Errorf("of folder %d, %s, that it was reused is %v", i, folders[i].Name, r)
		}
	}
	if got := b.found(filepath.Join(dir, FolderName(last)))["etc/shadow"]; !strings.HasSuffix(got, "600 1 other") {
		t.Errorf("/etc/shadow is %q", got)
	}
	// What somebody removed is made again, whatever the record says.
	b.check(remove(filepath.Join(dir, "00")))
	if _, reused := b.stage(dir, 16); reused[0] || !reused[last] {
		t.Errorf("after a folder was removed, these are reused: %v", reused)
	}
	// Fewer folders leave none behind.
	b.stage(dir, 3)
	entries, err := os.ReadDir(dir)
	b.check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"00", "01", "02", "stage.json"}; !slices.Equal(names, want) {
		t.Errorf("there are %v, want %v", names, want)
	}
}

// TestFailureChangesNothing takes a store path away.
func TestFailureChangesNothing(t *testing.T) {
	b := newBox(t)
	dir := filepath.Join(t.TempDir(), "out")
	t.Cleanup(func() { b.check(remove(dir)) })
	b.stage(dir, 4)
	before := b.found(dir)
	b.setRootfs("other")
	b.plan.Closure[0].Path += "-gone"
	folders, err := Split(b.plan, 4)
	b.check(err)
	if _, err = Write(context.Background(), dir, folders, b.root, func(int) {}); err == nil || !strings.Contains(err.Error(), "-gone") {
		t.Errorf("of a path that is missing: %v", err)
	}
	after := b.found(dir)
	for name := range before {
		if before[name] != after[name] {
			t.Errorf("%s was %q, and is %q", name, before[name], after[name])
		}
	}
	if len(before) != len(after) {
		t.Errorf("there were %d files, and are %d", len(before), len(after))
	}
}

// TestKilledInTheMiddle leaves what a killed program may leave.
func TestKilledInTheMiddle(t *testing.T) {
	b := newBox(t)
	dir := filepath.Join(t.TempDir(), "out")
	t.Cleanup(func() { b.check(remove(dir)) })
	folders, _ := b.stage(dir, 4)
	b.setRootfs("other")
	b.check(os.MkdirAll(filepath.Join(dir, "03.new", "half"), 0o755))
	b.seal(filepath.Join(dir, "03.new"))
	last := slices.IndexFunc(folders, func(f Folder) bool { return f.Name == "rootfs" })
	r, err := open(dir)
	b.check(err)
	delete(r.Keys, FolderName(last))
	b.check(r.write(dir)) // and before the old folder was removed
	_, reused := b.stage(dir, 4)
	for i, r := range reused {
		if r != (i != last) {
			t.Errorf("of folder %d, that it was reused is %v", i, r)
		}
	}
	folders, err = Split(b.plan, 4)
	b.check(err)
	if want, got := b.wanted(folders[last]), b.found(filepath.Join(dir, FolderName(last))); len(want) != len(got) {
		t.Errorf("the last folder holds %v, want %v", got, want)
	}
	if _, err := os.Lstat(filepath.Join(dir, "03.new")); err == nil {
		t.Error("the half of a folder is still there")
	}
}

func TestForeignFolderIsRefused(t *testing.T) {
	b := newBox(t)
	folders, err := Split(b.plan, 4)
	b.check(err)
	dir := t.TempDir()
	b.check(os.WriteFile(filepath.Join(dir, "00"), []byte("mine"), 0o644))
	if _, err := Write(context.Background(), dir, folders, b.root, func(int) {}); err == nil || !strings.Contains(err.Error(), "is not empty, and no stage made it") {
		t.Errorf("of a folder with something else: %v", err)
	}
	b.check(os.WriteFile(filepath.Join(dir, recordName), []byte(`{"version": 9}`), 0o644))
	if _, err := Write(context.Background(), dir, folders, b.root, func(int) {}); err == nil || !strings.Contains(err.Error(), "not of a stage of this version") {
		t.Errorf("of a stage of another version: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "00")); err != nil || string(got) != "mine" {
		t.Errorf("the file is %q, %v", got, err)
	}
}

// TestNothingIsWrittenThroughALink holds even of a stream that no layer has.
func TestNothingIsWrittenThroughALink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	x := extractor{dir: dir, dirs: map[string]*tar.Header{".": nil}}
	if err := x.entry(&tar.Header{Typeflag: tar.TypeSymlink, Name: "link", Linkname: outside}, nil); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeReg, Name: "link/file", Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: "../" + filepath.Base(outside) + "/file", Mode: 0o644},
		{Typeflag: tar.TypeDir, Name: "link/"},
		{Typeflag: tar.TypeLink, Name: "hard", Linkname: "link"},
	} {
		if err := x.entry(h, strings.NewReader("")); err == nil {
			t.Errorf("%s is written", h.Name)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there are %v, %v", left, err)
	}
}
