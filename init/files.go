package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The lines around what nix2vast writes into a file that it shares with others.
const (
	blockBegin = "# BEGIN nix2vast"
	blockEnd   = "# END nix2vast"
)

// changes gathers what a step did and what it could not do.
type changes struct {
	notes []string
	errs  []error
}

func (ch *changes) add(note string, err error) {
	if note != "" {
		ch.notes = append(ch.notes, note)
	}
	if err != nil {
		ch.errs = append(ch.errs, err)
	}
}

func (ch *changes) result() (string, error) {
	return strings.Join(ch.notes, ", "), oneForReadOnly(ch.errs)
}

// placeError is about one path, as the box sees it.
type placeError struct {
	doing, path string
	err         error
}

func (e *placeError) Error() string { return e.doing + " " + e.path + ": " + e.err.Error() }
func (e *placeError) Unwrap() error { return e.err }

// readOnlyError is about all that a read-only file system keeps from being done.
type readOnlyError struct{ paths []string }

func (e *readOnlyError) Error() string {
	return "the file system is read-only, but this would have to change: " + strings.Join(e.paths, ", ")
}
func (e *readOnlyError) Unwrap() error { return syscall.EROFS }

// oneForReadOnly joins errs, which may be joined ones themselves, with a single
// sentence for all that a read-only file system is the cause of.
func oneForReadOnly(errs []error) error {
	var readOnly readOnlyError
	var others []error
	for _, err := range flatten(errs) {
		var at *placeError
		var many *readOnlyError
		switch {
		case errors.As(err, &many):
			readOnly.paths = append(readOnly.paths, many.paths...)
		case errors.Is(err, syscall.EROFS) && errors.As(err, &at):
			readOnly.paths = append(readOnly.paths, at.path)
		default:
			others = append(others, err)
		}
	}
	if len(readOnly.paths) > 0 {
		others = append(others, &readOnly)
	}
	return errors.Join(others...)
}

// flatten undoes errors.Join.
func flatten(errs []error) (flat []error) {
	for _, err := range errs {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			flat = append(flat, flatten(joined.Unwrap())...)
		} else {
			flat = append(flat, err)
		}
	}
	return flat
}

// writeFile makes path, inside root, a file that holds data and has mode, and
// says so in the note if it was not one already. Readers see the old file or
// the new one, never a part.
//
// A file of mode 0600 belongs to whom we run as, any other keeps its owner. A
// link is written through, unless it leads into the Nix store: nothing may
// change there, so the link gives way to a file.
func writeFile(root, path string, data []byte, mode fs.FileMode) (note string, err error) {
	full, err := resolve(root, path)
	if err != nil {
		return "", &placeError{"writing", path, err}
	}
	uid, gid := os.Geteuid(), -1
	info, err := os.Stat(full)
	if err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		old, err := os.ReadFile(full)
		if err == nil && bytes.Equal(old, data) && info.Mode().Perm() == mode &&
			(mode != 0o600 || int(owner.Uid) == uid) {
			return "", nil
		}
		if mode != 0o600 {
			uid, gid = int(owner.Uid), int(owner.Gid)
		}
	}
	if inStore(root, full) {
		full = filepath.Join(root, path)
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return "", &placeError{"writing", path, err}
	}
	if err := replace(full, data, mode, uid, gid); err != nil {
		return "", &placeError{"writing", path, err}
	}
	return "wrote " + path, nil
}

func replace(full string, data []byte, mode fs.FileMode, uid, gid int) error {
	// One fixed name: what a kill in the middle leaves is swept up next time.
	temp := full + ".nix2vast"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	_, err = f.Write(data)
	// Who may not give files away cannot own another's file either.
	if chown := f.Chown(uid, gid); err == nil && !errors.Is(chown, fs.ErrPermission) {
		err = chown
	}
	if chmod := f.Chmod(mode); err == nil {
		err = chmod
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	err = os.Rename(temp, full)
	if errors.Is(err, syscall.EBUSY) { // bind-mounted from outside: only its content is ours
		return os.WriteFile(full, data, mode)
	}
	return err
}

// readFile returns what path inside root holds; nothing if there is no such
// file.
func readFile(root, path string) ([]byte, error) {
	full, err := resolve(root, path)
	if err == nil {
		var b []byte
		if b, err = os.ReadFile(full); err == nil {
			return b, nil
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return nil, fmt.Errorf("reading %s: %w", path, err)
}

// maxInput bounds the files that the renter names, in bytes.
const maxInput = 1 << 20

// readInput is readFile for a file that the renter names, which must be there
// and cannot keep us busy: no pipe, no device, nothing endless.
func readInput(root, path string) ([]byte, error) {
	full, err := resolve(root, path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", excerpt(path), err)
	}
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s", excerpt(path))
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", excerpt(path), err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", excerpt(path))
	case info.Size() > maxInput:
		return nil, fmt.Errorf("%s is larger than %d bytes", excerpt(path), maxInput)
	}
	return readFile(root, path)
}

// modeOf returns the permissions of path inside root, or otherwise if there is
// no such file.
func modeOf(root, path string, otherwise fs.FileMode) fs.FileMode {
	full, err := resolve(root, path)
	if err != nil {
		return otherwise
	}
	info, err := os.Stat(full)
	if err != nil {
		return otherwise
	}
	return info.Mode().Perm()
}

// resolve follows the links that path itself may be, taking absolute ones to
// start at root. What it returns need not exist.
func resolve(root, path string) (string, error) {
	full := filepath.Join(root, path)
	for range 40 { // as many as the kernel follows, path_resolution(7)
		target, err := os.Readlink(full)
		if err != nil {
			return full, nil
		}
		if filepath.IsAbs(target) {
			full = filepath.Join(root, target)
		} else {
			full = filepath.Join(filepath.Dir(full), target)
		}
	}
	return "", syscall.ELOOP
}

func inStore(root, full string) bool {
	dir, err := filepath.EvalSymlinks(filepath.Dir(full))
	if err != nil {
		dir = filepath.Dir(full)
	}
	store := filepath.Join(root, "nix/store")
	return strings.HasPrefix(dir+"/", store+"/") || strings.HasPrefix(dir+"/", "/nix/store/")
}

// cutBlocks takes every block of ours out of text and returns where the first
// one stood, or -1. A marker without its counterpart goes alone: the lines
// after it may be somebody's.
func cutBlocks(text string) (rest string, at int) {
	at = -1
	var b strings.Builder
	lines := strings.SplitAfter(text, "\n")
	for i := 0; i < len(lines); i++ {
		switch strings.TrimSpace(lines[i]) {
		case blockBegin:
			if n := blockLength(lines[i+1:]); n >= 0 {
				i += n + 1
				if at < 0 {
					at = b.Len()
				}
			}
		case blockEnd:
		default:
			b.WriteString(lines[i])
		}
	}
	return b.String(), at
}

// blockLength counts the lines before the block's end, -1 if it has none.
func blockLength(lines []string) int {
	for i, line := range lines {
		switch strings.TrimSpace(line) {
		case blockEnd:
			return i
		case blockBegin:
			return -1
		}
	}
	return -1
}

// setBlock puts body between our markers: where they stood, else at the top or
// the bottom of text. An empty body takes the block away. All other lines stay
// as they are.
func setBlock(text, body string, top bool) string {
	rest, at := cutBlocks(text)
	if body == "" {
		return rest
	}
	block := blockBegin + "\n" + strings.TrimSuffix(body, "\n") + "\n" + blockEnd + "\n"
	if at < 0 && top {
		at = 0
	} else if at < 0 {
		at = len(rest)
	}
	before, after := rest[:at], rest[at:]
	if before != "" && !strings.HasSuffix(before, "\n") {
		before += "\n"
	}
	return before + block + after
}

// writeBlock is setBlock on the file at path inside root, which keeps its mode
// or gets 0644.
func writeBlock(root, path, body string, top bool) (note string, err error) {
	old, err := readFile(root, path)
	if err != nil {
		return "", err
	}
	if old == nil && body == "" {
		return "", nil
	}
	text := setBlock(string(old), body, top)
	return writeFile(root, path, []byte(text), modeOf(root, path, 0o644))
}
