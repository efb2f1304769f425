package services

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func octal(mode uint32) Mode { return Mode{Set: true, FileMode: fs.FileMode(mode)} }

// modeOf is the mode in the kernel's terms.
func modeOf(t *testing.T, path string) uint32 {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Sys().(*syscall.Stat_t).Mode & 0o7777
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestMakeDirectories(t *testing.T) {
	root, cred := t.TempDir(), somebody()
	svc := Service{Name: "a", Execution: Execution{
		RuntimeDirectory: []string{"a", "deep/er/a:link"}, RuntimeDirectoryMode: octal(0o2750),
		StateDirectory: []string{"a"}, StateDirectoryMode: octal(0o700),
		CacheDirectory: []string{"a/"}, LogsDirectory: []string{"./a"}, LogsDirectoryMode: octal(0o1777),
		ConfigurationDirectory: []string{"a"}, ConfigurationDirectoryMode: octal(0o755),
	}}
	defer syscall.Umask(syscall.Umask(0o077)) // which must not count
	for range 2 {                             // the second run finds them
		env, err := svc.makeDirectories(root, cred)
		want := []string{
			"RUNTIME_DIRECTORY=" + root + "/run/a:" + root + "/run/deep/er/a", "STATE_DIRECTORY=" + root + "/var/lib/a",
			"CACHE_DIRECTORY=" + root + "/var/cache/a", "LOGS_DIRECTORY=" + root + "/var/log/a", "CONFIGURATION_DIRECTORY=" + root + "/etc/a",
		}
		if err != nil || !slices.Equal(env, want) {
			t.Fatalf("%q %v, want %q", env, err, want)
		}
		for path, want := range map[string]struct{ mode, uid uint32 }{
			"/run/a": {0o2750, cred.Uid}, "/run/deep/er/a": {0o2750, cred.Uid}, "/run/deep": {0o755, uint32(os.Geteuid())}, "/run/deep/er": {0o755, uint32(os.Geteuid())},
			"/var/lib/a": {0o700, cred.Uid}, "/var/cache/a": {0o755, cred.Uid}, "/var/log/a": {0o1777, cred.Uid}, "/etc/a": {0o755, uint32(os.Geteuid())},
		} {
			uid, _ := ownerOf(t, root+path)
			if mode := modeOf(t, root+path); mode != want.mode || uid != want.uid {
				t.Errorf("%s has mode %o and uid %d, want %o and %d", path, mode, uid, want.mode, want.uid)
			}
		}
	}
	if _, err := os.Lstat(root + "/run/link"); err == nil {
		t.Error("made the link too")
	}
	if env, err := (&Service{}).makeDirectories(t.TempDir(), cred); env != nil || err != nil {
		t.Errorf("a service without directories: %v %v", env, err)
	}
}

// TestMakeDirectoriesGives: a directory of another owner changes hands with all
// that is in it, but for what links lead to; a configuration stays as it is.
func TestMakeDirectoriesGives(t *testing.T) {
	root, cred := t.TempDir(), somebody()
	mustWrite(t, root+"/var/lib/a/sub/file", "x")
	mustWrite(t, root+"/elsewhere/file", "x")
	mustWrite(t, root+"/etc/a/file", "x")
	err := errors.Join(os.Symlink("../../../elsewhere", root+"/var/lib/a/link"), os.Symlink("../../../../elsewhere/file", root+"/var/lib/a/sub/link"),
		os.Chmod(root+"/etc/a", 0o711), os.Chmod(root+"/elsewhere", 0o750))
	if err != nil {
		t.Fatal(err)
	}
	svc := Service{Execution: Execution{StateDirectory: []string{"a"}, ConfigurationDirectory: []string{"a"}}}
	if _, err := svc.makeDirectories(root, cred); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]uint32{
		"/var/lib/a": cred.Uid, "/var/lib/a/sub": cred.Uid, "/var/lib/a/sub/file": cred.Uid, "/var/lib/a/link": cred.Uid,
		"/elsewhere": uint32(os.Geteuid()), "/elsewhere/file": uint32(os.Geteuid()), "/etc/a": uint32(os.Geteuid()), "/etc/a/file": uint32(os.Geteuid()),
	} {
		if uid, _ := ownerOf(t, root+path); uid != want {
			t.Errorf("%s belongs to %d, want %d", path, uid, want)
		}
	}
	if mode := modeOf(t, root+"/etc/a"); mode != 0o711 {
		t.Errorf("the mode of a configuration became %o", mode)
	}
}

// TestMakeDirectoriesLinks: root's links lead on, those of others do not.
func TestMakeDirectoriesLinks(t *testing.T) {
	root, cred := t.TempDir(), somebody()
	svc := Service{Execution: Execution{StateDirectory: []string{"a/b"}, StateDirectoryMode: octal(0o700)}}
	mustWrite(t, root+"/volume/file", "x")
	mustWrite(t, root+"/var/lib/other", "x")
	if err := os.Symlink("../../volume", root+"/var/lib/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.makeDirectories(root, cred); err != nil {
		t.Errorf("by root's own link: %v", err)
	}
	if mode := modeOf(t, root+"/volume/b"); mode != 0o700 {
		t.Errorf("the directory behind the link has mode %o", mode)
	}
	mustWrite(t, root+"/victim/file", "x")
	err := errors.Join(os.RemoveAll(root+"/volume/b"), os.Symlink("../victim", root+"/volume/b"), os.Chmod(root+"/volume", 0o777))
	if err != nil {
		t.Fatal(err)
	}
	before := modeOf(t, root+"/victim")
	if _, err := svc.makeDirectories(root, cred); err == nil || !strings.Contains(err.Error(), "StateDirectory: making "+root+"/var/lib/a/b: b: not a directory") {
		t.Errorf("by a link that anybody can have made: %v", err)
	}
	if uid, _ := ownerOf(t, root+"/victim"); int(uid) != os.Geteuid() || modeOf(t, root+"/victim") != before {
		t.Error("the directory behind a planted link was given away")
	}
	svc.StateDirectory = []string{"other"}
	if _, err := svc.makeDirectories(root, cred); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("in place of a file: %v", err)
	}
}

func TestRemoveDirectories(t *testing.T) {
	for _, c := range []struct {
		preserve   string
		restarting bool
		kept       bool
	}{
		{"no", false, false}, {"no", true, false}, {"", true, false}, {"restart", true, true}, {"restart", false, false}, {"yes", true, true}, {"yes", false, true},
	} {
		root := t.TempDir()
		svc := Service{Execution: Execution{RuntimeDirectory: []string{"a", "deep/b:link", "never-made"}, RuntimeDirectoryPreserve: c.preserve, StateDirectory: []string{"s"}}}
		mustWrite(t, root+"/run/a/sub/file", "x")
		mustWrite(t, root+"/run/deep/b/file", "x")
		mustWrite(t, root+"/run/deep/other", "x")
		mustWrite(t, root+"/var/lib/s/file", "x")
		mustWrite(t, root+"/victim/file", "x")
		if err := errors.Join(os.Symlink("../../victim", root+"/run/a/link"), os.Chmod(root+"/run/a/sub", 0o500)); err != nil {
			t.Fatal(err)
		}
		err := svc.removeDirectories(root, c.restarting)
		if os.Geteuid() != 0 && !c.kept && err != nil { // a read-only directory is only open to root
			err = errors.Join(os.Chmod(root+"/run/a/sub", 0o700), svc.removeDirectories(root, c.restarting))
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		for path, want := range map[string]bool{"/run/a": c.kept, "/run/deep/b": c.kept, "/run/deep/other": true, "/var/lib/s/file": true, "/victim/file": true, "/run": true} {
			if _, err := os.Stat(root + path); (err == nil) != want {
				t.Errorf("%+v: %s is there: %v, want %v", c, path, err == nil, want)
			}
		}
	}
}

// TestRemoveDirectoriesLinks: neither a directory that became a link, nor one
// on the way to it, leads out.
func TestRemoveDirectoriesLinks(t *testing.T) {
	root := t.TempDir()
	mustWrite(t, root+"/victim/b/file", "x")
	mustWrite(t, root+"/run/x", "x")
	if err := errors.Join(os.Symlink("../victim/b", root+"/run/a"), os.Symlink("../victim", root+"/run/way")); err != nil {
		t.Fatal(err)
	}
	svc := Service{Execution: Execution{RuntimeDirectory: []string{"a", "way/b"}}}
	if err := svc.removeDirectories(root, false); err == nil || !strings.Contains(err.Error(), "RuntimeDirectory: removing "+root+"/run/way/b: way: not a directory") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(root + "/victim/b/file"); err != nil {
		t.Errorf("removed what a link leads to: %v", err)
	}
	if _, err := os.Lstat(root + "/run/a"); err == nil {
		t.Error("the link itself was left")
	}
}

func TestCredentials(t *testing.T) {
	base, cred := t.TempDir(), somebody()
	dir := base + "/credentials/a"
	mustWrite(t, base+"/key", "secret\x00\xff")
	svc := Service{Name: "a", Execution: Execution{LoadCredential: []string{"key:" + base + "/key", "other.pem:" + base + "/key"}}}
	for range 2 { // the second start finds those of the first
		env, err := svc.loadCredentials(dir, cred)
		if err != nil || !slices.Equal(env, []string{"CREDENTIALS_DIRECTORY=" + dir}) {
			t.Fatalf("%v %v", env, err)
		}
	}
	for path, mode := range map[string]uint32{dir: 0o500, dir + "/key": 0o400, dir + "/other.pem": 0o400} {
		if uid, gid := ownerOf(t, path); modeOf(t, path) != mode || uid != cred.Uid || gid != cred.Gid {
			t.Errorf("%s has mode %o and owner %d:%d", path, modeOf(t, path), uid, gid)
		}
	}
	if b, err := os.ReadFile(dir + "/key"); err != nil || string(b) != "secret\x00\xff" {
		t.Errorf("%q %v", b, err)
	}
	if err := errors.Join(removeCredentials(dir), removeCredentials(dir)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if env, err := (&Service{}).loadCredentials(dir, cred); env != nil || err != nil {
		t.Errorf("a service without: %v %v", env, err)
	}
}

func TestCredentialsErrors(t *testing.T) {
	base := t.TempDir()
	dir := base + "/credentials"
	mustWrite(t, base+"/good", "very-secret")
	mustWrite(t, base+"/large", strings.Repeat("very-secret", 1<<17))
	for source, want := range map[string]string{
		base + "/absent": "LoadCredential bad: open " + base + "/absent: no such file or directory",
		base + "/large":  "LoadCredential bad: " + base + "/large has more than 1048576 bytes",
		base:             "LoadCredential bad: " + base + " is no regular file",
	} {
		svc := Service{Execution: Execution{LoadCredential: []string{"good:" + base + "/good", "bad:" + source}}}
		env, err := svc.loadCredentials(dir, somebody())
		if err == nil || env != nil || err.Error() != want {
			t.Errorf("%s: %v %v, want %s", source, env, err, want)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: half of the credentials are left: %v", source, err)
		}
	}
}
