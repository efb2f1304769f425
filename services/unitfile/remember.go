package unitfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Remember notes what the administrator's folder of units holds. What it returns undoes
// what Install and Enable did since, to the named files and to links.
func Remember(rootDir string, files ...string) (undo func() error, err error) {
	r := root(rootDir)
	before, err := r.remembered()
	if err != nil {
		return nil, err
	}
	content := map[string][]byte{}
	for _, file := range files {
		at := filepath.Join(administrator, filepath.Base(file))
		if mode, there := before[at]; there && mode.IsRegular() {
			if content[at], err = r.readFile(at); err != nil {
				return nil, err
			}
		}
	}
	return func() error { return r.restore(before, content) }, nil
}

// remembered are the entries of the administrator's folder and of those in it.
func (r root) remembered() (map[string]fs.FileMode, error) {
	entries := map[string]fs.FileMode{}
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(r.at(administrator) + "/" + pattern)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", administrator, err)
		}
		for _, at := range found {
			info, err := os.Lstat(at)
			if err != nil {
				continue // removed since
			}
			name, err := filepath.Rel(r.at("/"), at)
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", administrator, err)
			}
			entries["/"+name] = info.Mode()
		}
	}
	return entries, nil
}

func (r root) restore(before map[string]fs.FileMode, content map[string][]byte) error {
	now, err := r.remembered()
	if err != nil {
		return err
	}
	var errs []error
	var names []string
	for name := range now {
		if _, old := before[name]; !old {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) }) // a folder after what is in it
	for _, name := range names {
		errs = append(errs, os.Remove(r.at(name)))
	}
	for name, b := range content {
		errs = append(errs, replace(r.at(filepath.Dir(name)), filepath.Base(name), b))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("undoing what was done in %s: %w", administrator, err)
	}
	return nil
}
