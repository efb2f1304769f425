// Package nar reads a tree the way Nix does: everything that a Nix archive holds of it, in
// the order of a Nix archive, and nothing else. One walk serves several readers at once, so
// that hash, fingerprint and image layer of a store path cost one reading of its files.
//
// The format is that of figure 5.2 of https://edolstra.github.io/pubs/phd-thesis.pdf and
// of https://nix.dev/manual/nix/latest/protocols/nix-archive.
package nar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Kind is what an entry is.
type Kind int

// There is nothing else in a store path.
const (
	File Kind = iota
	Directory
	Link
)

// Entry is a file, a directory or a symbolic link in a tree. It is good until the next call.
type Entry struct {
	Rel  string // the path below the root of the tree, which itself is ""
	Name string // the last part of Rel
	Kind Kind
	// Executable says whether its owner may execute the file.
	Executable bool
	Size       int64  // of a file, in bytes
	Target     string // of a link
	Stat       unix.Stat_t

	root string
}

// Path is that on this machine.
func (e *Entry) Path() string {
	if e.Rel == "" {
		return e.root
	}
	return e.root + "/" + e.Rel
}

// Visitor is told of a tree, depth first, names sorted by their bytes.
type Visitor interface {
	// Begin announces an entry. It says whether the visitor wants what is in the file.
	Begin(e *Entry) (read bool, err error)
	// Write brings a piece of the file. The sum of all pieces is the Size that was announced.
	io.Writer
	// End follows the last piece of a file, and the last entry of a directory.
	End(e *Entry) error
}

// pieceSize is how much of a file is read at once: it fits into the cache of a processor.
const pieceSize = 256 << 10

var pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

// Walk tells the visitors of the tree at path. It fails where the tree has what no Nix
// archive can hold, and where a file has another size than its directory said.
func Walk(ctx context.Context, path string, visitors ...Visitor) error {
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	w := walk{ctx: ctx, root: path, visitors: visitors, buf: *buf}
	return w.entry(unix.AT_FDCWD, path, "", "")
}

type walk struct {
	ctx      context.Context
	root     string
	visitors []Visitor
	readers  []Visitor // those that want the file at hand
	buf      []byte
}

// entry visits at, a name in the directory dir, which is name in the tree.
func (w *walk) entry(dir int, at, rel, name string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	e := Entry{Rel: rel, Name: name, root: w.root}
	if err := retry(func() error { return unix.Fstatat(dir, at, &e.Stat, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return &os.PathError{Op: "lstat", Path: e.Path(), Err: err}
	}
	switch e.Stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Kind, e.Size, e.Executable = File, e.Stat.Size, e.Stat.Mode&0o100 != 0
	case unix.S_IFDIR:
		e.Kind = Directory
	case unix.S_IFLNK:
		e.Kind = Link
		n, err := unix.Readlinkat(dir, at, w.buf)
		if err != nil {
			return &os.PathError{Op: "readlink", Path: e.Path(), Err: err}
		}
		e.Target = string(w.buf[:n])
	default:
		return fmt.Errorf("%s is neither a file, a directory nor a symbolic link", e.Path())
	}
	w.readers = w.readers[:0]
	for _, v := range w.visitors {
		switch read, err := v.Begin(&e); {
		case err != nil:
			return err
		case read && e.Kind == File:
			w.readers = append(w.readers, v)
		}
	}
	var err error
	switch {
	case e.Kind == File && len(w.readers) > 0:
		err = w.file(dir, at, &e)
	case e.Kind == Directory:
		err = w.directory(dir, at, &e)
	}
	for _, v := range w.visitors {
		if err == nil {
			err = v.End(&e)
		}
	}
	return err
}

// file brings the content. One byte more than is left is asked for: it would tell that the
// file has grown, and where it does not come, the end was met without another call.
func (w *walk) file(dir int, at string, e *Entry) error {
	fd, err := open(dir, at, unix.O_NOFOLLOW)
	if err != nil {
		return &os.PathError{Op: "open", Path: e.Path(), Err: err}
	}
	defer unix.Close(fd)
	if e.Stat.Blocks*512 < e.Size && e.Size > pieceSize {
		return w.sparse(fd, e)
	}
	for got := int64(0); ; {
		piece := w.buf[:min(int64(len(w.buf)), e.Size-got+1)]
		n := 0
		if err := retry(func() (err error) { n, err = unix.Read(fd, piece); return err }); err != nil {
			return &os.PathError{Op: "read", Path: e.Path(), Err: err}
		}
		if got += int64(n); n == 0 || got > e.Size {
			return e.sized(got)
		}
		if err := w.piece(piece[:n]); err != nil || got == e.Size && n < len(piece) {
			return err
		}
	}
}

// zeros are what is in the holes of files.
var zeros [pieceSize]byte

// sparse brings a file with holes, which the kernel would have to fill with pages of zeros.
func (w *walk) sparse(fd int, e *Entry) error {
	for got := int64(0); got < e.Size; {
		data, err := unix.Seek(fd, got, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // a hole up to the end
			data = e.Size
		case err != nil: // a file system that does not know
			data = got
		}
		n := int(min(pieceSize, e.Size-got))
		if data > got {
			n = int(min(int64(n), data-got))
			err = w.piece(zeros[:n])
		} else if err = retry(func() (err error) { n, err = unix.Pread(fd, w.buf[:n], got); return err }); err != nil {
			return &os.PathError{Op: "read", Path: e.Path(), Err: err}
		} else if n == 0 {
			break
		} else {
			err = w.piece(w.buf[:n])
		}
		if err != nil {
			return err
		}
		got += int64(n)
	}
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return &os.PathError{Op: "stat", Path: e.Path(), Err: err}
	}
	return e.sized(now.Size)
}

// piece passes a piece of a file on.
func (w *walk) piece(p []byte) error {
	for _, v := range w.readers {
		if _, err := v.Write(p); err != nil {
			return err
		}
	}
	return w.ctx.Err()
}

// sized says whether a file has the size that was announced.
func (e *Entry) sized(got int64) error {
	switch {
	case got < e.Size:
		return fmt.Errorf("%s has shrunk while it was read: %d bytes were announced, %d came", e.Path(), e.Size, got)
	case got > e.Size:
		return fmt.Errorf("%s has grown while it was read: %d bytes were announced", e.Path(), e.Size)
	}
	return nil
}

func (w *walk) directory(dir int, at string, e *Entry) error {
	fd, err := open(dir, at, unix.O_NOFOLLOW|unix.O_DIRECTORY)
	if err != nil {
		return &os.PathError{Op: "open", Path: e.Path(), Err: err}
	}
	f := os.NewFile(uintptr(fd), e.Path())
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("reading the directory %s: %w", e.Path(), err)
	}
	slices.Sort(names)
	for _, name := range names {
		rel := name
		if e.Rel != "" {
			rel = e.Rel + "/" + name
		}
		if err := w.entry(fd, name, rel, name); err != nil {
			return err
		}
	}
	return nil
}

func open(dir int, at string, flags int) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(dir, at, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
		return err
	})
	return fd, err
}

// retry repeats what a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
