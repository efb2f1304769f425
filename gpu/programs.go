package gpu

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// programDir has the copies of the injected programs that work here. It comes
// first in PATH.
const programDir = "/run/nix2vast/bin"

// maxProgram bounds what is read into memory; the largest, nvidia-imex, has
// some 10 MB.
const maxProgram = 64 << 20

// patchPrograms keeps a copy of each injected program that starts with loader
// and finds the driver in the farm, and none of what is not there any more.
func (w *work) patchPrograms(d driver, loader string) {
	if len(d.programs) > 0 && loader != "" && w.noexec() {
		w.problem(fmt.Errorf("%s is on a file system mounted noexec: injected programs are not copied there", programDir))
		loader = ""
	}
	var patched []string
	for _, name := range programNames() {
		content, err := w.patch(d.programs[name], name, loader)
		if err != nil {
			w.problem(fmt.Errorf("%s %w; left alone", d.programs[name], err))
		}
		copied := programDir + "/" + name
		if content == nil {
			if _, err := os.Lstat(w.at(copied)); err == nil && w.remove(copied) {
				w.note("removed %s", copied)
			}
			continue
		}
		changed, err := w.write(copied, content, 0o755)
		w.problem(err)
		if changed {
			patched = append(patched, name)
		}
	}
	if len(patched) > 0 {
		w.note("patched %s", strings.Join(patched, ", "))
	}
}

// patch is the content of a program's copy: the edited program, or a script
// where an edit has no room. It is nil for a program that needs no copy.
func (w *work) patch(path, name, loader string) ([]byte, error) {
	if path == "" || loader == "" {
		return nil, nil
	}
	info, err := os.Stat(w.file(path))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if info.Size() > maxProgram {
		return nil, fmt.Errorf("has %d bytes, more than a program of a driver has", info.Size())
	}
	data, err := os.ReadFile(w.file(path))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if w.storeLoader(data) {
		return nil, nil
	}
	runpath := farmDir + ":" + filepath.Dir(loader) // the loader's own libc, whatever the cache says
	edited, err := edit(data, w.arch.machine, loader, runpath)
	switch {
	case errors.Is(err, errStatic):
		return nil, nil
	case errors.Is(err, errNoRoom):
		return fmt.Appendf(nil, "#!/bin/sh\nexec %s --library-path %s --argv0 %s %s \"$@\"\n",
			quote(loader), quote(runpath), quote(name), quote(path)), nil
	}
	return edited, err
}

// storeLoader says whether a program was made for a loader of the Nix store
// that is here: a NixOS host injects such, with their loader.
func (w *work) storeLoader(data []byte) bool {
	p, err := parseProgram(data, w.arch.machine)
	if err != nil {
		return false
	}
	loader := p.one(elf.PT_INTERP)
	if loader == nil {
		return false
	}
	path := strings.TrimRight(string(data[loader.Off:loader.bytes().to]), "\x00")
	return strings.HasPrefix(path, storePrefix) && w.checkELF(path, w.arch.machine) == nil
}

// noexec says whether programs in programDir could not be started.
func (w *work) noexec() bool {
	at := w.file(programDir)
	for ; at != "/" && at != "."; at = filepath.Dir(at) {
		var fs unix.Statfs_t
		if unix.Statfs(at, &fs) == nil {
			return fs.Flags&unix.ST_NOEXEC != 0
		}
	}
	return false
}

// askable are the ways to start a program of the driver, best first.
func (w *work) askable(d driver, name string) []string {
	var paths []string
	if copied := programDir + "/" + name; executable(w.tree, copied) {
		paths = append(paths, copied)
	}
	if path, ok := d.programs[name]; ok && executable(w.tree, path) {
		paths = append(paths, path)
	}
	return paths
}
