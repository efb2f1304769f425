package boot

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
)

// A program that ships inside ours is unpacked by the process that becomes it: so
// PID 1 reads none of its bytes, waits for nothing, and keeps no descriptor.

// attached are the programs in our own file, of which they are the end, a zip archive
// (dev/attach), or nil where there are none.
func attached() (fs.FS, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("opening our own program: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening our own program: %w", err)
	}
	z, err := zip.NewReader(f, st.Size())
	if errors.Is(err, zip.ErrFormat) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the programs in our own: %w", err)
	}
	return z, nil // the file stays open until another program is executed
}

// runProgram turns this process into one that ships with ours. It returns where that
// fails.
func runProgram(root, name string, args ...string) error {
	programs, err := attached()
	if err != nil {
		return err
	}
	return runFrom(root, programs, name, args...)
}

// runFrom is runProgram from what attached returns. Where that is nil, one of that name
// beside ours is taken.
func runFrom(root string, programs fs.FS, name string, args ...string) error {
	argv := append([]string{name}, args...)
	if programs == nil {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding our own program: %w", err)
		}
		beside := filepath.Join(filepath.Dir(self), name)
		if err := services.Become(beside, argv, Environ()); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return fmt.Errorf("this init was built without the program %s, and there is none at %s: build it with make", name, beside)
	}
	dir, err := runDir(root)
	if err != nil {
		return err
	}
	file, err := unpack(programs, name, filepath.Join(dir, "programs"))
	if err == nil {
		err = services.Become(file, argv, Environ())
	}
	f, memory := inMemory(programs, name)
	if memory == nil {
		defer f.Close()
		memory = services.Become(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), argv, Environ())
	}
	return fmt.Errorf("executing the program %s from a file: %w; and from memory: %w", name, err, memory)
}

// unpack puts a program into dir, where it is not yet, and returns its path.
func unpack(programs fs.FS, name, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("unpacking: %w", err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil && st.Flags&unix.ST_NOEXEC != 0 {
		return "", fmt.Errorf("%s is mounted noexec", dir)
	}
	file := filepath.Join(dir, name)
	if same(programs, name, file) {
		return file, nil
	}
	temp, err := os.CreateTemp(dir, ".unpack-")
	if err != nil {
		return "", fmt.Errorf("unpacking: %w", err)
	}
	defer os.Remove(temp.Name()) // after the rename there is none
	err = copyTo(temp, programs, name)
	if err == nil {
		err = temp.Chmod(0o755)
	}
	if err = errors.Join(err, temp.Close()); err == nil { // executing needs it closed
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return "", fmt.Errorf("unpacking %s: %w", file, err)
	}
	return file, nil
}

// same says whether file is the program: a restart of a container finds the file
// of another image, or of a kill in between.
func same(programs fs.FS, name, file string) bool {
	st, err := os.Lstat(file)
	if err != nil || !st.Mode().IsRegular() || st.Mode().Perm() != 0o755 {
		return false
	}
	have, err := os.Open(file)
	if err != nil {
		return false
	}
	defer have.Close()
	want, err := programs.Open(name)
	if err != nil {
		return false
	}
	defer want.Close()
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errHave := io.ReadFull(have, a)
		m, errWant := io.ReadFull(want, b)
		if !bytes.Equal(a[:n], b[:m]) || (errHave == nil) != (errWant == nil) {
			return false
		}
		if errHave != nil {
			return isEnd(errHave) && isEnd(errWant)
		}
	}
}

func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// inMemory is a file in memory with the program, for where no directory can be
// executed from.
func inMemory(programs fs.FS, name string) (*os.File, error) {
	// Kernels from 6.3 on may make files in memory not executable unless asked;
	// older ones do not know the flag.
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := copyTo(f, programs, name); err != nil {
		f.Close()
		return nil, fmt.Errorf("writing a file in memory: %w", err)
	}
	return f, nil
}

func copyTo(w io.Writer, programs fs.FS, name string) error {
	r, err := programs.Open(name)
	if err != nil {
		return fmt.Errorf("opening the program: %w", err)
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}
