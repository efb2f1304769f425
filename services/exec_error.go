package services

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// The kernel's limits of what a program is given, in bytes; see execve(2).
const (
	argumentPages = 32        // of one argument or variable, with its NUL
	argumentsLeft = 128 << 10 // of all, where the stack is limited to less than four times that
	argumentsMost = 6 << 20   // of all, where it is not limited
)

// execError says in words why a program could not be executed. It is, by
// errors.Is, still the kernel's error.
func execError(path string, argv, env []string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.E2BIG):
		return fmt.Errorf("exec %s: %w: %s", path, err, tooBig(argv, env))
	case errors.Is(err, unix.ENOENT):
		if program := interpreter(path); program != "" {
			return fmt.Errorf("exec %s: the file is there, %s is not: %w", path, program, err)
		}
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf("exec %s: %w: it is no program of this machine, and has no #! line", path, err)
	case errors.Is(err, unix.EACCES):
		if st, statErr := os.Stat(path); statErr == nil && st.Mode().IsRegular() && st.Mode()&0o111 == 0 {
			return fmt.Errorf("exec %s: %w: it is not executable; chmod +x it", path, err)
		}
	}
	return &fs.PathError{Op: "exec", Path: path, Err: err}
}

// tooBig names what to make smaller. The value of a variable may be a secret.
func tooBig(argv, env []string) string {
	total, most := 0, argumentPages*os.Getpagesize()
	for _, list := range [][]string{argv, env} {
		for _, text := range list {
			total += len(text) + 1 + 8 // and a pointer
		}
	}
	for _, entry := range env {
		if len(entry) >= most {
			name, _, _ := strings.Cut(entry, "=")
			return fmt.Sprintf("the variable %s has %d bytes, %d are the most; unset it with UnsetEnvironment", name, len(entry), most-1)
		}
	}
	for i, arg := range argv {
		if len(arg) >= most {
			return fmt.Sprintf("argument %d has %d bytes, %d are the most", i, len(arg), most-1)
		}
	}
	var stack unix.Rlimit
	room := uint64(argumentsLeft)
	if unix.Getrlimit(unix.RLIMIT_STACK, &stack) == nil {
		room = min(max(room, stack.Cur/4), argumentsMost)
	}
	return fmt.Sprintf("%d arguments and %d variables take %d bytes, %d are the most; unset some with UnsetEnvironment", len(argv), len(env), total, room)
}

// interpreter is what the #! line of a file names, or the loader of an ELF
// program, where the file itself is there.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := f.Read(head)
	if err != nil {
		return ""
	}
	line, script := bytes.CutPrefix(head[:n], []byte("#!"))
	if !script {
		return "the loader that readelf -l names"
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	program, _, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
	return program
}
