package tailnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// sshPossible says why Tailscale SSH cannot be had: its sessions are this program again,
// by the name of its file, which a program that was executed from memory does not have.
func sshPossible(root string) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	if _, err := os.Stat(exe); err != nil {
		return errors.New("the box's run directory is mounted noexec, and its sessions need a program there")
	}
	// Without users nobody can log in.
	if _, err := os.Stat(filepath.Join(root, "etc/passwd")); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the box has no /etc/passwd")
	}
	return nil
}

// wantsSSH says whether Tailscale SSH is to be switched on. Where it cannot be had, sshd
// keeps the port.
func (n *node) wantsSSH() bool {
	if !n.Config.SSH {
		return false
	}
	if err := sshPossible(n.Root); err != nil {
		n.status.warn(fmt.Sprintf("no Tailscale SSH: %v", err))
		return false
	}
	return true
}

// Session prepares the process of a session of Tailscale SSH, which knows of its environment
// no more than the user's name, shell and home: it gets the box's, as sessions of sshd do. The
// arguments that it returns have the user's shell started as sshd starts it: by itself, where
// upstream would look for login and su, which need PAM, or forget the environment.
func Session(root string, args []string) []string {
	for _, entry := range boxEnviron(root) {
		name, value, _ := strings.Cut(entry, "=")
		_ = unix.Setenv(name, value) // this process's own; what no process can have is not in the file
	}
	// What upstream asks for before it takes its own way; nothing else hangs on it.
	return append(args, "--is-selinux-enforcing")
}

// boxEnviron reads the environment that init keeps in a file for all who start sessions. A
// value with a line break is brought in by the shell's own files.
func boxEnviron(root string) (environ []string) {
	text, err := os.ReadFile(filepath.Join(root, "etc/environment"))
	if err != nil {
		return nil // a session without is better than none
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || name == "" || strings.ContainsAny(name, "# \t'\"") {
			continue
		}
		if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '\'' || value[0] == '"') {
			value = strings.ReplaceAll(value[1:n-1], `'\''`, "'")
		}
		environ = append(environ, name+"="+value)
	}
	return environ
}
