package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mounts makes the directories, devices and mounts that a container may lack.
var Mounts = Step{Name: "mounts", Run: mounts}

const runPath = "/run/nix2vast" // where everything of ours lives that a boot makes anew

// dirs are made with their mode if they are missing. Where fix is set, what is
// there gets the mode too, and root as its owner: sshd refuses its own
// directories otherwise, and a /tmp that only root can write to is of no use.
var dirs = []struct {
	path string
	mode uint32 // as chmod(2) takes it
	fix  bool
}{
	{"/run", 0o755, false},
	{runPath, 0o755, true},
	{"/run/sshd", 0o755, true},  // sshd's privilege separation directory in Debian
	{"/var/empty", 0o755, true}, // the same in nixpkgs
	{"/tmp", 0o1777, true},
	{"/var/tmp", 0o1777, true},
	{"/proc", 0o555, false},
	{"/sys", 0o555, false},
	{"/dev", 0o755, false},
	{"/dev/shm", 0o1777, false},
	{"/dev/pts", 0o755, false},
}

// filesystems are mounted where nothing is yet. Engines do that for us; a bare
// namespace does not.
var filesystems = []struct {
	kind, path string
	flags      uintptr
	options    string
}{
	{"proc", "/proc", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"sysfs", "/sys", unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, ""},
	{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
	{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
}

// devices are character devices, numbered as in the kernel's
// Documentation/admin-guide/devices.txt.
var devices = []struct {
	path         string
	major, minor uint32
}{
	{"/dev/null", 1, 3},
	{"/dev/zero", 1, 5},
	{"/dev/full", 1, 7},
	{"/dev/random", 1, 8},
	{"/dev/urandom", 1, 9},
	{"/dev/tty", 5, 0},
}

var links = []struct{ path, target string }{
	{"/dev/fd", "/proc/self/fd"},
	{"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
	{"/dev/ptmx", "pts/ptmx"},
	{"/var/run", "/run"},
}

// stale is what an earlier boot leaves in runPath, since docker keeps /run over
// a restart.
var stale = []string{"control.sock", "*.pid", "gpu.json", "state.json"}

func mounts(_ context.Context, c *Container) (string, error) {
	return prepare(c.Root, os.Getpid() == 1, c.Settings.LogDir, c.Settings.Workspace)
}

// prepare does the step's work. Only PID 1 owns the machine: another neither
// mounts nor throws a running init's socket away.
func prepare(root string, pid1 bool, configured ...string) (string, error) {
	var ch changes
	if pid1 {
		ch.add(writableRun(root))
	}
	for _, d := range dirs {
		ch.add(makeDir(root, d.path, d.mode, d.fix))
	}
	for _, dir := range configured {
		ch.add(makeDir(root, dir, 0o755, false))
	}
	if pid1 {
		ch.add("", wipe(root))
		for _, f := range filesystems {
			ch.add(mount(root, f.path, f.kind, f.flags, f.options))
		}
	}
	for _, d := range devices {
		ch.add(makeDevice(root, d.path, d.major, d.minor))
	}
	for _, l := range links {
		ch.add(makeLink(root, l.path, l.target))
	}
	return ch.result()
}

// writableRun puts a tmpfs on /run if the root is read-only, so that there is
// at least a place for the control socket. It may hold programs: no noexec.
func writableRun(root string) (string, error) {
	full := filepath.Join(root, "run")
	if err := unix.Access(full, unix.W_OK); err != unix.EROFS {
		return "", nil
	}
	err := unix.Mount("tmpfs", full, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755")
	if forbidden(err) {
		return "", nil // makeDir says what it means
	}
	if err != nil {
		return "", fmt.Errorf("mounting a tmpfs on /run: %w", err)
	}
	return "mounted a tmpfs on the read-only /run", nil
}

func makeDir(root, path string, mode uint32, fix bool) (string, error) {
	full := filepath.Join(root, path)
	var stat unix.Stat_t
	switch err := unix.Stat(full, &stat); {
	case err == unix.ENOENT:
		if err := os.MkdirAll(full, 0o755); err != nil {
			return "", &placeError{"making", path, err}
		}
		if err := unix.Chmod(full, mode); err != nil { // past the umask
			return "", &placeError{"making", path, err}
		}
		return "made " + path, nil
	case err != nil:
		return "", &placeError{"looking at", path, err}
	case stat.Mode&unix.S_IFMT != unix.S_IFDIR:
		return "", &placeError{"making", path, unix.ENOTDIR}
	}
	return repairDir(full, path, mode, fix, &stat)
}

func repairDir(full, path string, mode uint32, fix bool, stat *unix.Stat_t) (string, error) {
	uid := os.Geteuid()
	if !fix || stat.Mode&0o7777 == mode && int(stat.Uid) == uid {
		return "", nil
	}
	if int(stat.Uid) != uid {
		if err := os.Chown(full, uid, -1); err != nil {
			return "", &placeError{"repairing", path, err}
		}
	}
	if err := unix.Chmod(full, mode); err != nil {
		return "", &placeError{"repairing", path, err}
	}
	return "repaired the owner or mode of " + path, nil
}

func wipe(root string) error {
	var errs []error
	for _, pattern := range stale {
		found, err := filepath.Glob(filepath.Join(root, runPath, pattern))
		errs = append(errs, err)
		for _, name := range found {
			errs = append(errs, os.Remove(name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing what the last boot left: %w", err)
	}
	return nil
}

// mount puts a file system on path unless something is mounted there. Where we
// may not mount, the engine decides what a container has: no error.
func mount(root, path, kind string, flags uintptr, options string) (string, error) {
	full := filepath.Join(root, path)
	var here, parent unix.Stat_t
	if unix.Stat(full, &here) != nil || unix.Stat(filepath.Dir(full), &parent) != nil {
		return "", nil // the directory could not be made, which is said already
	}
	if here.Dev != parent.Dev {
		return "", nil
	}
	err := unix.Mount(kind, full, kind, flags, options)
	if forbidden(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("mounting %s on %s: %w", kind, path, err)
	}
	return "mounted " + path, nil
}

func forbidden(err error) bool { return err == unix.EPERM || err == unix.EACCES }

// makeDevice makes a character device that everybody may use. A file in its
// place, which "> /dev/null" makes where the device is missing, is replaced.
func makeDevice(root, path string, major, minor uint32) (string, error) {
	full := filepath.Join(root, path)
	info, err := os.Stat(full)
	if err == nil && !info.Mode().IsRegular() {
		return "", nil
	}
	temp := full + ".nix2vast"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", &placeError{"making", path, err}
	}
	err = unix.Mknod(temp, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor)))
	if err == nil {
		err = unix.Chmod(temp, 0o666) // past the umask
	}
	if err == nil {
		err = unix.Rename(temp, full)
	}
	if err != nil {
		return "", &placeError{"making", path, err}
	}
	return "made " + path, nil
}

func makeLink(root, path, target string) (string, error) {
	full := filepath.Join(root, path)
	if _, err := os.Lstat(full); err == nil {
		return "", nil
	}
	err := unix.Symlink(target, full)
	if err == unix.ENOENT {
		return "", nil // the directory could not be made, which is said already
	}
	if err != nil {
		return "", &placeError{"making", path, err}
	}
	return "made " + path, nil
}
