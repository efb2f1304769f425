package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// needed are programs without which hosts cannot start a box, and nobody can log in.
var needed = []string{"bash", "env", "sh", "sleep"}

// expected are those that hosts' launchers, editors and people call by name.
var expected = []string{"curl", "getent", "gzip", "ip", "ps", "rsync", "scp", "ssh", "ssh-keygen", "tar", "tmux", "wget"}

// Their places are init's to fill.
var notOurs = []string{"ldconfig", "ld.so"}

// exists says whether a path of the store is there, by a link that leads anywhere as well.
func (c *composer) exists(name string) bool {
	_, err := os.Lstat(c.store + name)
	return err == nil
}

// programs links those of the packages into /usr/bin.
func (c *composer) programs() {
	hidden := map[string][]string{}
	for _, pkg := range c.Packages {
		if path.Dir(pkg) != storeDir || !c.exists(pkg) {
			c.problem("the package %q is no path in the Nix store", pkg)
			continue
		}
		list, err := os.ReadDir(filepath.Join(c.store, pkg, "bin"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.problem("looking for the programs of %s: %w", pkg, err)
		}
		for _, d := range list {
			// A hidden file is what a wrapper of nixpkgs starts.
			if d.IsDir() || strings.HasPrefix(d.Name(), ".") || slices.Contains(notOurs, d.Name()) {
				continue
			}
			name := "/usr/bin/" + d.Name()
			if c.tree[name] != nil {
				hidden[name] = append(hidden[name], title(pkg))
				continue
			}
			c.add("packages", name, entry{link: path.Join(pkg, "bin", d.Name())}, nil)
			c.tree[name].by = title(pkg)
		}
	}
	for _, name := range c.tree.paths() {
		if others := hidden[name]; len(others) > 0 {
			fmt.Fprintf(c.log, "%s is that of %s, not of %s\n", name, c.tree[name].by, strings.Join(others, ", "))
		}
	}
}

// required looks for the programs of the floor, which only packages can bring.
func (c *composer) required() {
	missing := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return c.tree["/usr/bin/"+name] != nil })
	}
	if list := missing(needed); len(list) > 0 {
		c.problem("no package has a program %s, without which hosts cannot start a box", strings.Join(list, ", "))
	}
	if list := missing(expected); len(list) > 0 {
		fmt.Fprintf(c.log, "no package has a program %s, which hosts or people may call\n", strings.Join(list, ", "))
	}
}

// title is a store path without its hash.
func title(pkg string) string {
	_, name, _ := strings.Cut(path.Base(pkg), "-")
	return name
}

// copySource adds a file of the store, or a directory with all that is in it.
func (c *composer) copySource(name string, f File) {
	from := filepath.Join(c.store, f.Source)
	err := filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := path.Join(name, strings.TrimPrefix(file, from))
		if d.Type()&fs.ModeSymlink != 0 && file != from {
			target, err := os.Readlink(file)
			c.add("files", at, entry{link: target, uid: f.UID, gid: f.GID}, err)
			return nil
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if info.IsDir() {
			if f.Mode != "" && file == from {
				return errors.New("it is a directory, and a mode is one of a file")
			}
			c.add("files", at, entry{mode: dirMode | 0o755, uid: f.UID, gid: f.GID, free: true}, nil)
			return nil
		}
		usual := uint32(0o644)
		if info.Mode()&0o111 != 0 {
			usual = 0o755
		}
		m, err := octal(f.Mode, usual)
		c.add("files", at, entry{mode: mode(m), source: file, uid: f.UID, gid: f.GID}, err)
		return nil
	})
	if err != nil {
		c.add("files", name, entry{}, fmt.Errorf("reading its source: %w", err))
	}
}
