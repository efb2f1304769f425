// Package rootfs composes the tree that becomes / of an image, in a Nix build: what hosts,
// drivers and people expect of any Linux system (the floor), what the image's author adds,
// and links to the programs of packages.
//
// All of /etc is real and writable, as renters, hosts and NVIDIA's runtime edit it. Left
// out, because init makes them when it boots and knows what was injected: the loader in
// /lib64 (or /lib), /sbin/ldconfig, the driver's file in ld.so.conf.d, /etc/environment. No
// library of a driver is ever in an image.
package rootfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/image"
)

// storeDir is where the store is in every image.
const storeDir = "/nix/store"

// Options are what a tree is made of. All paths are absolute; packages are store paths.
type Options struct {
	// Architecture is that of the image, in Go's words: amd64, arm64.
	Architecture string `json:"architecture"`
	// Config becomes /etc/nix2vast/config.json: see image.Config.
	Config json.RawMessage `json:"config"`
	// Packages are those whose programs are on PATH. The first that has a program of some
	// name wins.
	Packages []string `json:"packages"`
	// Foreign are packages whose libraries are found by programs that Nix did not build.
	Foreign []string `json:"foreign,omitempty"`

	// Certificates, Locale, Terminfo and SSH are the packages that hold the authorities'
	// certificates, the locale C.UTF-8, terminal descriptions and OpenSSH; "" for none.
	Certificates string `json:"certificates,omitempty"`
	Locale       string `json:"locale,omitempty"`
	Terminfo     string `json:"terminfo,omitempty"`
	SSH          string `json:"ssh,omitempty"`
	// RootPassword is the hash of root's password, see crypt(5); "" for none.
	RootPassword string `json:"rootPassword,omitempty"`
	// Nix is the configuration of the Nix in the box, see nix.conf(5): a string, number,
	// bool or list of these each. Without it there is none.
	Nix map[string]any `json:"nix,omitempty"`

	// Files, Directories and Links are what the author of the image adds, by path. They
	// may not replace what the floor has, and win over programs of packages.
	Files       map[string]File      `json:"files,omitempty"`
	Directories map[string]Directory `json:"directories,omitempty"`
	Links       map[string]string    `json:"links,omitempty"` // to an absolute path, or one relative to the link
}

// File is one file, of text or a copy of a source: a store path or a file in one. A source
// that is a directory is copied with all that is in it.
type File struct {
	Text   *string `json:"text,omitempty"`
	Source string  `json:"source,omitempty"`
	// Mode is in octal; "" is 0644, or 0755 where the source can be executed.
	Mode string `json:"mode,omitempty"`
	// UID and GID are who it belongs to, with all that is in it; 0 is root.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
}

// Directory is one directory; its mode is 0755 where none is given, and it belongs to root.
type Directory struct {
	Mode string `json:"mode,omitempty"`
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
}

// composer gathers a tree and what is wrong with it.
type composer struct {
	Options
	store    string // the folder in which /nix/store is, "" for /
	tree     tree
	log      io.Writer
	problems problems
}

// problems are all that is wrong with the options, a sentence each.
type problems []error

func (p problems) Error() string {
	if len(p) == 1 {
		return p[0].Error()
	}
	lines := make([]string, len(p))
	for i, err := range p {
		lines[i] = err.Error()
	}
	return fmt.Sprintf("%d problems:\n  %s", len(p), strings.Join(lines, "\n  "))
}

func (p problems) Unwrap() []error { return p }

func (c *composer) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf(format, args...))
}

// compose makes the tree. It reads packages below store and writes a line to log for each
// program that another one hides. The error has one sentence for each problem.
func compose(o Options, store string, log io.Writer) (tree, error) {
	c := &composer{Options: o, store: store, tree: tree{}, log: log}
	c.floor()
	c.config()
	c.certificates()
	c.nix()
	c.added()
	c.programs()
	c.required()
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.tree, nil
}

// own adds what the floor has: that it fits is our own business.
func (c *composer) own(name string, e entry) {
	e.by = "the floor that every image has"
	if err := c.tree.put(name, e); err != nil {
		c.problem("BUG: %s: %v", name, err)
	}
}

// config is refused here where init would refuse it when the box boots.
func (c *composer) config() {
	if _, err := image.Parse(c.Config); err != nil {
		c.problem("the config of init: %w", err)
	}
	c.own("/"+image.ConfigPath, entry{mode: 0o644, data: append(slices.Clone(c.Config), '\n')})
}

// nix writes nix.conf.
func (c *composer) nix() {
	if c.Nix == nil {
		return
	}
	var b strings.Builder
	b.WriteString("# The Nix of this box, see nix.conf(5).\n")
	for _, key := range slices.Sorted(maps.Keys(c.Nix)) {
		value, err := setting(c.Nix[key])
		if err != nil || strings.ContainsAny(key+value, "\n#") || key == "" || strings.ContainsAny(key, " \t=") {
			c.problem("the setting %q of Nix is no string, number, bool or list of these on one line", key)
			continue
		}
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(key+" = "+value, " "))
	}
	c.own("/etc/nix/nix.conf", entry{mode: 0o644, data: []byte(b.String())})
}

// setting is a value as nix.conf wants it.
func setting(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any:
		words := make([]string, len(v))
		for i := range v {
			word, err := setting(v[i])
			if err != nil {
				return "", err
			}
			words[i] = word
		}
		return strings.Join(words, " "), nil
	}
	return "", fmt.Errorf("a %T is no setting", value)
}

// added brings in what the image's author wants.
func (c *composer) added() {
	for _, name := range slices.Sorted(maps.Keys(c.Directories)) {
		d := c.Directories[name]
		m, err := octal(d.Mode, 0o755)
		c.add("directories", name, entry{mode: mode(m) | dirMode, uid: d.UID, gid: d.GID}, errors.Join(err, owner(d.UID, d.GID)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		c.addFile(name, c.Files[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Links)) {
		var err error
		if target := c.Links[name]; target == "" || strings.ContainsRune(target, 0) {
			err = errors.New("it leads nowhere")
		}
		c.add("links", name, entry{link: c.Links[name]}, err)
	}
}

func (c *composer) add(option, name string, e entry, err error) {
	e.by = fmt.Sprintf("%s.%q", option, name)
	if err == nil {
		err = c.tree.put(name, e)
	}
	if err != nil {
		c.problem("%s: %w", e.by, err)
	}
}

func (c *composer) addFile(name string, f File) {
	if err := owner(f.UID, f.GID); err != nil {
		c.add("files", name, entry{}, err)
		return
	}
	switch {
	case (f.Text == nil) == (f.Source == ""):
		c.add("files", name, entry{}, errors.New("it needs a text or a source, and not both"))
	case f.Text != nil:
		m, err := octal(f.Mode, 0o644)
		c.add("files", name, entry{mode: mode(m), data: []byte(*f.Text), uid: f.UID, gid: f.GID}, err)
	case !strings.HasPrefix(path.Clean(f.Source), storeDir+"/"):
		c.add("files", name, entry{}, fmt.Errorf("its source %q is not in the Nix store", f.Source))
	default:
		c.copySource(name, f)
	}
}

// maxID is the largest number of a user or group that is taken here: 9 digits.
const maxID = 999_999_999

// owner says whether a file may belong to these.
func owner(uid, gid int) error {
	if min(uid, gid) < 0 || max(uid, gid) > maxID {
		return fmt.Errorf("its owner %d:%d is not of numbers from 0 to %d", uid, gid, maxID)
	}
	return nil
}

// octal reads a mode.
func octal(text string, otherwise uint32) (uint32, error) {
	if text == "" {
		return otherwise, nil
	}
	m, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0, fmt.Errorf("its mode %q is no octal number up to 7777", text)
	}
	return uint32(m), nil
}
