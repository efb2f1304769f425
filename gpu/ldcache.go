package gpu

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The format of ld.so.cache: glibc, sysdeps/generic/dl-cache.h. A header of 48
// bytes, then entries of 24, then strings; offsets of strings count from the
// start of the header.
const (
	cacheMagic      = "glibc-ld.so.cache1.1"
	cacheHeaderSize = 48
	cacheEntrySize  = 24
	cacheLittle     = 2 // cache_file_new_flags_endian_little
)

// A cacheEntry tells the loader where a library of this name is.
type cacheEntry struct{ name, path string }

// refreshCache has the cache made anew if it does not list the driver, or lists
// one that is gone. ldconfig is asked first; it is the image's, and knows what
// else belongs into the cache.
func (w *work) refreshCache(ctx context.Context, d driver) {
	wanted := w.cacheNames(d)
	if w.checkCache(wanted) == nil {
		return
	}
	ran, err := w.runLdconfig(ctx)
	if err == nil && ran {
		err = w.checkCache(wanted)
	}
	if err == nil && ran {
		w.note("refreshed %s", cachePath)
		return
	}
	w.problem(err)
	changed, err := w.write(cachePath, encodeCache(w.scanLibraries(d), w.arch.cacheFlags), 0o644)
	w.problem(err)
	if changed {
		w.note("wrote %s without ldconfig", cachePath)
	}
}

// cacheNames are the names that programs ask for the driver's libraries by.
func (w *work) cacheNames(d driver) []string {
	var names []string
	for _, l := range d.libraries {
		if l.soname != "" && nameVersion(l.soname) == "" {
			names = append(names, l.soname)
		}
	}
	for name, target := range farmLinks(d) {
		if !filepath.IsAbs(target) && !w.foreignFarm(d.mounts) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// checkCache says which of these names the cache does not list, or which
// driver's library it lists that is gone.
func (w *work) checkCache(names []string) error {
	data, err := os.ReadFile(w.file(cachePath))
	if err != nil {
		return fmt.Errorf("reading %s: %w", cachePath, err)
	}
	listed := map[string]bool{}
	for _, e := range decodeCache(data) {
		if isDriverName(e.name) && !listed[e.name] { // the loader takes the first
			if info := w.stat(e.path); info == nil || info.Size() == 0 {
				return fmt.Errorf("%s lists %s, which is gone", cachePath, e.path)
			}
		}
		listed[e.name] = true
	}
	for _, name := range names {
		if !listed[name] {
			return fmt.Errorf("%s does not list %s", cachePath, name)
		}
	}
	return nil
}

// runLdconfig says whether there was one to run.
func (w *work) runLdconfig(ctx context.Context) (ran bool, err error) {
	program := w.Ldconfig // what is at ldconfigPath may be a script, and need a shell
	if !executable(w.tree, program) {
		program = ldconfigPath
	}
	if w.Run == nil || !executable(w.tree, program) {
		return false, nil
	}
	output, exit, err := w.run(ctx, program, "-f", confPath, "-C", cachePath)
	if err == nil && exit != 0 {
		err = fmt.Errorf("it exited with %d: %s", exit, lastLine(output))
	}
	if err != nil {
		return true, fmt.Errorf("running %s: %w", program, err)
	}
	return true, nil
}

// lastLine is the last line of a program's output that says something.
func lastLine(output []byte) string {
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// scanLibraries finds what ldconfig would, apart from hwcaps subdirectories: the
// directories of /etc/ld.so.conf, the driver's, and the loader's own.
func (w *work) scanLibraries(d driver) []cacheEntry {
	dirs := append(w.confDirs(confPath, 0), d.dirs...)
	dirs = append(dirs, filepath.Dir(w.inside(w.arch.loader)))
	var entries []cacheEntry
	seen := map[string]bool{}
	for _, dir := range dirs {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		entries = append(entries, w.scanDir(dir)...)
	}
	return entries
}

// scanDir lists a directory's libraries: links by their own name, files by
// their soname, each name once.
func (w *work) scanDir(dir string) []cacheEntry {
	var entries []cacheEntry
	for _, name := range w.names(dir) {
		path := dir + "/" + name
		if !strings.HasPrefix(name, "lib") && !strings.HasPrefix(name, "ld-") || !strings.Contains(name, ".so") ||
			w.checkELF(path, w.arch.machine) != nil {
			continue
		}
		soname, err := w.soname(path)
		if err != nil {
			continue
		}
		if nameVersion(name) != "" || w.isFile(path) && soname != "" {
			name = cmp.Or(soname, name)
		}
		if w.stat(dir+"/"+name) != nil {
			path = dir + "/" + name
		}
		if !slices.ContainsFunc(entries, func(e cacheEntry) bool { return e.name == name }) {
			entries = append(entries, cacheEntry{name, path})
		}
	}
	return entries
}

// confDirs reads a file in ldconfig's language (ldconfig(8)): a directory a
// line, or "include PATTERN". depth ends a file that includes itself.
func (w *work) confDirs(path string, depth int) []string {
	text, err := os.ReadFile(w.file(path))
	if err != nil || depth > 8 {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 1 && filepath.IsAbs(fields[0]):
			dirs = append(dirs, filepath.Clean(fields[0]))
		case len(fields) == 2 && fields[0] == "include":
			dir, pattern := filepath.Split(fields[1])
			for _, name := range w.names(dir) {
				if ok, _ := filepath.Match(pattern, name); ok {
					dirs = append(dirs, w.confDirs(dir+name, depth+1)...)
				}
			}
		}
	}
	return dirs
}

// encodeCache writes entries in the order that the loader's binary search
// needs. Of equal names the first stays first, and wins.
func encodeCache(entries []cacheEntry, flags uint32) []byte {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b cacheEntry) int { return compareNames(b.name, a.name) })
	base := cacheHeaderSize + cacheEntrySize*len(entries)
	var table, text []byte
	for _, e := range entries {
		table = le.AppendUint32(table, flags)
		for _, s := range []string{e.name, e.path} {
			table = le.AppendUint32(table, uint32(base+len(text)))
			text = append(append(text, s...), 0)
		}
		table = append(table, make([]byte, 12)...) // no minimal kernel, no hwcap
	}
	head := make([]byte, cacheHeaderSize)
	copy(head, cacheMagic)
	le.PutUint32(head[20:], uint32(len(entries)))
	le.PutUint32(head[24:], uint32(len(text)))
	head[28] = cacheLittle
	return slices.Concat(head, table, text)
}

// decodeCache lists a cache, also one behind a table in the format of before
// glibc 2.2, which ldconfig wrote until 2.31. What is cut off is left out.
func decodeCache(data []byte) []cacheEntry {
	start := bytes.Index(data, []byte(cacheMagic))
	if start < 0 || len(data)-start < cacheHeaderSize {
		return nil
	}
	data = data[start:]
	var entries []cacheEntry
	for i := range int(le.Uint32(data[20:])) {
		at := cacheHeaderSize + i*cacheEntrySize
		if at+cacheEntrySize > len(data) {
			break
		}
		name, err1 := cacheString(data, le.Uint32(data[at+4:]))
		path, err2 := cacheString(data, le.Uint32(data[at+8:]))
		if err1 == nil && err2 == nil {
			entries = append(entries, cacheEntry{name, path})
		}
	}
	return entries
}

func cacheString(data []byte, at uint32) (string, error) {
	if int64(at) >= int64(len(data)) {
		return "", errors.New("offset beyond the end")
	}
	text, _, ok := bytes.Cut(data[at:], []byte{0})
	if !ok {
		return "", errors.New("string without an end")
	}
	return string(text), nil
}

// compareNames is the order of glibc's _dl_cache_libcmp (elf/dl-cache.c): runs
// of digits compare as numbers, and come after anything else.
func compareNames(a, b string) int {
	for a != "" && b != "" {
		na, ra, oka := number(a)
		nb, rb, okb := number(b)
		switch {
		case oka && okb:
			if na != nb {
				return int(na - nb)
			}
			a, b = ra, rb
		case oka:
			return 1
		case okb:
			return -1
		case a[0] != b[0]:
			return cmp.Compare(a[0], b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return cmp.Compare(len(a), len(b))
}

// number cuts a run of digits off the front of s. glibc takes them for an int.
func number(s string) (n int32, rest string, ok bool) {
	for s != "" && '0' <= s[0] && s[0] <= '9' {
		n, s, ok = n*10+int32(s[0]-'0'), s[1:], true
	}
	return n, s, ok
}
