package unitfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

// links are the endings of the folders that Enable fills, by the directive.
var links = []struct{ directive, ending string }{{"WantedBy", ".wants"}, {"RequiredBy", ".requires"}, {"UpheldBy", ".upholds"}}

// Enabled lists the services and sockets that the targets of a boot want, sorted;
// a socket has its ending. What belongs to systemd itself, and what is masked, is
// left out.
func Enabled(rootDir string) ([]string, error) {
	var names []string
	for _, full := range root(rootDir).enabled() {
		names = append(names, strings.TrimSuffix(full, ".service"))
	}
	return names, nil
}

// enabled lists full names.
func (r root) enabled() []string {
	found := map[string]bool{}
	for _, folder := range folders {
		for _, dir := range r.names(folder) {
			target, ending, ok := strings.Cut(dir, ".target.")
			if !ok || !has("wants requires upholds", ending) || !atBoot(target) {
				continue
			}
			for _, text := range r.names(path.Join(folder, dir)) {
				name, err := parseName(text)
				if err != nil || name.String() != text || name.kind != ".service" && name.kind != ".socket" {
					continue
				}
				f, err := r.find(name)
				if err == nil && !f.name.ofSystemd() && !name.ofSystemd() {
					found[f.name.String()] = true
				}
			}
		}
	}
	var list []string
	for name := range found {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// atBoot says whether a target is reached when a machine starts, unlike those of
// its end and of its repair.
func atBoot(target string) bool {
	return !has("rescue emergency shutdown umount final reboot poweroff halt kexec soft-reboot sleep suspend hibernate "+
		"hybrid-sleep suspend-then-hibernate exit initrd system-update ctrl-alt-del", target) && !strings.HasPrefix(target, "initrd-")
}

// Enable makes the links that the [Install] section of a unit asks for, as
// systemctl enable does, and says each in changes. Where nothing is to do there
// are none. A unit without an [Install] section is a services.Problem that is a Warning.
func Enable(rootDir, name string) (changes []string, err error) {
	return root(rootDir).enable(name, map[string]bool{})
}

func (r root) enable(text string, seen map[string]bool) (changes []string, err error) {
	f, u, err := r.installable(text)
	if err != nil || seen[f.name.String()] {
		return nil, err
	}
	seen[f.name.String()] = true
	if f.name.isTemplate() && u.defaultInstance != "" {
		f.name.instance = u.defaultInstance
		u = r.lower(f)
	}
	asked := len(seen) == 1
	if err := f.name.unsupported(); err != nil && f.name.kind != ".target" { // to enable a target is common, and right
		return nil, &services.Problem{File: f.name.String(), Text: err.Error(), Warning: !asked}
	}
	for _, link := range links {
		for _, target := range u.installed(link.directive) {
			if f.name.isTemplate() {
				return changes, fmt.Errorf("%s is a template; enable an instance, such as %s1", f.name, f.name.base())
			}
			change, err := r.link(f.file, path.Join(administrator, target+link.ending, f.name.String()))
			if err != nil {
				return changes, err
			}
			changes = append(changes, change...)
		}
	}
	for _, alias := range u.installed("Alias") {
		change, err := r.link(f.file, path.Join(administrator, alias))
		if err != nil {
			return changes, err
		}
		changes = append(changes, change...)
	}
	for _, also := range u.installed("Also") {
		more, err := r.enable(also, seen)
		changes = append(changes, more...)
		switch {
		case err != nil && !isWarning(err):
			return changes, err
		case err != nil:
			changes = append(changes, err.Error()) // it is news, and no reason to enable nothing
		}
	}
	if asked && len(u.install) == 0 {
		return nil, &services.Problem{File: f.file, Warning: true,
			Text: "it has no [Install] section: it starts when another unit wants it, or when somebody starts it"}
	}
	return changes, nil
}

func isWarning(err error) bool {
	var p *services.Problem
	return errors.As(err, &p) && p.Warning
}

// installable finds a unit and reads it.
func (r root) installable(text string) (fragment, *lowering, error) {
	name, err := parseName(text)
	if err != nil {
		return fragment{}, nil, err
	}
	f, err := r.find(name)
	if err != nil {
		return fragment{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, r.lower(f), nil
}

// installed is a list of [Install] whose entries are names of units.
func (u *lowering) installed(directive string) []string {
	var list []string
	if u.install[directive] == nil {
		return nil
	}
	for _, text := range *u.install[directive] {
		if name, err := parseName(text); err == nil && name.String() == text {
			list = append(list, text)
		}
	}
	return list
}

// link makes a symbolic link in the administrator's folder. One that is there for
// the same unit is good.
func (r root) link(target, file string) (changes []string, err error) {
	dir, err := r.makeFolder(path.Dir(file))
	if err != nil {
		return nil, err
	}
	at := path.Join(dir, path.Base(file))
	if info, err := os.Lstat(at); err == nil {
		real, wrong := r.resolve(file)
		wanted, _ := r.resolve(target) // found a moment ago
		switch {
		case wrong == nil && real == wanted, path.Dir(file) != administrator && info.Mode().Type() == fs.ModeSymlink:
			return nil, nil
		case wrong != nil && info.Mode().Type() == fs.ModeSymlink:
			if err := os.Remove(at); err != nil {
				return nil, fmt.Errorf("replacing the link %s, which leads nowhere: %w", file, err)
			}
		default:
			return nil, fmt.Errorf("linking %s to %s: there is another file of that name; remove it first", file, target)
		}
	}
	if err := os.Symlink(target, at); err != nil {
		return nil, fmt.Errorf("enabling: %w", err)
	}
	return []string{fmt.Sprintf("Created symlink %s → %s.", file, target)}, nil
}

// makeFolder makes a folder below the administrator's and returns where it is.
func (r root) makeFolder(folder string) (string, error) {
	real, err := r.resolve(administrator)
	if errors.Is(err, fs.ErrNotExist) {
		real, err = administrator, nil
	}
	if err != nil {
		return "", err
	}
	dir := path.Join(r.at(real), strings.TrimPrefix(folder, administrator))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making %s: %w", folder, err)
	}
	return dir, nil
}

// Disable removes the links that Enable made, and those that were made by hand in
// the same folders, also for the units that Also names.
func Disable(rootDir, name string) (changes []string, err error) {
	return root(rootDir).disable(name, map[string]bool{})
}

func (r root) disable(text string, seen map[string]bool) (changes []string, err error) {
	asked, err := parseName(text)
	if err != nil {
		return nil, err
	}
	names := []unitName{asked}
	f, err := r.find(asked)
	switch {
	case err == nil:
		names = append(names, f.name)
	case len(seen) == 0 && errors.Is(err, errNotFound) && !slices.Contains(r.wantLinks(), asked.String()):
		return nil, fmt.Errorf("%s: %w", asked, err)
	}
	if seen[asked.String()] {
		return nil, nil
	}
	seen[asked.String()] = true
	for _, folder := range folders[:2] {
		for _, name := range r.names(folder) {
			entry := path.Join(folder, name)
			switch {
			case strings.HasSuffix(name, ".wants") || strings.HasSuffix(name, ".requires") || strings.HasSuffix(name, ".upholds"):
				for _, inner := range r.names(entry) {
					if n, err := parseName(inner); err == nil && sameUnit(n, names) {
						changes, err = r.unlink(changes, entry, inner)
						if err != nil {
							return changes, err
						}
					}
				}
			case err == nil && r.isLink(folder, name) && r.belongs(entry, name, f):
				if changes, err = r.unlink(changes, folder, name); err != nil {
					return changes, err
				}
			}
		}
	}
	if err != nil {
		return changes, nil
	}
	for _, also := range r.lower(f).installed("Also") {
		more, err := r.disable(also, seen)
		changes = append(changes, more...)
		if err != nil {
			return changes, err
		}
	}
	return changes, nil
}

// sameUnit says whether a link is for one of the units; a template stands for all
// of its instances.
func sameUnit(link unitName, names []unitName) bool {
	return slices.ContainsFunc(names, func(n unitName) bool {
		return n == link || n.isTemplate() && link.template() == n
	})
}

// belongs says whether a link among the units is an alias of a unit, or brings it in
// from outside.
func (r root) belongs(entry, name string, f fragment) bool {
	real, err := r.resolve(entry)
	if err != nil || real != f.real {
		return false
	}
	return path.Base(real) != name || !r.inFolders(path.Dir(real))
}

// wantLinks lists the names in all folders of wants, whether or not they lead anywhere.
func (r root) wantLinks() []string {
	var list []string
	for _, folder := range folders[:2] {
		for _, dir := range r.names(folder) {
			if has("wants requires upholds", strings.TrimPrefix(path.Ext(dir), ".")) {
				list = append(list, r.names(path.Join(folder, dir))...)
			}
		}
	}
	return list
}

// unlink removes a link, and its folder where that is empty then.
func (r root) unlink(changes []string, folder, name string) ([]string, error) {
	if !r.isLink(folder, name) {
		return changes, nil
	}
	real, err := r.resolve(folder)
	if err != nil {
		return changes, err
	}
	if err := os.Remove(path.Join(r.at(real), name)); err != nil {
		return changes, fmt.Errorf("disabling: %w", err)
	}
	if folder != folders[0] && folder != folders[1] {
		_ = os.Remove(r.at(real)) // stays where it is not empty
	}
	return append(changes, fmt.Sprintf("Removed %s.", path.Join(folder, name))), nil
}

// Install checks a unit file, copies it to /etc/systemd/system below root and
// returns the name of its unit. A file with any problem is refused, a warning
// included, and nothing is changed.
func Install(rootDir, file string) (name string, changes []string, err error) {
	r := root(rootDir)
	name = path.Base(file)
	b, err := readRegular(file, file)
	if err != nil {
		return name, nil, err
	}
	if _, err := Check(file, b); err != nil {
		return name, nil, err
	}
	at := path.Join(administrator, name)
	old, err := r.readFile(at)
	switch real, linkErr := r.resolve(at); {
	case linkErr == nil && real == os.DevNull:
		return name, nil, fmt.Errorf("installing %s: %w; remove the link %s first", name, errMasked, at)
	case err == nil && bytes.Equal(old, b):
		return name, nil, nil
	}
	verb := "Created"
	if err == nil {
		verb = "Replaced"
	}
	dir, err := r.makeFolder(administrator)
	if err != nil {
		return name, nil, err
	}
	if err := replace(dir, name, b); err != nil {
		return name, nil, fmt.Errorf("installing %s: %w", at, err)
	}
	return name, []string{fmt.Sprintf("%s %s.", verb, at)}, nil
}

// replace writes a file that is either the old or the new one at any time.
func replace(dir, name string, b []byte) error {
	f, err := os.CreateTemp(dir, ".init-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path.Join(dir, name))
}
