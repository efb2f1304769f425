package stage

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// extract writes layers into a new folder. What it writes is what their tar streams say,
// so that a folder cannot differ from the layer that an engine gets otherwise; only the
// content of files is linked to where it can be.
func extract(ctx context.Context, dir string, layers []layer.Layer, store string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	x := extractor{dir: dir, store: store, root: os.Geteuid() == 0, dirs: map[string]*tar.Header{".": nil}}
	for _, l := range layers {
		if err := x.layer(ctx, l); err != nil {
			return err
		}
	}
	return x.finish()
}

type extractor struct {
	dir, store string
	root       bool // whether owners can be set
	// dirs are the directories that are there, whose modes are set at the end: nothing
	// could be made in those of the store otherwise.
	dirs map[string]*tar.Header
}

func (x *extractor) layer(ctx context.Context, l layer.Layer) error {
	r, w := io.Pipe()
	defer r.Close() // ends the goroutine, if it still writes
	go func() { w.CloseWithError(l.Tar(ctx, w, x.store)) }()
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if err == io.EOF {
			_, err = io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return err
		}
		if err := x.entry(h, in); err != nil {
			return fmt.Errorf("/%s: %w", h.Name, err)
		}
	}
}

func (x *extractor) entry(h *tar.Header, content io.Reader) error {
	name := path.Clean(h.Name)
	// Nothing is written through a symbolic link, which could lead anywhere.
	if _, ok := x.dirs[path.Dir(name)]; !ok {
		return fmt.Errorf("%s is no directory of this folder", path.Dir(name))
	}
	target := filepath.Join(x.dir, name)
	switch h.Typeflag {
	case tar.TypeDir:
		if _, ok := x.dirs[name]; !ok {
			if err := os.Mkdir(target, 0o700); err != nil {
				return err
			}
		}
		x.dirs[name] = h
		return nil
	case tar.TypeSymlink:
		if err := os.Symlink(h.Linkname, target); err != nil {
			return err
		}
	case tar.TypeReg:
		if x.link(h, name, target) {
			return nil
		}
		if err := x.copy(h, target, content); err != nil {
			return err
		}
	default:
		return fmt.Errorf("an entry of type %q is in no layer", h.Typeflag)
	}
	return x.attributes(h, target)
}

// link makes a hard link to a file of the store, if that is all that the tar stream says
// of it, and if the system allows it.
func (x *extractor) link(h *tar.Header, name, target string) bool {
	if !strings.HasPrefix(name, "nix/store/") {
		return false
	}
	source := x.store + "/" + name
	info, err := os.Lstat(source)
	if err != nil || !info.Mode().IsRegular() || info.Size() != h.Size || !info.ModTime().Equal(h.ModTime) {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int64(stat.Mode&0o7777) != h.Mode || x.root && (stat.Uid != 0 || stat.Gid != 0) {
		return false
	}
	return os.Link(source, target) == nil // on another file system, or of another's file: a copy does
}

func (x *extractor) copy(h *tar.Header, target string, content io.Reader) error {
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// attributes sets owner, mode and time, in this order: a new owner clears bits of the mode.
func (x *extractor) attributes(h *tar.Header, target string) error {
	if x.root {
		if err := os.Lchown(target, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag != tar.TypeSymlink {
		if err := unix.Chmod(target, uint32(h.Mode)); err != nil {
			return &fs.PathError{Op: "chmod", Path: target, Err: err}
		}
	}
	return changeTime(target, h.ModTime)
}

func changeTime(target string, t time.Time) error {
	spec := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(t.UnixNano())}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, target, spec, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "utimes", Path: target, Err: err}
	}
	return nil
}

// finish sets what directories have, the inner ones first.
func (x *extractor) finish() error {
	names := slices.Sorted(maps.Keys(x.dirs))
	slices.Reverse(names)
	for _, name := range names {
		if h := x.dirs[name]; h != nil {
			if err := x.attributes(h, filepath.Join(x.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
