package unitfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
)

// folders are where units are, the first one first. Those of the machine's
// administrator are what Enable and Install write to.
var folders = []string{administrator, "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

const administrator = "/etc/systemd/system"

// mostBytes of a unit file are read.
const mostBytes = 16 << 20

var (
	errMasked   = errors.New("it is masked")
	errNotFound = errors.New("there is no such unit")
)

// A root is the directory below which all paths are.
type root string

func (r root) at(file string) string { return path.Join(string(r), file) }

// resolve follows the symbolic links of a path as a process in the root would,
// and fails where it leads to nothing. /dev/null need not exist.
func (r root) resolve(file string) (string, error) {
	rest, done, links := strings.Split(file, "/"), "/", 0
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, part)
		if next == os.DevNull && len(rest) == 0 {
			return next, nil
		}
		target, err := os.Readlink(r.at(next))
		switch {
		case errors.Is(err, syscall.EINVAL) || next == "/dev" && len(rest) == 1: // no link
			done = next
			continue
		case err != nil:
			return "", fmt.Errorf("resolving %s: %w", file, err)
		}
		if links++; links > 40 {
			return "", fmt.Errorf("resolving %s: %w", file, syscall.ELOOP)
		}
		if path.IsAbs(target) {
			done = "/"
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	return done, nil
}

// readFile reads a regular file. A pipe in its place would never end.
func (r root) readFile(file string) ([]byte, error) {
	real, err := r.resolve(file)
	if err != nil {
		return nil, err
	}
	return readRegular(r.at(real), file)
}

func readRegular(at, file string) ([]byte, error) {
	f, err := os.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, errors.Unwrap(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: it is not a regular file", file)
	}
	b, err := io.ReadAll(io.LimitReader(f, mostBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", file, err)
	case len(b) > mostBytes:
		return nil, fmt.Errorf("reading %s: it has more than %d MiB", file, mostBytes>>20)
	}
	return b, nil
}

// names lists a folder, sorted; nothing where there is none.
func (r root) names(folder string) []string {
	real, err := r.resolve(folder)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(r.at(real))
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// isLink says whether the name itself is a symbolic link.
func (r root) isLink(folder, name string) bool {
	real, err := r.resolve(folder)
	if err != nil {
		return false
	}
	info, err := os.Lstat(path.Join(r.at(real), name))
	return err == nil && info.Mode().Type() == fs.ModeSymlink
}

// A fragment is the main file of a unit.
type fragment struct {
	name unitName // the unit's own, where it was asked for by an alias
	file string   // where it was found
	real string   // behind its links
}

// find looks a unit up. The error is errMasked, errNotFound, or about a link.
func (r root) find(name unitName) (fragment, error) {
	candidates := []unitName{name}
	if name.instance != "" {
		candidates = append(candidates, name.template())
	}
	for _, candidate := range candidates {
		for _, folder := range folders {
			file := path.Join(folder, candidate.String())
			real, err := r.resolve(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				return fragment{}, err
			case real == os.DevNull || r.empty(real):
				return fragment{name: name, file: file}, errMasked
			}
			return fragment{name: r.ownName(name, real), file: file, real: real}, nil
		}
	}
	return fragment{}, errNotFound
}

func (r root) empty(file string) bool {
	info, err := os.Stat(r.at(file))
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// ownName is the name that a unit has where its file lies; a file outside of the
// folders, which a link has brought in, is called as the link.
func (r root) ownName(asked unitName, real string) unitName {
	own, err := parseName(path.Base(real))
	if err != nil || own.kind != asked.kind || own.at != asked.at || !r.inFolders(path.Dir(real)) {
		return asked
	}
	if own.isTemplate() {
		own.instance = asked.instance
	}
	return own
}

func (r root) inFolders(dir string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		real, err := r.resolve(folder)
		return err == nil && real == dir
	})
}

// dropIns lists the files that add to a unit, in the order in which they count.
// Of those with one name the first found hides the others.
func (r root) dropIns(name unitName) []string {
	found := map[string]string{}
	add := func(folder string) {
		for _, file := range r.names(folder) {
			if strings.HasSuffix(file, ".conf") && found[file] == "" {
				found[file] = path.Join(folder, file)
			}
		}
	}
	var levels []string
	levels = append(levels, name.String())
	if name.instance != "" {
		levels = append(levels, name.template().String())
	}
	for prefix := name.prefix; ; { // foo-bar-.service.d and foo-.service.d are for foo-bar-baz.service
		i := strings.LastIndexByte(strings.TrimSuffix(prefix, "-"), '-')
		if i <= 0 {
			break
		}
		prefix = prefix[:i+1]
		levels = append(levels, prefix+name.kind)
	}
	for _, folder := range folders {
		for _, level := range levels {
			add(path.Join(folder, level+".d"))
		}
	}
	for _, folder := range folders {
		add(path.Join(folder, name.kind[1:]+".d"))
	}
	var list []string
	for _, file := range found {
		if real, err := r.resolve(file); err == nil && real != os.DevNull {
			list = append(list, file)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return list
}

// linked lists the units that links in NAME.wants and so on name: what Enable made.
func (r root) linked(name unitName, suffix string) []string {
	var list []string
	for _, folder := range folders {
		for _, level := range []unitName{name, name.template()} {
			list = append(list, r.names(path.Join(folder, level.String()+suffix))...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
