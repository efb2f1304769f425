package boot

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	sshdMain    = "/etc/ssh/sshd_config"
	sshdDir     = "/etc/ssh/sshd_config.d"
	sshdOurs    = sshdDir + "/10-nix2vast.conf"
	sshdInclude = "Include " + sshdDir + "/*.conf"
)

// writeSSHD writes our part of sshd's configuration, and makes sure that the
// main file takes it in before anything else: for sshd the first value counts.
func writeSSHD(c *Container) (string, error) {
	main, err := readFile(c.Root, sshdMain)
	if err != nil {
		return "", err
	}
	var ch changes
	theirs, _ := cutBlocks(string(main))
	block := sshdInclude
	if includesDir(theirs) {
		block = ""
	}
	ch.add(writeBlock(c.Root, sshdMain, block, true))
	sftp, err := hasSFTP(c.Root, theirs)
	ch.add("", err)
	if _, left := setEnv(c.Environ); left > 0 {
		c.Problems = append(c.Problems, fmt.Sprintf("the environment is so large that every login would take sshd long: %d of its %d variables "+
			"reach sessions by the files that shells read, and a session without a shell not at all", left, len(c.Environ)))
	}
	// Not for all eyes: it holds the environment.
	ch.add(writeFile(c.Root, sshdOurs, []byte(sshdConfig(c, !sftp)), 0o600))
	return ch.result()
}

// sshdConfig is our part of sshd's configuration, see sshd_config(5). With
// neither a key nor a password sshd listens for the box itself only.
//
// UsePAM is off because an image may have no PAM policy, with which nobody
// could log in; PidFile because what is left of it after a restart lies.
func sshdConfig(c *Container, sftp bool) string {
	var b strings.Builder
	b.WriteString("# Written by nix2vast at every boot. The first value counts in sshd: to change\n" +
		"# one, put it into a file of this directory that sorts before this one.\n")
	set := func(key string, value any) { fmt.Fprintln(&b, key, value) }

	set("Port", c.Settings.SSHPort)
	if c.Keys == 0 && !c.PasswordSet {
		set("ListenAddress", "127.0.0.1")
		set("ListenAddress", "::1")
	}
	for _, k := range hostKeyKinds {
		set("HostKey", hostKeyPath(k.kind))
	}
	root, passwords := "prohibit-password", "no"
	if c.PasswordSet {
		root, passwords = "yes", "yes"
	}
	set("PermitRootLogin", root)
	set("PasswordAuthentication", passwords)
	set("KbdInteractiveAuthentication", "no")
	set("PermitEmptyPasswords", "no")
	set("PubkeyAuthentication", "yes")
	set("AuthorizedKeysFile", ".ssh/authorized_keys")
	set("UsePAM", "no")
	set("StrictModes", "yes")
	set("LoginGraceTime", 60)
	set("ClientAliveInterval", 30)
	set("AllowTcpForwarding", "yes")
	set("PrintMotd", "no")
	set("PidFile", "none")
	if sftp {
		set("Subsystem", "sftp internal-sftp")
	}
	if line, _ := setEnv(c.Environ); line != "" {
		set("SetEnv", line)
	}
	return b.String()
}

// What SetEnv takes at most: sshd reads it anew for each connection, before it says a
// word, and compares each name with all others. With these limits that takes 60 ms
// (OpenSSH 9.2); a thousand variables of a kilobyte take 0.2 s, 20,000 short ones 4 s.
const (
	setEnvMost  = 1000
	setEnvBytes = 128 << 10
)

// setEnv is the value of sshd's SetEnv, which has to be a single line: sshd
// obeys the first directive only. It quotes as argv_split in OpenSSH's misc.c
// unquotes. A value with a line break cannot pass, nor one beyond the limits; left
// counts the latter. The shell's files bring both, so that what a shell cannot set
// comes first, and PATH.
func setEnv(environ []string) (line string, left int) {
	var entries []string
	size := 0
	for _, early := range []bool{true, false} {
		for _, entry := range environ {
			name, _, _ := strings.Cut(entry, "=")
			if strings.Contains(entry, "\n") || early != (name == "PATH" || !isShellName(name)) {
				continue
			}
			entry = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(entry) + `"`
			if len(entries) == setEnvMost || size+len(entry) > setEnvBytes {
				left++
				continue
			}
			entries, size = append(entries, entry), size+len(entry)
		}
	}
	return strings.Join(entries, " "), left
}

// directives returns the lines of an sshd configuration as words, keywords in
// lower case, without comments.
func directives(text string) [][]string {
	var all [][]string
	for _, line := range strings.Split(text, "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\f=\"", r) })
		if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			words[0] = strings.ToLower(words[0])
			all = append(all, words)
		}
	}
	return all
}

// includesDir says whether a main configuration reads our file.
func includesDir(text string) bool {
	return slices.ContainsFunc(directives(text), func(words []string) bool {
		return words[0] == "include" && slices.ContainsFunc(words[1:], func(pattern string) bool {
			if !path.IsAbs(pattern) {
				pattern = path.Join("/etc/ssh", pattern)
			}
			matched, _ := path.Match(pattern, sshdOurs)
			return matched
		})
	})
}

// hasSFTP says whether the configuration of others names an sftp server
// already; to sshd a second one is an error.
func hasSFTP(root, main string) (bool, error) {
	texts := []string{main}
	found, err := filepath.Glob(filepath.Join(root, sshdDir, "*.conf"))
	if err != nil {
		return false, fmt.Errorf("looking for sshd's configuration: %w", err)
	}
	for _, name := range found {
		if path.Base(name) == path.Base(sshdOurs) {
			continue
		}
		text, err := readFile(root, path.Join(sshdDir, filepath.Base(name)))
		if err != nil {
			return false, err
		}
		texts = append(texts, string(text))
	}
	return slices.ContainsFunc(directives(strings.Join(texts, "\n")), func(words []string) bool {
		return words[0] == "subsystem" && len(words) > 1 && words[1] == "sftp"
	}), nil
}
