package layer

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"testing"
)

// unlike is text without a word that comes twice: six bits a byte.
func unlike(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{2})
	r.Read(b)
	for i := range b {
		b[i] = 32 + b[i]&63
	}
	return b
}

// TestGzipByOthers has gzip itself read streams of all lengths around those of a piece and
// of a block, of what compresses by strings, by single bytes, and not at all.
func TestGzipByOthers(t *testing.T) {
	random := make([]byte, gzipBlock)
	rand.NewChaCha8([32]byte{3}).Read(random)
	all := bytes.Join([][]byte{unlike(gzipBlock + 7), mixture(gzipBlock), random}, nil)
	for _, n := range []int{0, 1, gzipPiece - 1, gzipPiece, gzipPiece + 1, gzipBlock - 1, gzipBlock, gzipBlock + 1, 2 * gzipBlock, len(all)} {
		for _, z := range []Compression{Gzip, "gzip:1", "gzip:7", "gzip:9"} {
			cmd := exec.CommandContext(t.Context(), "gzip", "-dc")
			cmd.Stdin = bytes.NewReader(pressed(t, z, all[:n], 300_000))
			if out, err := cmd.Output(); err != nil || !bytes.Equal(out, all[:n]) {
				t.Errorf("%s: %d bytes: %d came back, %v", z, n, len(out), err)
			}
		}
	}
}

// TestGzipWithoutStrings wants what has nothing but uneven bytes to shrink all the same.
func TestGzipWithoutStrings(t *testing.T) {
	b := unlike(4 << 20)
	if n := len(pressed(t, Gzip, b, 1<<20)); n > len(b)*77/100 {
		t.Errorf("%d bytes of %d", n, len(b))
	}
}

// TestGzipStores wants what Huffman's code makes a tenth smaller to be stored: reading it would
// take longer than that is worth.
func TestGzipStores(t *testing.T) {
	b := make([]byte, 4<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.IntN(150)) // 7.2 bits
	}
	blob := pressed(t, Gzip, b, 1<<20)
	if len(blob) < len(b) {
		t.Errorf("%d bytes of %d", len(blob), len(b))
	}
	if string(unpack(t, Gzip, blob)) != string(b) {
		t.Error("another stream came back")
	}
}

func TestEntropy(t *testing.T) {
	for _, c := range []struct {
		in   []byte
		want float64 // bytes
	}{
		{nil, 0}, {[]byte("aaaaaaaaa"), 0}, {[]byte("abababab"), 1}, {[]byte("abcdabcd"), 2}, {[]byte("abcde"), 5 * 2.321928094887362 / 8},
	} {
		if got := entropy(c.in); got < c.want-1e-9 || got > c.want+1e-9 {
			t.Errorf("%q: %v, want %v", c.in, got, c.want)
		}
	}
}
