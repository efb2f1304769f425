package plan

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
)

// encode writes a SHA-256 in Nix' base 32, by other means than those under test: as one
// number whose least byte comes first.
func encode(sum []byte) string {
	reversed := make([]byte, len(sum))
	for i, b := range sum {
		reversed[len(sum)-1-i] = b
	}
	const plain = "0123456789abcdefghijklmnopqrstuv" // of big.Int
	text := new(big.Int).SetBytes(reversed).Text(32)
	return strings.Map(func(r rune) rune { return rune(nixAlphabet[strings.IndexRune(plain, r)]) },
		strings.Repeat("0", 52-len(text))+text)
}

func TestNormalHash(t *testing.T) {
	// What nix-hash --type sha256 --to-base16 and --to-sri say of it.
	const hexadecimal = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	for _, text := range []string{
		hexadecimal,
		"sha256:" + strings.ToUpper(hexadecimal[7:]),
		"sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic",
		"sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
	} {
		if got, err := NormalHash(text); err != nil || got != hexadecimal {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                                     `begins with neither`,
		"md5:d41d8cd98f00b204e9800998ecf8427e": `begins with neither`,
		"sha256:abc":                           `it has 3 digits, neither the 52`,
		"sha256:e94qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic":             `'e' is no digit`,
		"sha256:z94qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic":             `more than 256 bits`,
		"sha256:xcf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824": `invalid byte`,
		"sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ":                      `illegal base64`,
		"sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCR=":                     `illegal base64`,
		"sha256-LPJNug==": `has 4 bytes`,
	} {
		if got, err := NormalHash(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
}

// FuzzHash holds that a hash has one normal form, whichever way it is written.
func FuzzHash(f *testing.F) {
	f.Add([]byte("hello"), "sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic")
	f.Add([]byte{}, "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		sum := sha256.Sum256(data)
		want := "sha256:" + hex.EncodeToString(sum[:])
		for _, form := range []string{want, "sha256:" + encode(sum[:]), "sha256-" + base64.StdEncoding.EncodeToString(sum[:])} {
			if got, err := NormalHash(form); err != nil || got != want {
				t.Fatalf("%s is %s, %v; want %s", form, got, err, want)
			}
		}
		normal, err := NormalHash(text)
		if err != nil {
			return
		}
		if again, err := NormalHash(normal); err != nil || again != normal || !hashSyntax.MatchString(normal) {
			t.Fatalf("%q is %q, and that is %q, %v", text, normal, again, err)
		}
		back, _ := hex.DecodeString(normal[len("sha256:"):])
		if strings.HasPrefix(text, "sha256:") && len(text) == 59 && "sha256:"+encode(back) != text {
			t.Fatalf("%q is %q, which is written %q", text, normal, encode(back))
		}
	})
}

// FuzzParse holds that what is read as a plan is valid, and the same when written again.
func FuzzParse(f *testing.F) {
	f.Add(read(f, "plan.json"))
	f.Add([]byte(`{"version": 1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if err := Validate(p); err != nil {
			t.Fatalf("it was read, and is not valid: %v", err)
		}
		first, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(first)
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, first)
		}
		if second, _ := again.Marshal(); string(second) != string(first) {
			t.Fatalf("written again it is\n%s\nnot\n%s", second, first)
		}
	})
}
