package nar

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
)

// Archive is a Visitor that writes the Nix archive of the tree.
type Archive struct {
	w    io.Writer
	buf  []byte
	size int64
}

// NewArchive makes an Archive that writes to w.
func NewArchive(w io.Writer) *Archive { return &Archive{w: w} }

// words adds strings as the format has them: length, bytes, zeros up to a multiple of 8.
func (a *Archive) words(list ...string) {
	for _, s := range list {
		a.buf = binary.LittleEndian.AppendUint64(a.buf, uint64(len(s)))
		a.buf = append(a.buf, s...)
		a.pad(int64(len(s)))
	}
}

func (a *Archive) pad(n int64) {
	var zeros [8]byte
	a.buf = append(a.buf, zeros[:-n&7]...)
}

func (a *Archive) flush() error {
	n, err := a.w.Write(a.buf)
	a.size += int64(n)
	a.buf = a.buf[:0]
	return err
}

// Begin writes what precedes the content.
func (a *Archive) Begin(e *Entry) (bool, error) {
	if e.Rel == "" {
		a.words("nix-archive-1")
	} else {
		a.words("entry", "(", "name", e.Name, "node")
	}
	a.words("(", "type")
	switch e.Kind {
	case Directory:
		a.words("directory")
	case Link:
		a.words("symlink", "target", e.Target)
	case File:
		a.words("regular")
		if e.Executable {
			a.words("executable", "")
		}
		a.words("contents")
		a.buf = binary.LittleEndian.AppendUint64(a.buf, uint64(e.Size))
	}
	return true, a.flush()
}

// Write writes a piece of a file.
func (a *Archive) Write(p []byte) (int, error) {
	n, err := a.w.Write(p)
	a.size += int64(n)
	return n, err
}

// End writes what follows the content.
func (a *Archive) End(e *Entry) error {
	if e.Kind == File {
		a.pad(e.Size)
	}
	a.words(")")
	if e.Rel != "" {
		a.words(")")
	}
	return a.flush()
}

// Size is how many bytes were written.
func (a *Archive) Size() int64 { return a.size }

// Sum is a Visitor that knows the hash of the tree's Nix archive.
type Sum struct {
	*Archive
	hash hash.Hash
}

// NewSum makes a Sum.
func NewSum() Sum {
	h := sha256.New()
	return Sum{NewArchive(h), h}
}

// Hash is "sha256:" and 64 hexadecimal digits.
func (s Sum) Hash() string { return "sha256:" + hex.EncodeToString(s.hash.Sum(nil)) }

// Hash returns what Nix calls the hash and the size of a path.
func Hash(ctx context.Context, path string) (hash string, size int64, err error) {
	s := NewSum()
	err = Walk(ctx, path, s)
	return s.Hash(), s.Size(), err
}
