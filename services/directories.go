package services

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// directoryKind is one of the five lists of directories; see systemd.exec(5),
// RuntimeDirectory.
type directoryKind struct {
	field    string
	base     string
	variable string
	names    []string
	mode     Mode
	config   bool // stays what it is where it is there, and root's
}

func (x *Execution) directories() []directoryKind {
	return []directoryKind{
		{"RuntimeDirectory", "/run", "RUNTIME_DIRECTORY", x.RuntimeDirectory, x.RuntimeDirectoryMode, false},
		{"StateDirectory", "/var/lib", "STATE_DIRECTORY", x.StateDirectory, x.StateDirectoryMode, false},
		{"CacheDirectory", "/var/cache", "CACHE_DIRECTORY", x.CacheDirectory, x.CacheDirectoryMode, false},
		{"LogsDirectory", "/var/log", "LOGS_DIRECTORY", x.LogsDirectory, x.LogsDirectoryMode, false},
		{"ConfigurationDirectory", "/etc", "CONFIGURATION_DIRECTORY", x.ConfigurationDirectory, x.ConfigurationDirectoryMode, true},
	}
}

// makeDirectories makes the directories of the service below root, gives them to
// the user of cred, and returns the variables that name them. One that belongs
// to somebody else is given to the user with all that is in it: a disk that was
// kept may come from an image with other uids.
func (svc *Service) makeDirectories(root string, cred *syscall.Credential) (env []string, err error) {
	for _, kind := range svc.directories() {
		var paths []string
		for _, name := range kind.names {
			name, _, _ = strings.Cut(name, ":") // what follows is the name of a link to it
			path := filepath.Join(root, kind.base, name)
			if err := kind.make(filepath.Join(root, kind.base), name, cred); err != nil {
				return nil, fmt.Errorf("%s: making %s: %w", kind.field, path, err)
			}
			paths = append(paths, path)
		}
		if len(paths) > 0 {
			env = append(env, kind.variable+"="+strings.Join(paths, ":"))
		}
	}
	return env, nil
}

func (kind directoryKind) make(base, name string, cred *syscall.Credential) error {
	if err := os.MkdirAll(base, 0o755); err != nil {
		return err
	}
	dir, err := openDirectory(base, 0)
	if err != nil {
		return err
	}
	defer func() { unix.Close(dir) }()
	made := false
	for _, part := range parts(name) {
		var child int
		if child, made, err = makeChild(dir, part); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		unix.Close(dir)
		dir = child
	}
	if kind.config && !made {
		return nil
	}
	if err := setMode(dir, kind.bits()); err != nil || kind.config || cred == nil {
		return err
	}
	if err := giveTree(dir, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("giving it to uid %d: %w", cred.Uid, err)
	}
	return nil
}

// setMode leaves alone what is as it should be: the file system may be read-only.
func setMode(dir int, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil || st.Mode&0o7777 == mode {
		return err
	}
	return unix.Fchmod(dir, mode)
}

func (kind directoryKind) bits() uint32 {
	if !kind.mode.Set {
		return 0o755
	}
	return uint32(kind.mode.FileMode)
}

func parts(name string) []string {
	var list []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			list = append(list, part)
		}
	}
	return list
}

func openDirectory(path string, flags int) (int, error) {
	return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
}

// makeChild makes and opens a directory below another. A symbolic link is only
// followed where nobody but root, or init's own user, can have planted it: one
// that leads /var/lib/ollama to a volume is meant, one of the service's own
// user would have init give away any directory.
func makeChild(dir int, name string) (child int, made bool, err error) {
	err = unix.Mkdirat(dir, name, 0o755)
	if err != nil && err != unix.EEXIST {
		return -1, false, err
	}
	made = err == nil
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	child, err = unix.Openat(dir, name, flags|unix.O_NOFOLLOW, 0)
	if (err == unix.ELOOP || err == unix.ENOTDIR) && linkOfOurs(dir, name) {
		child, err = unix.Openat(dir, name, flags, 0)
	}
	if made && err == nil {
		err = unix.Fchmod(child, 0o755) // whatever the umask
	}
	return child, made, err
}

func linkOfOurs(dir int, name string) bool {
	var parent, link unix.Stat_t
	if unix.Fstat(dir, &parent) != nil || unix.Fstatat(dir, name, &link, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false
	}
	ours := func(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }
	open := parent.Mode&0o022 != 0 && parent.Mode&unix.S_ISVTX == 0
	return link.Mode&unix.S_IFMT == unix.S_IFLNK && ours(link.Uid) && ours(parent.Uid) && !open
}

// giveTree changes the owner of a directory, and of what is in it, unless it has
// that owner already.
func giveTree(dir, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return err
	}
	if int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	err := walk(dir, func(parent int, name string, _ bool) error {
		err := unix.Fchownat(parent, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
		if err == unix.ENOENT {
			return nil // removed meanwhile
		}
		return err
	})
	if err != nil {
		return err
	}
	return unix.Fchown(dir, uid, gid) // last: an interrupted run is done again
}

// walk calls do for everything below a directory, children before parents. It
// follows no link, and no name twice: what is looked at is what was opened.
func walk(dir int, do func(parent int, name string, isDir bool) error) error {
	names, err := list(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		child, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		isDir := err == nil
		switch {
		case isDir:
			err = walk(child, do)
			unix.Close(child)
		case err == unix.ENOTDIR || err == unix.ELOOP || err == unix.ENOENT || err == unix.ENXIO:
			err = nil
		}
		if err == nil {
			err = do(dir, name, isDir)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func list(dir int) ([]string, error) {
	again, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}

// removeDirectories removes the RuntimeDirectories of a service that has ended,
// unless they are to be kept.
func (svc *Service) removeDirectories(root string, restarting bool) error {
	if svc.RuntimeDirectoryPreserve == "yes" || svc.RuntimeDirectoryPreserve == "restart" && restarting {
		return nil
	}
	var errs []error
	for _, name := range svc.RuntimeDirectory {
		name, _, _ = strings.Cut(name, ":")
		if err := removeTree(filepath.Join(root, "/run"), parts(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("RuntimeDirectory: removing %s: %w", filepath.Join(root, "/run", name), err))
		}
	}
	return errors.Join(errs...)
}

// removeTree removes the directory at the end of a path, each part of which is
// taken as it is: a link is removed at the end, and an error before it.
func removeTree(base string, path []string) error {
	if len(path) == 0 {
		return nil
	}
	dir, err := openDirectory(base, 0)
	if err != nil {
		return err
	}
	defer func() { unix.Close(dir) }()
	for _, part := range path[:len(path)-1] {
		child, err := unix.Openat(dir, part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		unix.Close(dir)
		dir = child
	}
	last := path[len(path)-1]
	child, err := unix.Openat(dir, last, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		err = walk(child, remove)
		unix.Close(child)
		if err != nil {
			return err
		}
		return remove(dir, last, true)
	}
	return remove(dir, last, false)
}

func remove(parent int, name string, isDir bool) error {
	flags := 0
	if isDir {
		flags = unix.AT_REMOVEDIR
	}
	err := unix.Unlinkat(parent, name, flags)
	if err == unix.ENOENT {
		return nil
	}
	return err
}
