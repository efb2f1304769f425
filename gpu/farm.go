package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// farmDir is where every program of nixpkgs that uses a GPU looks for the
// driver (nixpkgs: addDriverRunpath).
const farmDir = "/run/opengl-driver/lib"

// foreignFarm says whether the farm is somebody else's: a NixOS host mounts its own.
func (w *work) foreignFarm(m mounts) bool { return m.has(farmDir) || m.has(filepath.Dir(farmDir)) }

// farmLinks is what the farm has to hold: each library under its file name and
// its soname, and three under the name that a linker, or dlopen without a
// version, asks for. ldconfig wants the chain libcuda.so -> libcuda.so.1 -> file.
func farmLinks(d driver) map[string]string {
	links := map[string]string{}
	for name, l := range d.libraries {
		links[name] = l.path
		if l.soname != "" {
			links[l.soname] = l.path
		}
	}
	for _, name := range []string{"libcuda.so", "libnvidia-ml.so", "libnvidia-opticalflow.so"} {
		if _, ok := links[name+".1"]; ok {
			links[name] = name + ".1"
		}
	}
	return links
}

// buildFarm makes the link farm, and beside it the links to the descriptions by
// which the loaders of EGL, Vulkan and OpenCL find the driver.
func (w *work) buildFarm(d driver) {
	if w.foreignFarm(d.mounts) {
		return
	}
	w.fill(farmDir, farmLinks(d), func(name string) bool { return isDriverName(name) || nameVersion(name) != "" })
	for _, kind := range []struct {
		to   string
		from []string
	}{
		{"share/glvnd/egl_vendor.d", []string{"/usr/share/glvnd/egl_vendor.d"}},
		{"share/egl/egl_external_platform.d", []string{"/usr/share/egl/egl_external_platform.d"}},
		{"share/vulkan/icd.d", []string{"/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d"}},
		{"share/vulkan/implicit_layer.d", []string{"/etc/vulkan/implicit_layer.d", "/usr/share/vulkan/implicit_layer.d"}},
		{"etc/OpenCL/vendors", []string{"/etc/OpenCL/vendors"}},
	} {
		w.fill(filepath.Dir(farmDir)+"/"+kind.to, w.descriptions(d, kind.from), isDescription)
	}
}

// descriptions maps the names of the driver's files in these directories to
// their paths.
func (w *work) descriptions(d driver, dirs []string) map[string]string {
	links := map[string]string{}
	if !d.there() {
		return links
	}
	for _, dir := range dirs {
		for _, name := range w.names(dir) {
			if info := w.stat(dir + "/" + name); isDescription(name) && info != nil && info.Size() > 0 {
				links[name] = dir + "/" + name
			}
		}
	}
	return links
}

func isDescription(name string) bool {
	return strings.Contains(name, "nvidia") && (strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".icd"))
}

// fill makes dir hold these links and nothing else. The new directory is built
// beside the old one and takes its place at once. A directory with anything in
// it that is not a link with one of our names is not ours.
func (w *work) fill(dir string, links map[string]string, ours func(name string) bool) {
	have, err := w.readLinks(dir, ours)
	if err != nil {
		w.problem(fmt.Errorf("%s is left alone: %w", dir, err))
		return
	}
	if maps.Equal(have, links) {
		return
	}
	if err := w.replace(dir, links); err != nil {
		w.problem(fmt.Errorf("making the links in %s: %w", dir, err))
		return
	}
	w.note("linked %d names in %s", len(links), dir)
}

func (w *work) readLinks(dir string, ours func(string) bool) (map[string]string, error) {
	have := map[string]string{}
	for _, name := range w.names(dir) {
		target, err := os.Readlink(w.at(dir + "/" + name))
		if err != nil || !ours(name) {
			return nil, fmt.Errorf("%s in it is not of a driver", name)
		}
		have[name] = target
	}
	return have, nil
}

func (w *work) replace(dir string, links map[string]string) error {
	at := w.file(dir)
	beside := at + ".new"
	if err := os.RemoveAll(beside); err != nil { // of a boot that was killed here
		return err
	}
	if err := os.MkdirAll(beside, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if err := os.Symlink(links[name], filepath.Join(beside, name)); err != nil {
			return err
		}
	}
	// Not every file system can exchange: overlayfs cannot where the image
	// itself has the directory.
	if err := unix.Renameat2(unix.AT_FDCWD, beside, unix.AT_FDCWD, at, unix.RENAME_EXCHANGE); err == nil {
		return os.RemoveAll(beside)
	}
	if err := os.RemoveAll(at); err != nil {
		return err
	}
	return os.Rename(beside, at)
}

// clean removes what mounts of an earlier driver left behind: the empty files
// that they were mounted on, and links that lead to these or to nothing. A
// container that is stopped and started keeps them.
func (w *work) clean(d driver) {
	removed := map[string]int{}
	for _, dir := range d.dirs {
		for _, name := range w.names(dir) {
			path := dir + "/" + name
			if dir != farmDir && w.isLeftover(d, path) && w.remove(path) {
				removed[nameVersion(name)]++
			}
		}
	}
	for _, dir := range w.programDirs(d.mounts) {
		for _, name := range programNames() {
			if path := dir + "/" + name; w.isEmpty(d, path) && w.remove(path) {
				removed[""]++
			}
		}
	}
	for _, version := range slices.Sorted(maps.Keys(removed)) {
		if version == "" {
			w.note("removed %d links that led nowhere and empty programs", removed[version])
			continue
		}
		w.note("removed %d empty leftovers of %s", removed[version], version)
	}
	w.cleanConf()
}

// isLeftover says whether path is an empty library, or a link that leads to no
// library, of another version than the driver's.
func (w *work) isLeftover(d driver, path string) bool {
	name := filepath.Base(path)
	version := nameVersion(name)
	if !isDriverName(name) && version == "" || version != "" && version == d.version {
		return false
	}
	if w.isEmpty(d, path) {
		return true
	}
	info, err := os.Lstat(w.at(path))
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return false
	}
	target := w.stat(path)
	return target == nil || w.isEmpty(d, w.inside(path))
}

// isEmpty says whether path is an empty file that nothing is mounted on.
func (w *work) isEmpty(d driver, path string) bool {
	info, err := os.Lstat(w.at(path))
	return err == nil && info.Mode().IsRegular() && info.Size() == 0 && !d.mounts.covers(w.inside(path))
}

func (w *work) remove(path string) bool {
	if err := os.Remove(w.at(path)); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			w.problem(fmt.Errorf("removing a leftover: %w", err))
		}
		return false
	}
	return true
}

// cleanConf removes copies of the files that the runtime's hook adds to
// /etc/ld.so.conf.d at every start, each under a new name.
func (w *work) cleanConf() {
	seen := map[string]bool{}
	count := 0
	for _, name := range w.names(confDir) {
		kind, _, ok := strings.Cut(name, "-nvcr-")
		if !ok || kind != "00" && kind != "zz" {
			continue
		}
		text, err := os.ReadFile(w.file(confDir + "/" + name))
		if key := kind + string(text); err != nil || !seen[key] {
			seen[key] = true
		} else if w.remove(confDir + "/" + name) {
			count++
		}
	}
	if count > 0 {
		w.note("removed %d copies in %s", count, confDir)
	}
}
