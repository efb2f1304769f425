package gpu

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A tree is the root of a file system. Its methods take paths as a program in
// that root would write them, and follow absolute links inside of it.
type tree string

// maxLinks is how many symbolic links one path may go through, as in Linux.
const maxLinks = 40

// walk resolves the links of path and returns the result as seen inside the
// tree. Parts that do not exist are kept as they are.
func (t tree) walk(path string, followLast bool) string {
	done, rest := "/", strings.Trim(path, "/")
	for links := 0; rest != ""; {
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		rest = strings.TrimLeft(rest, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, part)
		if rest == "" && !followLast {
			return next
		}
		target, err := os.Readlink(filepath.Join(string(t), next))
		if err != nil {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return next
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = strings.Trim(target+"/"+rest, "/")
	}
	return done
}

// inside resolves all links of path; the result is as seen inside the tree.
func (t tree) inside(path string) string { return t.walk(path, true) }

// file is where path leads to, for opening it.
func (t tree) file(path string) string { return filepath.Join(string(t), t.walk(path, true)) }

// at is path itself, even if it is a link, for replacing or removing it.
func (t tree) at(path string) string { return filepath.Join(string(t), t.walk(path, false)) }

// stat follows links; nil means that path leads nowhere.
func (t tree) stat(path string) fs.FileInfo {
	info, err := os.Stat(t.file(path))
	if err != nil {
		return nil
	}
	return info
}

// names lists a directory in order; a directory that cannot be read has none.
func (t tree) names(dir string) []string {
	entries, err := os.ReadDir(t.file(dir))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// checkELF says in one sentence why path is not a 64-bit ELF file for machine;
// it reads the header only.
func (t tree) checkELF(path string, machine elf.Machine) error {
	info, err := os.Stat(t.file(path))
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a file")
	}
	f, err := os.Open(t.file(path))
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, headerSize)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	return checkHeader(head[:n], machine)
}

// write makes path a regular file with this content, in one rename, and says
// whether anything changed. A link at path is replaced, not followed.
func (t tree) write(path string, content []byte, mode fs.FileMode) (changed bool, err error) {
	at := t.at(path)
	if info, err := os.Lstat(at); err == nil && info.Mode() == mode {
		if have, err := os.ReadFile(at); err == nil && bytes.Equal(have, content) {
			return false, nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(at), "."+filepath.Base(at)+"-*")
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails after the rename, as it should
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), at)
	}
	if err != nil {
		return false, fmt.Errorf("writing %s: %w", path, err)
	}
	return true, nil
}

// link makes path a symbolic link to target, in one rename, and says whether
// anything changed. A file at path is replaced, a directory is an error.
func (t tree) link(path, target string) (changed bool, err error) {
	at := t.at(path)
	if have, err := os.Readlink(at); err == nil && have == target {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return false, fmt.Errorf("linking %s to %s: %w", path, target, err)
	}
	temp := filepath.Join(filepath.Dir(at), "."+filepath.Base(at)+"-new")
	_ = os.Remove(temp) // of a boot that was killed here
	err = os.Symlink(target, temp)
	if err == nil {
		err = os.Rename(temp, at)
	}
	if err != nil {
		_ = os.Remove(temp)
		return false, fmt.Errorf("linking %s to %s: %w", path, target, err)
	}
	return true, nil
}
