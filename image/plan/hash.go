package plan

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// nixAlphabet is that of Nix' own base 32, without the letters e, o, t and u.
const nixAlphabet = "0123456789abcdfghijklmnpqrsvwxyz"

// NormalHash returns a SHA-256 as "sha256:" and 64 hexadecimal digits. It takes every
// form that Nix writes: sha256:BASE32 and sha256:HEX, and sha256-BASE64 of newer versions,
// https://nix.dev/manual/nix/latest/protocols/store-path and
// https://www.w3.org/TR/SRI/ for the last.
func NormalHash(text string) (string, error) {
	var sum []byte
	var err error
	if b64, ok := strings.CutPrefix(text, "sha256-"); ok {
		// Strict: several texts for one hash would be several keys for one layer.
		sum, err = base64.StdEncoding.Strict().DecodeString(b64)
	} else if digits, ok := strings.CutPrefix(text, "sha256:"); !ok {
		return "", fmt.Errorf("the hash %q begins with neither \"sha256:\" nor \"sha256-\"", text)
	} else if len(digits) == hex.EncodedLen(sha256.Size) {
		sum, err = hex.DecodeString(digits)
	} else {
		sum, err = base32(digits)
	}
	if err != nil {
		return "", fmt.Errorf("the hash %q: %w", text, err)
	}
	if len(sum) != sha256.Size {
		return "", fmt.Errorf("the hash %q has %d bytes, a SHA-256 has %d", text, len(sum), sha256.Size)
	}
	return "sha256:" + hex.EncodeToString(sum), nil
}

// base32 decodes a SHA-256 as Nix writes it: the whole as one number, whose last five bits
// come last, and whose first byte is the least.
func base32(text string) ([]byte, error) {
	const digits = (sha256.Size*8 + 4) / 5
	if len(text) != digits {
		return nil, fmt.Errorf("it has %d digits, neither the %d of base 32 nor the %d of hexadecimal",
			len(text), digits, hex.EncodedLen(sha256.Size))
	}
	sum := make([]byte, sha256.Size)
	for i := range digits {
		c := text[digits-1-i]
		value := strings.IndexByte(nixAlphabet, c)
		if value < 0 {
			return nil, fmt.Errorf("%q is no digit of Nix' base 32", c)
		}
		at, shift := i*5/8, i*5%8
		sum[at] |= byte(value << shift)
		high := byte(value >> (8 - shift))
		if at+1 < len(sum) {
			sum[at+1] |= high
		} else if high != 0 {
			return nil, fmt.Errorf("it is more than %d bits", sha256.Size*8)
		}
	}
	return sum, nil
}
