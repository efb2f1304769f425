package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// SSHKeys lets the renter's keys in, gives sshd host keys of its own, and
// configures it. It sets Container.Keys.
var SSHKeys = Step{Name: sshKeysName, Run: sshKeys}

const sshKeysName = "sshkeys"

// maxComplaints is how many unusable entries of one variable are named one by
// one; a private key by mistake has dozens of lines.
const maxComplaints = 3

func sshKeys(_ context.Context, c *Container) (string, error) {
	var ch changes
	ch.add(authorizedKeys(c))
	ch.add(hostKeys(c.Root))
	ch.add(writeSSHD(c))
	return ch.result()
}

// authorizedKeys puts the keys of all sources into our block of root's
// authorized_keys. The lines around it, where platforms and people put theirs,
// stay byte for byte.
func authorizedKeys(c *Container) (string, error) {
	sources, problems := keySources(c.Root, c.Settings)
	dir := path.Join(rootHome(c.Root), ".ssh")
	file := path.Join(dir, "authorized_keys")
	old, err := readFile(c.Root, file)
	if err != nil {
		return "", err
	}

	theirs, _ := cutBlocks(string(old))
	have := usableKeys(theirs)
	var block strings.Builder
	for _, source := range sources {
		entries, bad := parseKeys(source)
		problems = append(problems, bad...)
		for _, e := range entries {
			if !have[e.key] {
				have[e.key] = true
				block.WriteString(e.line + "\n")
			}
		}
	}
	c.Keys = len(have)
	c.Problems = append(c.Problems, problems...)

	if old == nil && block.Len() == 0 {
		return "", nil
	}
	var ch changes
	ch.add(makeDir(c.Root, dir, 0o700, true)) // sshd trusts no other (StrictModes)
	text := setBlock(string(old), block.String(), false)
	note, err := writeFile(c.Root, file, []byte(text), 0o600)
	if err != nil {
		c.Keys = len(usableKeys(string(old)))
	}
	if note != "" {
		note = fmt.Sprintf("%s with %d usable keys", note, len(have))
	}
	ch.add(note, err)
	return ch.result()
}

// usableKeys are the keys of an authorized_keys, in wire format.
func usableKeys(text string) map[string]bool {
	keys := make(map[string]bool)
	for _, line := range strings.Split(text, "\n") {
		if key, err := parseKey(line); err == nil {
			keys[key] = true
		}
	}
	return keys
}

// keySources reads the files that the settings name; a source is a name for
// messages and a text that holds keys.
func keySources(root string, s Settings) (sources []Variable, problems []string) {
	sources = append(sources, s.PublicKeys...)
	for _, v := range s.PublicKeyFiles {
		files := []string{v.Value}
		if info, err := os.Stat(filepath.Join(root, v.Value)); err == nil && info.IsDir() {
			// Glob's pattern is no name that somebody chose: it cannot be bad.
			found, _ := filepath.Glob(filepath.Join(root, v.Value, "*.pub"))
			files = nil
			for _, name := range found {
				files = append(files, filepath.Join(v.Value, filepath.Base(name)))
			}
			if len(files) == 0 {
				problems = append(problems, fmt.Sprintf("%s is %s, a directory without *.pub", v.Name, excerpt(v.Value)))
			}
		}
		for _, file := range files {
			text, err := readInput(root, file)
			if err != nil {
				problems = append(problems, fmt.Sprintf("%s cannot be used: %v", v.Name, err))
				continue
			}
			sources = append(sources, Variable{v.Name, string(text)})
		}
	}
	return sources, problems
}

// authorizedKey is one usable line of authorized_keys.
type authorizedKey struct {
	key  string // in wire format, to compare
	line string
}

// parseKeys takes the keys out of one source, and says in a sentence each what
// it left out, by its ordinal: the text itself may be a secret in the wrong
// place.
func parseKeys(source Variable) (keys []authorizedKey, problems []string) {
	text := source.Value
	if strings.Contains(text, "PRIVATE KEY-----") {
		return nil, []string{source.Name + " holds a private key, which belongs nowhere but on its owner's machine: give the .pub file instead"}
	}
	bad := 0
	for i, entry := range splitKeys(text) {
		key, err := parseKey(entry)
		if err == nil {
			keys = append(keys, authorizedKey{key, entry})
			continue
		}
		if bad++; bad <= maxComplaints {
			problems = append(problems, fmt.Sprintf("%s: entry %d is left out: %v", source.Name, i+1, err))
		}
	}
	if bad > maxComplaints {
		problems = append(problems, fmt.Sprintf("%s: %d more entries are left out", source.Name, bad-maxComplaints))
	}
	if len(keys) == 0 && bad == 0 && strings.TrimSpace(text) != "" {
		problems = append(problems, source.Name+" holds no key")
	}
	return keys, problems
}

// parseKey returns the key of one line of authorized_keys, see sshd(8).
func parseKey(line string) (key string, err error) {
	for _, c := range []byte(line) {
		if c < ' ' && c != '\t' && c != '\r' || c == 0x7f {
			return "", errors.New("it holds a control character")
		}
	}
	pub, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "", errors.New("it is not a public key")
	}
	if pub.Type() == "ssh-dss" {
		return "", errors.New("it is a DSA key, which sshd does not accept")
	}
	for _, option := range options {
		name, _, _ := strings.Cut(strings.ToLower(option), "=")
		if !slices.Contains(keyOptions, name) {
			return "", errors.New("it has an option that sshd does not know")
		}
	}
	return string(pub.Marshal()), nil
}
