package layer

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/fleek-platform/nix2vast/image/nar"
)

// Tar writes the layer as a tar stream. The store paths are read below store, which is ""
// for the machine's own. The stream is a function of what Nix hashes and of nothing else:
// everything belongs to root but what has an owner, was changed one second after the epoch as in every Nix store,
// and is sorted; of a mode only the owner's x counts; two names of one file are two files.
func (l Layer) Tar(ctx context.Context, w io.Writer, store string) error {
	s := newStream(w)
	for _, i := range l.Items {
		parts := make([]*stream, max(i.Parts, 1))
		parts[i.Part] = s
		if err := i.walk(ctx, store, parts); err != nil {
			return fmt.Errorf("layer %s: %w", l.Name, err)
		}
	}
	if err := s.finish(l.Made); err != nil {
		return fmt.Errorf("layer %s: %w", l.Name, err)
	}
	return nil
}

// walk writes the item to the streams of its parts, as far as they are not nil.
func (i Item) walk(ctx context.Context, store string, parts []*stream, more ...nar.Visitor) error {
	p := &placing{item: i, parts: parts}
	if err := nar.Walk(ctx, store+i.Path.Path, append(more, p)...); err != nil {
		return err
	}
	for name := range i.Modes {
		if !p.used[name] {
			return fmt.Errorf("there is no %s in %s to have the mode %s", name, i.Path.Path, i.Modes[name])
		}
	}
	for name := range i.Owners {
		if !p.owned[name] {
			return fmt.Errorf("there is no %s in %s to have the owner %s", name, i.Path.Path, i.Owners[name])
		}
	}
	return nil
}

// placing is a nar.Visitor that writes an item as tar.
type placing struct {
	item  Item
	parts []*stream
	// offset is about how many bytes of the archive were seen. It says which part an entry
	// belongs to. The store keeps no larger units than files, so a part may be empty.
	offset int64
	above  []*directory    // those around the entry
	used   map[string]bool // of the item's modes
	owned  map[string]bool // of its owners
	file   *stream         // the one that wants the file at hand
}

// directory is written where something below it is, or itself where nothing is below it.
type directory struct {
	name  string
	mode  int64
	owner owner
	part  *stream
	empty bool
	in    *stream // the last one that it was written to
}

// entrySize is about what an entry needs beside its content, in a Nix archive, in bytes.
const entrySize = 256

func (p *placing) part(size int64) *stream {
	n := 0
	if len(p.parts) > 1 {
		n = int(min(p.offset/(p.item.NarSize/int64(len(p.parts))+1), int64(len(p.parts)-1)))
	}
	p.offset += size + entrySize
	return p.parts[n]
}

// Begin writes the head of a file, or a link. Directories wait for what is in them.
func (p *placing) Begin(e *nar.Entry) (bool, error) {
	if strings.HasPrefix(e.Name, ".wh.") {
		return false, fmt.Errorf("%s cannot be in an image: engines delete what such a name stands for", e.Path())
	}
	name := p.item.Target
	if e.Rel != "" {
		name = strings.TrimSuffix(name, "/") + "/" + e.Rel
	}
	mode, err := p.mode(name, e)
	if err != nil {
		return false, err
	}
	who, err := p.owner(name)
	if err != nil {
		return false, err
	}
	s, name := p.part(e.Size), strings.TrimPrefix(name, "/")
	if n := len(p.above); n > 0 {
		p.above[n-1].empty = false
	}
	if e.Kind == nar.Directory {
		p.above = append(p.above, &directory{name: name, mode: mode, owner: who, part: s, empty: true})
		return false, nil
	}
	if p.file = s; s == nil {
		return false, nil
	}
	if err := p.open(s); err != nil {
		return false, err
	}
	h := header(name, mode, who)
	if e.Kind == nar.Link {
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
		return false, s.tar.WriteHeader(h)
	}
	h.Typeflag, h.Size = tar.TypeReg, e.Size
	return true, s.tar.WriteHeader(h)
}

func (p *placing) Write(b []byte) (int, error) { return p.file.tar.Write(b) }

// End writes a directory in which nothing was.
func (p *placing) End(e *nar.Entry) error {
	if e.Kind != nar.Directory {
		return nil
	}
	d := p.above[len(p.above)-1]
	var err error
	if d.empty && d.part != nil {
		err = p.open(d.part)
	}
	p.above = p.above[:len(p.above)-1]
	return err
}

// open writes the directories around an entry that the stream does not have yet.
func (p *placing) open(s *stream) error {
	if len(p.above) == 0 || p.above[0].in != s {
		if err := s.parents(p.item.Target[1:]); err != nil {
			return err
		}
	}
	for _, d := range p.above {
		if d.in == s {
			continue
		}
		d.in = s
		if err := s.dir(d.name, d.mode, d.owner); err != nil {
			return err
		}
	}
	return nil
}

// mode is that of an entry in the image.
func (p *placing) mode(name string, e *nar.Entry) (int64, error) {
	octal, ok := p.item.Modes[name]
	switch {
	case ok && e.Kind == nar.Link:
		return 0, fmt.Errorf("%s is a symbolic link, which has no mode", name)
	case ok:
		if p.used == nil {
			p.used = map[string]bool{}
		}
		p.used[name] = true
		mode, err := strconv.ParseInt(octal, 8, 64)
		if err != nil {
			return 0, fmt.Errorf("the mode %q of %s is no octal number", octal, name)
		}
		return mode, nil
	case e.Kind == nar.Link:
		return 0o777, nil
	case p.item.Modes == nil && (e.Kind == nar.Directory || e.Executable):
		return 0o555, nil
	case p.item.Modes == nil:
		return 0o444, nil
	case e.Kind == nar.Directory || e.Executable:
		return 0o755, nil
	}
	return 0o644, nil
}

// owner is who a file belongs to, by number, since no name is known before the image is.
type owner struct{ uid, gid int }

func parseOwner(text string) (who owner, err error) {
	uid, gid, _ := strings.Cut(text, ":")
	if who.uid, err = strconv.Atoi(uid); err != nil {
		return owner{}, err
	}
	who.gid, err = strconv.Atoi(gid)
	return who, err
}

// owner is that of an entry in the image.
func (p *placing) owner(name string) (owner, error) {
	text, ok := p.item.Owners[name]
	if !ok {
		return owner{}, nil
	}
	if p.owned == nil {
		p.owned = map[string]bool{}
	}
	p.owned[name] = true
	who, err := parseOwner(text)
	if err != nil {
		return who, fmt.Errorf("the owner %q of %s is no UID:GID", text, name)
	}
	return who, nil
}

// stream is the tar stream of one layer.
type stream struct {
	tar  *tar.Writer
	seen map[string]bool // directories that have been written; the root itself is the engine's
}

func newStream(w io.Writer) *stream {
	return &stream{tar: tar.NewWriter(w), seen: map[string]bool{"": true}}
}

// finish writes what no store path holds, and the end of the stream.
func (s *stream) finish(made []Made) error {
	for _, m := range made {
		if err := s.made(m); err != nil {
			return err
		}
	}
	return s.tar.Close()
}

func (s *stream) made(m Made) error {
	if err := s.parents(m.Name); err != nil {
		return err
	}
	h := header(m.Name, m.Mode, owner{})
	switch {
	case m.Dir:
		return s.dir(m.Name, m.Mode, owner{})
	case m.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, m.Link, 0o777
		return s.tar.WriteHeader(h)
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(m.Data))
	if err := s.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := s.tar.Write(m.Data)
	return err
}

// parents writes the directories above name that the layer has not written yet.
func (s *stream) parents(name string) error {
	for i := range len(name) {
		if name[i] == '/' {
			if err := s.dir(name[:i], 0o755, owner{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stream) dir(name string, mode int64, who owner) error {
	if s.seen[name] {
		return nil
	}
	s.seen[name] = true
	h := header(name+"/", mode, who)
	h.Typeflag = tar.TypeDir
	return s.tar.WriteHeader(h)
}

func header(name string, mode int64, who owner) *tar.Header {
	h := &tar.Header{Name: name, Mode: mode, ModTime: time.Unix(1, 0), Uid: who.uid, Gid: who.gid}
	if who.uid == 0 {
		h.Uname = "root"
	}
	if who.gid == 0 {
		h.Gname = "root"
	}
	return h
}
