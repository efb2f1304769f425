package gpu

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	confPath       = "/etc/ld.so.conf"
	confDir        = "/etc/ld.so.conf.d"
	driverConfPath = confDir + "/10-nix2vast-driver.conf"
	cachePath      = "/etc/ld.so.cache"
	ldconfigPath   = "/sbin/ldconfig"
	includeLine    = "include /etc/ld.so.conf.d/*.conf"
	storePrefix    = "/nix/store/"
)

// arch is what differs between machines.
type arch struct {
	machine    elf.Machine
	loader     string // where programs made for any Linux expect the loader
	triplet    string // Debian's name for the machine
	cacheFlags uint32 // of a library in ld.so.cache: glibc, sysdeps/generic/ldconfig.h
}

func thisArch() arch {
	if runtime.GOARCH == "arm64" {
		return arch{elf.EM_AARCH64, "/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu", 0x0a03}
	}
	return arch{elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu", 0x0303}
}

// floor makes what programs expect of any Linux system and a Nix image lacks;
// none of it needs a driver. It returns the loader, "" when there is none.
func (w *work) floor() (loader string) {
	loader = w.linkLoader()
	w.linkCache(loader)
	w.writeConf()
	w.writeLdconfig()
	return loader
}

// linkLoader puts the image's loader where other programs expect one, unless a
// loader is there already.
func (w *work) linkLoader() string {
	there := w.checkELF(w.arch.loader, w.arch.machine) == nil
	if w.Loader == "" {
		if !there {
			w.problem(fmt.Errorf("there is no loader: the image's config names none and %s leads to none", w.arch.loader))
			return ""
		}
		return w.inside(w.arch.loader)
	}
	if err := w.checkELF(w.Loader, w.arch.machine); err != nil {
		w.problem(fmt.Errorf("the loader of the image's config, %s, cannot be used: %w", w.Loader, err))
		return ""
	}
	if !there {
		w.linked(w.arch.loader, w.Loader)
	}
	return w.Loader
}

// linked makes a link and notes it.
func (w *work) linked(path, target string) {
	changed, err := w.link(path, target)
	w.problem(err)
	if changed {
		w.note("linked %s to %s", path, target)
	}
}

// linkCache lets a glibc of the Nix store, which looks for its cache beside
// itself, read the one in /etc.
func (w *work) linkCache(loader string) {
	if !strings.HasPrefix(loader, storePrefix) || slices.Contains(w.Environ, "NIX2VAST_GLIBC_CACHE=0") {
		return
	}
	glibc := filepath.Dir(filepath.Dir(loader)) // …/lib/ld-linux-x86-64.so.2
	w.linked(glibc+confPath, confPath)
	w.linked(glibc+cachePath, cachePath)
}

var includes = lazy(`(?m)^\s*include\s+/etc/ld\.so\.conf\.d/\*(\.conf)?\s*$`)

// writeConf adds the link farm to the directories that ldconfig looks in. What
// the image, or the runtime, put into /etc/ld.so.conf stays.
func (w *work) writeConf() {
	have, _ := os.ReadFile(w.file(confPath)) // none, or a link to nothing, is replaced
	if !includes().Match(have) {
		text := string(have)
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		w.wrote(confPath, text+includeLine+"\n", 0o644)
	}
	w.wrote(driverConfPath, farmDir+"\n", 0o644)
}

// wrote makes a file and notes it.
func (w *work) wrote(path, text string, mode os.FileMode) {
	changed, err := w.write(path, []byte(text), mode)
	w.problem(err)
	if changed {
		w.note("wrote %s", path)
	}
}

// writeLdconfig puts the image's ldconfig where programs call it, unless one is
// there already. It is a script, since an ldconfig of the Nix store that is told
// nothing replaces the link beside its glibc with a cache of its own.
func (w *work) writeLdconfig() {
	if executable(w.tree, ldconfigPath) && !w.isOurs(ldconfigPath) {
		return
	}
	if w.Ldconfig == "" {
		w.problem(errors.New("there is no " + ldconfigPath + " and the image's config names none: programs cannot list the cache"))
		return
	}
	if !executable(w.tree, w.Ldconfig) {
		w.problem(fmt.Errorf("the ldconfig of the image's config, %s, cannot be executed", w.Ldconfig))
		return
	}
	w.wrote(ldconfigPath, ldconfigScript(w.Ldconfig), 0o755)
}

func ldconfigScript(ldconfig string) string {
	return fmt.Sprintf("#!/bin/sh\nexec %s -f %s -C %s \"$@\"\n", quote(ldconfig), confPath, cachePath)
}

// isOurs says whether path is what writeLdconfig makes, or a bare link.
func (w *work) isOurs(path string) bool {
	if target, err := os.Readlink(w.at(path)); err == nil {
		return w.Ldconfig != "" && target == w.Ldconfig
	}
	text, err := os.ReadFile(w.at(path))
	return err == nil && w.Ldconfig != "" && string(text) == ldconfigScript(w.Ldconfig)
}

func executable(t tree, path string) bool {
	info := t.stat(path)
	return info != nil && info.Mode().IsRegular() && info.Size() > 0 && info.Mode()&0o111 != 0
}

// quote makes s one word of a shell script.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
