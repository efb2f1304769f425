package boot

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Environment makes the container's environment reach services and sessions:
// it sets Container.Environ and writes the files that shells and PAM read. What
// sshd itself hands to every session is in its configuration, see SSHKeys.
var Environment = Step{Name: "environ", Run: environment}

const (
	binDir      = runPath + "/bin" // our patched copies of the host's programs
	defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	profilePath = "/etc/profile.d/nix2vast.sh"
)

// Bodies of our blocks in other people's files.
const (
	sourceOurs = "[ ! -r " + profilePath + " ] || . " + profilePath
	sourceAll  = `for f in /etc/profile.d/*.sh; do [ ! -r "$f" ] || . "$f"; done; unset f`
)

func environment(_ context.Context, c *Container) (string, error) {
	c.Environ = sessionEnviron(c.Settings, c.Config.Environment)
	var ch changes
	ch.add(writeBlock(c.Root, "/etc/environment", environmentFile(c.Environ), true))
	ch.add(writeFile(c.Root, profilePath, []byte(profileFile(c.Environ)), 0o644))
	// bash, when sshd starts it with a command, reads neither /etc/profile nor
	// $BASH_ENV but its system-wide bashrc: Debian's is the first of these,
	// nixpkgs' the second. At the top, since both return early.
	ch.add(writeBlock(c.Root, "/etc/bash.bashrc", sourceOurs, true))
	ch.add(writeBlock(c.Root, "/etc/bashrc", sourceOurs, true))
	ch.add(profile(c.Root))
	return ch.result()
}

// profile makes login shells read /etc/profile.d.
func profile(root string) (string, error) {
	text, err := readFile(root, "/etc/profile")
	if err != nil {
		return "", err
	}
	body := sourceAll
	if theirs, _ := cutBlocks(string(text)); strings.Contains(theirs, "/etc/profile.d") {
		body = ""
	}
	return writeBlock(root, "/etc/profile", body, false)
}

// sessionEnviron is what services and sessions get, sorted by name: the
// image's variables, and over them the container's, less what is true of PID 1
// alone. Our programs come first on PATH.
func sessionEnviron(s Settings, image map[string]string) []string {
	values := map[string]string{"PATH": defaultPath, "WORKSPACE": s.Workspace}
	for name, value := range image {
		if name != "" && !isSecret(name) {
			values[name] = value
		}
	}
	for _, entry := range s.Environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	path := []string{binDir}
	for _, dir := range strings.Split(values["PATH"], ":") {
		if dir != binDir && dir != "" {
			path = append(path, dir)
		}
	}
	values["PATH"] = strings.Join(path, ":")

	var environ []string
	for name, value := range values {
		if !isPrivate(name) {
			environ = append(environ, name+"="+value)
		}
	}
	slices.Sort(environ)
	return environ
}

// isPrivate says whether a variable describes PID 1, its terminal or its
// supervisor, and would lie to anybody else.
func isPrivate(name string) bool {
	switch name {
	case "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "SHLVL", "HOSTNAME", "TERM", "_",
		"LD_PRELOAD", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		return true
	}
	return strings.HasPrefix(name, "WATCHDOG_")
}

// environmentFile is our part of /etc/environment, which both bash and pam_env
// can read: one line for each variable, so that a line break has no place here.
func environmentFile(environ []string) string {
	var b strings.Builder
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if isShellName(name) && !strings.Contains(value, "\n") {
			fmt.Fprintf(&b, "%s=%s\n", name, shellQuote(value))
		}
	}
	return b.String()
}

// profileFile is a script for any POSIX shell that sets what the shell has not
// got yet: behind our sshd only values with a line break, behind another one
// everything. /etc/profile may have reset PATH just before.
func profileFile(environ []string) string {
	var b strings.Builder
	b.WriteString("# Written by nix2vast at every boot: the container's environment.\n")
	b.WriteString("# A variable that is set already keeps its value.\n")
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name == "PATH":
			fmt.Fprintf(&b, "case \":$PATH:\" in *:%s:*) ;; *) export PATH=%s ;; esac\n", binDir, shellQuote(value))
		case isShellName(name):
			fmt.Fprintf(&b, "[ -n \"${%s+x}\" ] || export %s=%s\n", name, name, shellQuote(value))
		}
	}
	return b.String()
}

// shellQuote makes one word of any value without a NUL, for every POSIX shell.
func shellQuote(value string) string {
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}

// isShellName says whether a shell can assign to name: an identifier, and none
// of those that bash refuses to change.
func isShellName(name string) bool {
	switch name {
	case "", "UID", "EUID", "PPID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO":
		return false
	}
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}
