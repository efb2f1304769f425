// Attach puts programs behind another one in its file:
//
//	attach OUT PROGRAM INSIDE...
//
// They are a zip archive, whose place is the end of a file, uncompressed, and have the names
// of their files. The kernel maps of a program what its ELF headers name, so the one in front
// starts, and takes memory, as without them. Package boot finds them there.
package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: attach OUT PROGRAM INSIDE...")
		os.Exit(2)
	}
	if err := attach(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "attach:", err)
		os.Exit(1)
	}
}

// attach replaces out as a whole: it may be running.
func attach(out, program string, inside []string) error {
	w, err := os.CreateTemp(filepath.Dir(out), ".attach-")
	if err != nil {
		return err
	}
	defer os.Remove(w.Name()) // after the rename there is none
	err = write(w, program, inside)
	if err == nil {
		err = w.Chmod(0o755)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), out)
}

func write(w io.Writer, program string, inside []string) error {
	size, err := copyFile(w, program)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	z.SetOffset(size)
	for _, file := range inside {
		entry, err := z.CreateHeader(&zip.FileHeader{Name: filepath.Base(file), Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := copyFile(entry, file); err != nil {
			return err
		}
	}
	return z.Close()
}

func copyFile(w io.Writer, file string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(w, f)
}
