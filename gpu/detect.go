package gpu

import (
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A library is one file of the driver. soname is the name that programs ask for
// it by; "" when it has none.
type library struct{ path, soname string }

// driver is what is there of the host's driver.
type driver struct {
	mode      string
	version   string
	libraries map[string]library // by file name
	programs  map[string]string  // path by name
	devices   []string
	dirs      []string // where to look for leftovers too
	mounts    mounts
	problems  []string

	requested string   // the setting that asks for a GPU, "" for none
	missing   []string // of a complete injection; none where nothing is there
}

// there says whether a runtime injected anything.
func (d driver) there() bool { return len(d.libraries)+len(d.devices) > 0 }

// lazy compiles an expression when it is first used: the program that holds this
// package starts often, as a health probe, and seldom looks for a driver.
func lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

var (
	// versionSuffix is the end of a driver library's file name: 535.261.03 or 575.51.
	versionSuffix = lazy(`\.so\.(\d{3,4}\.\d{1,3}(?:\.\d{1,3})?)$`)
	// driverName matches what only a driver's library is called. libcudart and
	// the like belong to programs, libGL and libOpenCL to the image.
	driverName = lazy(`^lib(cuda|cudadebugger|nvcuvid|nvoptix|(EGL|GLX|GLESv1_CM|GLESv2|vdpau)_nvidia|dxcore|nvidia-[a-z0-9_-]+)\.so(\.|$)`)
	// containerTool is of the toolkit on the host, not of the driver.
	containerTool = lazy(`^libnvidia-container`)
	gpuDevice     = lazy(`^/dev/nvidia[0-9]+$`)
)

func isDriverName(name string) bool {
	return driverName().MatchString(name) && !containerTool().MatchString(name)
}

// nameVersion is the driver version in a library's file name, "" for none.
func nameVersion(name string) string {
	if m := versionSuffix().FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// programNames are what a runtime injects beside libraries.
func programNames() []string {
	return []string{"nvidia-smi", "nvidia-debugdump", "nvidia-persistenced", "nvidia-cuda-mps-control",
		"nvidia-cuda-mps-server", "nvidia-imex", "nvidia-imex-ctl"}
}

// detect looks at the environment, the mounts and the files.
func (w *work) detect() driver {
	d := driver{mounts: w.readMounts(), libraries: map[string]library{}, programs: map[string]string{}}
	d.dirs = w.libraryDirs(d.mounts)
	w.findLibraries(&d)
	w.findPrograms(&d)
	w.findDevices(&d)
	d.mode = w.mode(d)
	d.requested = w.requested()
	if d.there() {
		d.missing = append(d.missing, w.missing(d)...)
	}
	return d
}

// requested is the setting that asks for a GPU, "" for none. "all" is what images
// set for whoever has a GPU, ours too: it asks for one where the host shows one.
func (w *work) requested() string {
	switch v := w.env("NVIDIA_VISIBLE_DEVICES"); v {
	case "", "void", "none":
	case "all":
		if w.hostHasGPU() {
			return "NVIDIA_VISIBLE_DEVICES=all"
		}
	default:
		return "NVIDIA_VISIBLE_DEVICES=" + v
	}
	if v := w.env("NVIDIA_CTK_LIBCUDA_DIR"); v != "" {
		return "NVIDIA_CTK_LIBCUDA_DIR=" + v
	}
	return ""
}

// hostHasGPU looks at what a container sees of its host without being given
// anything: the kernel module's file in /proc, and the PCI bus.
func (w *work) hostHasGPU() bool {
	if w.procVersion() != "" {
		return true
	}
	const bus = "/sys/bus/pci/devices"
	for _, name := range w.names(bus) {
		vendor, _ := os.ReadFile(w.file(bus + "/" + name + "/vendor")) // an entry without one is no GPU
		class, _ := os.ReadFile(w.file(bus + "/" + name + "/class"))
		// NVIDIA's vendor number, and the class of display controllers (pci.ids).
		if strings.HasPrefix(string(vendor), "0x10de") && strings.HasPrefix(string(class), "0x03") {
			return true
		}
	}
	return false
}

// env is the value of a variable of PID 1's environment.
func (w *work) env(name string) string {
	for _, e := range w.Environ {
		if k, v, _ := strings.Cut(e, "="); k == name {
			return v
		}
	}
	return ""
}

// libraryDirs are the directories that a driver's libraries may be in, best
// first: what the owner says, what the runtime says, what is mounted, what is usual.
func (w *work) libraryDirs(m mounts) []string {
	// What we made is no driver.
	dirs := slices.DeleteFunc(slices.Clone(w.SearchDirs), func(dir string) bool { return w.inside(dir) == farmDir })
	for _, dir := range strings.Split(w.env("NVIDIA_CTK_LIBCUDA_DIR"), ":") {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, point := range slices.Sorted(maps.Keys(m)) {
		if isDriverName(filepath.Base(point)) {
			dirs = append(dirs, filepath.Dir(point))
		}
	}
	if m.has(filepath.Dir(farmDir)) || m.has(farmDir) { // a NixOS host's own farm
		dirs = append(dirs, farmDir)
	}
	dirs = append(dirs, "/usr/lib/"+w.arch.triplet, "/usr/lib64", "/lib/"+w.arch.triplet, "/lib64",
		"/usr/lib/"+w.arch.triplet+"/nvidia/current", "/usr/lib", "/usr/local/nvidia/lib64", "/usr/local/nvidia/lib",
		"/usr/lib/wsl/lib")
	for _, name := range w.names(wslDrivers) {
		dirs = append(dirs, wslDrivers+"/"+name)
	}
	var real []string
	for _, dir := range dirs {
		if dir != farmDir {
			dir = w.inside(dir)
		}
		if !slices.Contains(real, dir) {
			real = append(real, dir, dir+"/vdpau")
		}
	}
	return real
}

const wslDrivers = "/usr/lib/wsl/drivers"

// findLibraries collects the driver's libraries of one version. Where files are
// mounted, their version is the right one; others were left behind.
func (w *work) findLibraries(d *driver) {
	var all []string
	for _, dir := range d.dirs {
		for _, name := range w.names(dir) {
			path := dir + "/" + name
			ours := isDriverName(name) || nameVersion(name) != ""
			if ours && (w.isFile(path) || dir == farmDir) && w.checkELF(path, w.arch.machine) == nil {
				all = append(all, path)
			}
		}
	}
	mounted := slices.DeleteFunc(slices.Clone(all), func(path string) bool { return !d.mounts.covers(path) })
	if len(mounted) > 0 {
		all = mounted
	}
	var versions []string
	for _, path := range all {
		name := filepath.Base(path)
		v := nameVersion(name)
		if v == "" || !isDriverName(name) {
			continue
		}
		if !slices.Contains(versions, v) {
			versions = append(versions, v)
		}
		if d.version == "" || strings.HasPrefix(name, "libcuda.so.") {
			d.version = v
		}
	}
	if len(versions) > 1 {
		d.missing = append(d.missing, "libraries of one version (there are "+strings.Join(versions, " and ")+")")
	}
	for _, path := range all {
		w.addLibrary(d, path)
	}
}

// addLibrary takes one file, unless it is of another version or name, or an
// earlier directory has it.
func (w *work) addLibrary(d *driver, path string) {
	name := filepath.Base(path)
	if v := nameVersion(name); v != d.version && (v != "" || !isDriverName(name)) {
		return
	}
	if _, ok := d.libraries[name]; ok {
		return
	}
	soname, err := w.soname(path)
	if err != nil {
		d.problems = append(d.problems, fmt.Sprintf("%s is damaged: %v; left out", path, err))
		return
	}
	d.libraries[name] = library{path, soname}
}

// isFile says whether path is a file itself, not a link to one.
func (w *work) isFile(path string) bool {
	info, err := os.Lstat(w.at(path))
	return err == nil && info.Mode().IsRegular()
}

func (w *work) soname(path string) (string, error) {
	f, err := elf.Open(w.file(path))
	if err != nil {
		return "", err
	}
	defer f.Close()
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil || len(names) == 0 || strings.Contains(names[0], "/") {
		return "", err
	}
	return names[0], nil
}

// findPrograms takes, of each program, the first that is not the empty mount
// point of an earlier driver.
func (w *work) findPrograms(d *driver) {
	for _, name := range programNames() {
		for _, dir := range w.programDirs(d.mounts) {
			path := w.inside(dir + "/" + name)
			info := w.stat(path)
			if info != nil && info.Mode().IsRegular() && (info.Size() > 0 || d.mounts.covers(path)) {
				d.programs[name] = path
				break
			}
		}
	}
}

// programDirs are the directories that a driver's programs may be in.
func (w *work) programDirs(m mounts) []string {
	var dirs []string
	for _, point := range slices.Sorted(maps.Keys(m)) {
		if slices.Contains(programNames(), filepath.Base(point)) {
			dirs = append(dirs, filepath.Dir(point))
		}
	}
	dirs = append(dirs, "/usr/bin", "/usr/local/nvidia/bin", "/usr/lib/wsl/lib")
	for _, name := range w.names(wslDrivers) {
		dirs = append(dirs, wslDrivers+"/"+name)
	}
	return dirs
}

func (w *work) findDevices(d *driver) {
	for _, dir := range []string{"/dev", "/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels"} {
		for _, name := range w.names(dir) {
			path := dir + "/" + name
			if info := w.stat(path); (strings.HasPrefix(name, "nvidia") || name == "dxg") && info != nil && !info.IsDir() {
				d.devices = append(d.devices, path)
			}
		}
	}
	slices.Sort(d.devices)
}

// mode says how the driver was injected, for people.
func (w *work) mode(d driver) string {
	if !d.there() {
		return ""
	}
	file := false
	for _, l := range d.libraries {
		file = file || d.mounts.has(l.path)
	}
	switch {
	case slices.Contains(d.devices, "/dev/dxg"):
		return "wsl"
	case w.foreignFarm(d.mounts):
		return "nixos"
	case d.mounts["/proc/driver/nvidia"] == "tmpfs": // libnvidia-container, nvc_mount.c
		return "legacy"
	case w.env("NVIDIA_CTK_LIBCUDA_DIR") != "", file && w.env("NVIDIA_VISIBLE_DEVICES") == "void":
		return "cdi" // toolkit, pkg/nvcdi: it sets these, and the legacy hook does not
	case file:
		return "legacy"
	case slices.ContainsFunc(slices.Collect(maps.Values(d.libraries)), func(l library) bool { return d.mounts.covers(l.path) }):
		return "directory"
	case len(d.libraries) > 0:
		return "image"
	}
	return "devices"
}

// missing lists what a complete injection has and this one has not.
func (w *work) missing(d driver) []string {
	var missing []string
	need := func(ok bool, what string) {
		if !ok {
			missing = append(missing, what)
		}
	}
	has := func(prefix string) bool {
		return slices.ContainsFunc(slices.Collect(maps.Keys(d.libraries)), func(name string) bool { return strings.HasPrefix(name, prefix) })
	}
	compute, utility := w.capability(d, "compute"), w.capability(d, "utility")
	need(!compute || has("libcuda.so"), "libcuda.so.1")
	need(!utility || has("libnvidia-ml.so"), "libnvidia-ml.so.1")
	if d.mode == "wsl" {
		return missing
	}
	need(slices.Contains(d.devices, controlDevice), controlDevice)
	if w.env("NVIDIA_VISIBLE_DEVICES") != "none" {
		need(slices.ContainsFunc(d.devices, gpuDevice().MatchString), "/dev/nvidia0 or another GPU's device")
		need(!compute || slices.Contains(d.devices, "/dev/nvidia-uvm"), "/dev/nvidia-uvm")
	}
	return missing
}

// capability says whether a part of the driver was to be injected. Only the
// legacy runtime leaves parts out.
func (w *work) capability(d driver, name string) bool {
	set := w.env("NVIDIA_DRIVER_CAPABILITIES")
	if d.mode != "legacy" || set == "" {
		return true
	}
	list := strings.Split(set, ",")
	return slices.Contains(list, name) || slices.Contains(list, "all")
}
