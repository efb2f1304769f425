package unitfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Mask keeps a unit from being started by anybody, as systemctl mask does: a link to
// /dev/null in /etc/systemd/system stands before its file. It says each link that
// it makes in changes. A unit that there is not can be masked too. A file of its
// own in that folder is an error: the link would have to replace it.
func Mask(rootDir, text string) (changes []string, err error) {
	r := root(rootDir)
	name, err := parseName(text)
	if err != nil {
		return nil, err
	}
	file := path.Join(administrator, name.String())
	if real, err := r.resolve(file); err == nil && real == os.DevNull {
		return nil, nil
	}
	if _, err := r.find(name); errors.Is(err, errNotFound) {
		changes = append(changes, fmt.Sprintf("Unit %s does not exist, proceeding anyway.", name))
	}
	dir, err := r.makeFolder(administrator)
	if err != nil {
		return nil, err
	}
	err = os.Symlink(os.DevNull, path.Join(dir, path.Base(file)))
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("masking %s: the file %s already exists, and a mask would have to replace it: move it to %s first",
			name, file, folders[len(folders)-2])
	case err != nil:
		return nil, fmt.Errorf("masking: %w", err)
	}
	return append(changes, fmt.Sprintf("Created symlink %s → %s.", file, os.DevNull)), nil
}

// Unmask removes the links that Mask made, also those below /run. Where the unit is
// masked by another file still, that is said in changes.
func Unmask(rootDir, text string) (changes []string, err error) {
	r := root(rootDir)
	name, err := parseName(text)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders[:2] {
		if real, err := r.resolve(path.Join(folder, name.String())); err == nil && real == os.DevNull {
			if changes, err = r.unlink(changes, folder, name.String()); err != nil {
				return changes, err
			}
		}
	}
	if f, err := r.find(name); errors.Is(err, errMasked) {
		changes = append(changes, fmt.Sprintf("Unit %s is masked by %s all the same.", name, f.file))
	}
	return changes, nil
}

// Files lists the service units that there are files of, sorted and without
// ".service": those that are masked and aliases too, but no templates, and none of
// systemd's own.
func Files(rootDir string) (names []string) {
	r := root(rootDir)
	for _, folder := range folders {
		for _, file := range r.names(folder) {
			name, err := parseName(file)
			if err == nil && name.String() == file && name.kind == ".service" && !name.isTemplate() && !name.ofSystemd() {
				names = append(names, strings.TrimSuffix(file, ".service"))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
