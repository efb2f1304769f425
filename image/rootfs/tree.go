package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// entry is one path of a tree. It is a link where link is set, a directory where mode
// says so, and otherwise a file: of data, or of what source holds.
type entry struct {
	mode   fs.FileMode
	link   string
	data   []byte
	source string // a file on this machine
	by     string // who put it there, for messages
	uid    int
	gid    int
	free   bool // an empty directory that is there for others to fill
}

// tree is a root file system in the making, by absolute path. Its root is not in it.
type tree map[string]*entry

// put adds an entry and the directories above it. It says what keeps it out.
func (t tree) put(name string, e entry) error {
	name, err := t.place(name, 0)
	if err != nil {
		return err
	}
	if old, ok := t[name]; ok {
		if old.mode.IsDir() && e.mode.IsDir() && (old.free || old.mode == e.mode && old.uid == e.uid && old.gid == e.gid) {
			old.mode, old.uid, old.gid = e.mode, e.uid, e.gid
			return nil
		}
		return fmt.Errorf("it is there already, by %s", old.by)
	}
	for dir := path.Dir(name); dir != "/" && t[dir] == nil; dir = path.Dir(dir) {
		t[dir] = &entry{mode: fs.ModeDir | 0o755, by: e.by, free: true}
	}
	t[name] = &e
	return nil
}

// maxHops is how many links Linux follows in one path.
const maxHops = 40

// place is where a path lies once links of the tree are followed, such as /bin; hops
// counts those.
func (t tree) place(name string, hops int) (string, error) {
	if hops > maxHops {
		return "", errors.New("it leads through links in a circle")
	}
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" || strings.ContainsRune(name, 0) {
		return "", errors.New("it is no clean absolute path")
	}
	done := "/"
	words := strings.Split(name[1:], "/")
	for i, word := range words {
		done = path.Join(done, word)
		e, ok := t[done]
		if i == len(words)-1 || !ok || e.mode.IsDir() {
			continue
		}
		if e.link == "" {
			return "", fmt.Errorf("%s is a file, by %s", done, e.by)
		}
		if strings.HasPrefix(e.link, storeDir+"/") {
			return "", fmt.Errorf("%s leads into the Nix store, where nothing can be added", done)
		}
		return t.place(path.Join(t.target(done), path.Join(words[i+1:]...)), hops+1)
	}
	for _, dir := range []string{"/dev", "/nix", "/proc", "/run/nix2vast", "/sys"} {
		if strings.HasPrefix(done, dir+"/") {
			return "", fmt.Errorf("%s is not the image's to fill", dir)
		}
	}
	return done, nil
}

// target is where a link of the tree leads.
func (t tree) target(name string) string {
	if path.IsAbs(t[name].link) {
		return path.Clean(t[name].link)
	}
	return path.Join(path.Dir(name), t[name].link)
}

// paths lists the tree, a directory before what is in it.
func (t tree) paths() []string { return slices.Sorted(maps.Keys(t)) }

// modes are those that a store does not keep: in octal, by path.
func (t tree) modes() map[string]string {
	list := map[string]string{}
	for name, e := range t {
		switch octal := fmt.Sprintf("%04o", unix(e.mode)); {
		case e.link != "", e.mode.IsDir() && octal == "0755", !e.mode.IsDir() && (octal == "0644" || octal == "0755"):
		default:
			list[name] = octal
		}
	}
	return list
}

// owners are those that a store does not keep: as UID:GID, by path.
func (t tree) owners() map[string]string {
	list := map[string]string{}
	for name, e := range t {
		if e.uid != 0 || e.gid != 0 {
			list[name] = fmt.Sprintf("%d:%d", e.uid, e.gid)
		}
	}
	return list
}

// unix are the bits of a mode as chmod(1) knows them.
func unix(mode fs.FileMode) uint32 {
	bits := uint32(mode.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// mode is the other way round.
func mode(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if bits&bit != 0 {
			m |= flag
		}
	}
	return m
}
