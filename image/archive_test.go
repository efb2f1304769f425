package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What follows looks into build/image.tar, the image that nix2vast made of the plan that Nix
// made of the *.nix beside this file.

// A file is one entry of the image's root file system.
type file struct {
	*tar.Header
	content []byte
	layer   int
}

// spec is the part of the image's configuration that the tests look at.
type spec struct {
	Created, Architecture string
	Config                struct {
		Entrypoint, Cmd, Env []string
		ExposedPorts         map[string]any
		Healthcheck          struct{ Test []string }
		StopSignal           string
	}
}

var archive = sync.OnceValues(func() (a struct {
	spec
	files map[string]file // by path, without the slash in front
}, err error) {
	parts, err := untar("../build/image.tar")
	if err != nil {
		return a, err
	}
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"].content, &manifest); err != nil {
		return a, fmt.Errorf("reading the manifest: %w", err)
	}
	if err := json.Unmarshal(parts[manifest[0].Config].content, &a.spec); err != nil {
		return a, fmt.Errorf("reading the configuration: %w", err)
	}
	a.files = map[string]file{}
	for i, name := range manifest[0].Layers {
		layer, err := untarBytes(parts[name].content)
		if err != nil {
			return a, fmt.Errorf("reading layer %d: %w", i, err)
		}
		for name, f := range layer {
			f.layer = i
			a.files[name] = f
		}
	}
	return a, nil
})

func untar(path string) (map[string]file, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: run make image", err)
	}
	return untarBytes(b)
}

func untarBytes(b []byte) (map[string]file, error) {
	files := map[string]file{}
	r := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[strings.TrimSuffix(h.Name, "/")] = file{Header: h, content: content}
	}
}

// resolve follows symbolic links inside the image; "" where one leads nowhere.
func resolve(files map[string]file, name string) string {
	done, rest := "", strings.TrimPrefix(name, "/")
	for hops := 0; rest != "" && hops < 100; hops++ {
		head, tail, _ := strings.Cut(rest, "/")
		next := path.Join(done, head)
		if head == ".." || head == "" {
			done, rest = strings.TrimPrefix(next, ".."), tail
			continue
		}
		f, ok := files[next]
		switch {
		case !ok:
			return ""
		case f.Typeflag != tar.TypeSymlink:
			done, rest = next, tail
		case path.IsAbs(f.Linkname):
			done, rest = "", path.Join(f.Linkname[1:], tail)
		default:
			rest = f.Linkname + "/" + tail
		}
	}
	return done
}

func TestImageHasTheFloor(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{
		"etc":                      fs.ModeDir | 0o755,
		"etc/debian_version":       0o644,
		"etc/group":                0o644,
		"etc/ld.so.conf":           0o644,
		"etc/ld.so.conf.d":         fs.ModeDir | 0o755,
		"etc/machine-id":           0o644,
		"etc/nix2vast/config.json": 0o644,
		"etc/nsswitch.conf":        0o644,
		"etc/os-release":           0o644,
		"etc/pam.d/other":          0o644,
		"etc/pam.d/sshd":           0o644,
		"etc/passwd":               0o644,
		"etc/profile":              0o644,
		"etc/profile.d":            fs.ModeDir | 0o755,
		"etc/shadow":               0o600,
		"etc/ssh/sshd_config":      0o644,
		"etc/ssh/sshd_config.d":    fs.ModeDir | 0o755,
		"init":                     0o755,
		"nix":                      fs.ModeDir | 0o755,
		"nix/store":                fs.ModeDir | 0o755,
		"proc":                     fs.ModeDir | 0o755,
		"root":                     fs.ModeDir | 0o700,
		"root/.bashrc":             0o644,
		"root/.ssh":                fs.ModeDir | 0o700,
		"run":                      fs.ModeDir | 0o755,
		"run/sshd":                 fs.ModeDir | 0o755,
		"tmp":                      fs.ModeDir | fs.ModeSticky | 0o777,
		"usr/bin":                  fs.ModeDir | 0o755,
		"usr/bin/apt-get":          0o755,
		"usr/lib":                  fs.ModeDir | 0o755,
		"usr/lib64":                fs.ModeDir | 0o755,
		"usr/sbin":                 fs.ModeDir | 0o755,
		"usr/share":                fs.ModeDir | 0o755,
		"var/empty":                fs.ModeDir | 0o755,
		"var/tmp":                  fs.ModeDir | fs.ModeSticky | 0o777,
		"workspace":                fs.ModeDir | 0o755,
	} {
		if f, ok := a.files[name]; !ok {
			t.Errorf("/%s is missing", name)
		} else if got := f.FileInfo().Mode(); got != mode {
			t.Errorf("/%s has mode %v, want %v", name, got, mode)
		}
	}
	// Where there is a debian_version, NVIDIA's runtime puts libraries here.
	if triplets := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}; a.files["usr/lib/"+triplets[a.Architecture]].Header == nil {
		t.Errorf("/usr/lib lacks the folder of %s", a.Architecture)
	}
	for name, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "../run",
	} {
		if f, ok := a.files[name]; !ok || f.Typeflag != tar.TypeSymlink || f.Linkname != target {
			t.Errorf("/%s is no link to %s", name, target)
		}
	}
	for _, name := range []string{
		"bin/init", "bin/systemctl", "bin/sh", "bin/bash", "usr/bin/env", "usr/sbin/sshd", "usr/lib/openssh/sftp-server",
		"bin/apt-get", "bin/curl", "bin/getent", "bin/gzip", "bin/ip", "bin/less", "bin/ps", "bin/rsync", "bin/scp", "bin/sleep",
		"bin/ssh", "bin/ssh-keygen", "bin/tar", "bin/tmux", "bin/wget",
		"etc/ssl/certs/ca-certificates.crt", "usr/lib/locale/C.utf8/LC_CTYPE", "usr/share/terminfo/x/xterm-256color",
	} {
		f, ok := a.files[resolve(a.files, name)]
		if !ok || f.Typeflag != tar.TypeReg || f.Size == 0 {
			t.Errorf("/%s is no file", name)
		}
	}
	if got := string(a.files["etc/shadow"].content); !strings.HasPrefix(got, "root:*:") {
		t.Errorf("root is not locked in /etc/shadow: %q", got)
	}
}

// The loader's and ldconfig's places are init's to fill, and a driver library in
// an image would hide the host's.
func TestImageLeavesOut(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	unwanted := regexp.MustCompile(`^(usr/)?(lib|lib64)/ld-linux|^(usr/)?s?bin/ldconfig$|/lib(cuda|nvidia|nvcuvid)[^/]*\.so`)
	for name := range a.files {
		if unwanted.MatchString(name) {
			t.Errorf("/%s is in the image", name)
		}
	}
	for _, env := range a.Config.Env {
		if name, _, _ := strings.Cut(env, "="); name == "CUDA_VERSION" || name == "LD_LIBRARY_PATH" {
			t.Errorf("the image sets %s", env)
		}
	}
}

func TestImageIsTheSameEverywhere(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range a.files {
		if f.Uid != 0 || f.Gid != 0 || f.Uname != "root" || f.Gname != "root" || f.ModTime.Unix() != 1 {
			t.Errorf("/%s belongs to %d(%s):%d(%s) and is of %v", name, f.Uid, f.Uname, f.Gid, f.Gname, f.ModTime)
		}
	}
	if a.Created != "1970-01-01T00:00:01Z" {
		t.Errorf("created %s", a.Created)
	}
}

// A rebuilt init must not make a host fetch more than the init, nor an edited file of the
// root file system more than that; and what is in the store moves with neither.
func TestLayersDoNotMix(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	init, rootfs := a.files["init"].layer, a.files["etc/passwd"].layer
	if init == rootfs {
		t.Errorf("init and the root file system are in layer %d", init)
	}
	for name, f := range a.files {
		inStore := name == "nix" || strings.HasPrefix(name, "nix/") || name == "nix-path-registration"
		switch f.layer {
		case init:
			if name != "init" {
				t.Errorf("/%s is in the layer of init", name)
			}
		case rootfs:
			if inStore {
				t.Errorf("/%s is in the layer of the root file system", name)
			}
		default:
			if !inStore || f.layer > init || f.layer > rootfs {
				t.Errorf("/%s is in layer %d, init in %d, the root file system in %d", name, f.layer, init, rootfs)
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range a.files {
		if f.Typeflag == tar.TypeSymlink && resolve(a.files, name) == "" {
			t.Errorf("/%s leads to %s, which is not in the image", name, f.Linkname)
		}
	}
}

// Nothing in the closure may need a loader or a library from outside the store:
// the image has none.
func TestProgramsRunFromTheStore(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	programs := 0
	for name, f := range a.files {
		if !bytes.HasPrefix(f.content, []byte(elf.ELFMAG)) || !strings.HasPrefix(name, "nix/store/") {
			continue
		}
		e, err := elf.NewFile(bytes.NewReader(f.content))
		if err != nil {
			t.Errorf("/%s: %v", name, err)
			continue
		}
		libc := strings.Contains(name, "-glibc-")
		for _, p := range e.Progs {
			if p.Type != elf.PT_INTERP || libc && strings.Contains(name, "/lib/") {
				continue
			}
			programs++
			b, err := io.ReadAll(p.Open())
			loader := strings.TrimRight(string(b), "\x00")
			if err != nil || !strings.HasPrefix(loader, "/nix/store/") || resolve(a.files, loader) == "" {
				t.Errorf("/%s asks for the loader %q", name, loader)
			}
		}
		runpath, _ := e.DynString(elf.DT_RUNPATH)
		needed, _ := e.ImportedLibraries()
		for _, lib := range needed {
			found := slices.ContainsFunc(strings.Split(strings.Join(runpath, ":"), ":"), func(dir string) bool {
				return resolve(a.files, dir+"/"+lib) != ""
			})
			if !found && !libc {
				t.Errorf("/%s needs %s, which is not in %v", name, lib, runpath)
			}
		}
	}
	if programs < 100 {
		t.Errorf("looked at %d programs only", programs)
	}
}

func TestImageConfig(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(a.files[ConfigPath].content)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{c.Loader, c.Ldconfig, c.NixStore} {
		if !strings.HasPrefix(name, "/nix/store/") || resolve(a.files, name) == "" {
			t.Errorf("the config names %q, which is not in the image", name)
		}
	}
}

func TestImageSpec(t *testing.T) {
	a, err := archive()
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Config.Entrypoint; !slices.Equal(got, []string{"/init"}) || a.Config.Cmd != nil {
		t.Errorf("entrypoint %q, command %q", got, a.Config.Cmd)
	}
	if got := a.Config.Healthcheck.Test; !slices.Equal(got, []string{"CMD", "/bin/init", "status"}) {
		t.Errorf("health check %q", got)
	}
	if _, ok := a.Config.ExposedPorts["22/tcp"]; !ok || len(a.Config.ExposedPorts) != 1 {
		t.Errorf("exposed ports %v", a.Config.ExposedPorts)
	}
	if a.Config.StopSignal != "SIGTERM" {
		t.Errorf("stop signal %q", a.Config.StopSignal)
	}
	for _, want := range []string{"LANG=C.UTF-8", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "NVIDIA_VISIBLE_DEVICES=all"} {
		if !slices.Contains(a.Config.Env, want) {
			t.Errorf("the environment lacks %s", want)
		}
	}
	first := func(env string) bool { return strings.HasPrefix(env, "PATH=/run/nix2vast/bin:") }
	if !slices.ContainsFunc(a.Config.Env, first) {
		t.Errorf("/run/nix2vast/bin is not the first folder of PATH: %q", a.Config.Env)
	}
}
