package unitfile

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// State says in the words of systemctl is-enabled whether a unit starts at boot:
// enabled, enabled-runtime, disabled, static, indirect, alias, linked, masked, not-found.
func State(rootDir, text string) string {
	r := root(rootDir)
	name, err := parseName(text)
	if err != nil {
		return "not-found"
	}
	f, err := r.find(name)
	switch {
	case errors.Is(err, errMasked):
		return "masked"
	case err != nil:
		return "not-found"
	case f.name != name:
		return "alias"
	}
	for i, folder := range folders[:2] {
		if r.enabledIn(folder, f) {
			return []string{"enabled", "enabled-runtime"}[i]
		}
	}
	if r.isLink(path.Dir(f.file), path.Base(f.file)) && !r.inFolders(path.Dir(f.real)) && path.Dir(f.file) == administrator {
		return "linked"
	}
	u := r.lower(f)
	switch {
	case len(u.installed("WantedBy"))+len(u.installed("RequiredBy"))+len(u.installed("UpheldBy"))+len(u.installed("Alias")) > 0:
		return "disabled"
	case len(u.installed("Also")) > 0:
		return "indirect"
	}
	return "static"
}

// enabledIn says whether a folder of units has a link for one.
func (r root) enabledIn(folder string, f fragment) bool {
	for _, entry := range r.names(folder) {
		if has("wants requires upholds", strings.TrimPrefix(path.Ext(entry), ".")) {
			for _, inner := range r.names(path.Join(folder, entry)) {
				if n, err := parseName(inner); err == nil && sameUnit(n, []unitName{f.name}) {
					return true
				}
			}
		} else if r.isLink(folder, entry) && r.belongs(path.Join(folder, entry), entry, f) && entry != path.Base(f.file) {
			return true
		}
	}
	return false
}

// Cat is the text of a unit and of all that adds to it, each below a line with its
// path, as systemctl cat shows it.
func Cat(rootDir, text string) (string, error) {
	r := root(rootDir)
	f, u, err := r.installable(text)
	if err != nil {
		return "", err
	}
	_ = u
	var b strings.Builder
	for i, file := range slices.Concat([]string{f.file}, r.dropIns(f.name)) {
		content, err := r.readFile(file)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString("# " + file + "\n" + strings.TrimSuffix(string(content), "\n") + "\n")
	}
	return b.String(), nil
}
