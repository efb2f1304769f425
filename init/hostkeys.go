package boot

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// hostKeyKinds are the host keys that our sshd has. There is no RSA key: every
// client of the last ten years speaks one of these, and it takes a second to
// make.
var hostKeyKinds = []struct {
	kind     string
	generate func() (crypto.PrivateKey, error)
}{
	{"ed25519", func() (crypto.PrivateKey, error) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}},
	{"ecdsa", func() (crypto.PrivateKey, error) {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}},
}

func hostKeyPath(kind string) string { return "/etc/ssh/ssh_host_" + kind + "_key" }

// hostKeys makes the host keys that are missing or cannot be read.
func hostKeys(root string) (string, error) {
	var ch changes
	for _, k := range hostKeyKinds {
		ch.add(hostKey(root, k.kind, k.generate))
	}
	return ch.result()
}

func hostKey(root, kind string, generate func() (crypto.PrivateKey, error)) (string, error) {
	file := hostKeyPath(kind)
	text, err := readFile(root, file)
	if err != nil {
		return "", err
	}
	var ch changes
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		if len(text) > 0 {
			ch.add(putAside(root, file))
		}
		if text, signer, err = newHostKey(generate); err != nil {
			return "", fmt.Errorf("making %s: %w", file, err)
		}
		ch.add(fmt.Sprintf("made %s %s", path.Base(file), ssh.FingerprintSHA256(signer.PublicKey())), nil)
	}
	_, err = writeFile(root, file, text, 0o600)
	ch.add("", err)

	// ssh-keygen's .pub has a comment, which counts as little as its absence.
	pub, err := readFile(root, file+".pub")
	ch.add("", err)
	if key, _, _, _, err := ssh.ParseAuthorizedKey(pub); err != nil || !bytes.Equal(key.Marshal(), signer.PublicKey().Marshal()) {
		pub = ssh.MarshalAuthorizedKey(signer.PublicKey())
	}
	_, err = writeFile(root, file+".pub", pub, 0o644)
	ch.add("", err)
	return ch.result()
}

func newHostKey(generate func() (crypto.PrivateKey, error)) ([]byte, ssh.Signer, error) {
	key, err := generate()
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(block), signer, nil
}

// putAside keeps a file that is no key: it may be all that is left of one.
func putAside(root, file string) (string, error) {
	full := filepath.Join(root, file)
	err := os.Rename(full, full+".bad")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("putting %s aside: %w", file, err)
	}
	return fmt.Sprintf("moved %s, which is no usable key, to %s.bad", file, path.Base(file)), nil
}
