package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Keys returns public keys, a line each: those of the files, or where there are none those
// in .ssh of the home directory and those of the SSH agent. There may be none at all.
func Keys(ctx context.Context, home string, files []string) ([]string, error) {
	var keys []string
	if len(files) > 0 {
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading a public key: %w", err)
			}
			found := parseKeys(b)
			switch {
			case bytes.Contains(b, []byte("PRIVATE KEY")):
				return nil, fmt.Errorf("%s is a private key, which stays here: name the public one, %[1]s.pub", file)
			case len(found) == 0:
				return nil, fmt.Errorf("%s holds no public key, which is a line such as: ssh-ed25519 AAAA… you@here", file)
			}
			keys = append(keys, found...)
		}
		return unique(keys), nil
	}
	own, err := filepath.Glob(filepath.Join(home, ".ssh", "id_*.pub"))
	if err != nil {
		return nil, fmt.Errorf("looking for public keys: %w", err)
	}
	for _, file := range own {
		b, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading a public key: %w", err)
		}
		keys = append(keys, parseKeys(b)...)
	}
	// No agent, no ssh-add, or nothing in it: then these are not to be had.
	listed, _ := Command{Program: "ssh-add", Args: []string{"-L"}}.Output(ctx)
	return unique(append(keys, parseKeys([]byte(listed))...)), nil
}

// parseKeys leaves out what is no key, and what the owner commented out.
func parseKeys(b []byte) []string {
	var keys []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err == nil {
			keys = append(keys, line)
		}
	}
	return keys
}

// unique leaves out keys that are there already with another comment.
func unique(keys []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(keys, func(line string) bool {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			return true
		}
		old := seen[string(key.Marshal())]
		seen[string(key.Marshal())] = true
		return old
	})
}
