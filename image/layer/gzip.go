package layer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
)

// gzipLevel is the level where none is chosen; any other goes the same way. It makes as much as
// skopeo's, which is 5, for less work. The matcher finds nothing in much of what CUDA's libraries
// are, packed code in which strings seldom come again, and stores that as it is. Where its bytes
// are so unequally frequent that Huffman's code alone takes a fifth off, that is taken; taken
// wherever it takes anything off, it would make an image with CUDA 3 % smaller, and its unpacking
// a fifth longer. By turns, alone, without digests and reading: MB, CPU seconds, and the seconds
// that Go's decoder, which is Docker's, needs to unpack it:
//
//	                          level 3          4              5              pgzip's 5
//	a 12th of CUDA's image    249, 2.0, 1.9    245, 2.4, 1.9  244, 2.9, 1.9  246, 4.5, 1.8
//	a Debian with Nix          81, 1.1, 0.9     80, 1.4, 0.9   78, 1.7, 0.9   78, 3.4, 0.9
const gzipLevel = 4

// A block is compressed by one processor, with the end of the one before as its dictionary.
// A piece is what the encoder has in mind at once.
const (
	gzipPiece  = 65535
	gzipBlock  = 16 * gzipPiece
	gzipWindow = 32 << 10
)

// What a stream begins with, RFC 1952: no name, no time, made by Unix. What ends it is an
// empty last block, the checksum and the size.
var (
	gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3}
	gzipLast = []byte{3, 0}
)

// gzipWriter compresses on all processors. The bytes depend on those written alone.
type gzipWriter struct {
	w     io.Writer
	level int
	block *gzipJob // being filled
	tail  []byte   // the last bytes of the block before
	queue []*gzipJob
	crc   uint32
	size  uint32
	began bool
	err   error
}

// gzipJob is a block on its way.
type gzipJob struct {
	level    int
	dict, in []byte
	out      bytes.Buffer
	err      error
	done     chan struct{}
}

// Encoders have tables of megabytes, blocks a megabyte: both are kept for the next one.
var (
	gzipJobs = sync.Pool{New: func() any { return &gzipJob{in: make([]byte, 0, gzipBlock)} }}
	matchers = flatePools()
	huffmans = flatePool(flate.HuffmanOnly)
)

// flatePools has one for each level; that of 0 is not used.
func flatePools() (pools [flate.BestCompression + 1]*sync.Pool) {
	for level := range pools {
		pools[level] = flatePool(level)
	}
	return pools
}

func flatePool(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		z, err := flate.NewWriter(nil, level)
		if err != nil {
			panic(err) // the level is a constant
		}
		return z
	}}
}

func (z *gzipWriter) Reset(w io.Writer) { *z = gzipWriter{w: w, level: z.level} }

func (z *gzipWriter) Write(p []byte) (n int, err error) {
	z.crc = crc32.Update(z.crc, crc32.IEEETable, p)
	z.size += uint32(len(p))
	for len(p) > 0 && z.err == nil {
		if z.block == nil {
			z.block = gzipJobs.Get().(*gzipJob)
		}
		k := min(len(p), gzipBlock-len(z.block.in))
		z.block.in = append(z.block.in, p[:k]...)
		n, p = n+k, p[k:]
		if len(z.block.in) == gzipBlock {
			z.begin()
		}
	}
	return n, z.err
}

// begin has a block compressed, and waits for the oldest one where there are enough.
func (z *gzipWriter) begin() {
	b := z.block
	z.block = nil
	b.dict = append(b.dict[:0], z.tail...)
	z.tail = append(z.tail[:0], b.in[max(0, len(b.in)-gzipWindow):]...)
	b.level, b.done = z.level, make(chan struct{})
	go b.run()
	z.queue = append(z.queue, b)
	for len(z.queue) > runtime.GOMAXPROCS(0) {
		z.take()
	}
}

// take writes the oldest block.
func (z *gzipWriter) take() {
	b := z.queue[0]
	z.queue = z.queue[1:]
	<-b.done
	if z.err == nil && !z.began {
		_, z.err = z.w.Write(gzipHead)
		z.began = true
	}
	if z.err == nil {
		z.err = b.err
	}
	if z.err == nil {
		_, z.err = z.w.Write(b.out.Bytes())
	}
	b.in, b.err = b.in[:0], nil
	b.out.Reset()
	gzipJobs.Put(b)
}

// Close writes what is left and the end of the stream. In any case it ends all work.
func (z *gzipWriter) Close() error {
	if z.block != nil || !z.began && len(z.queue) == 0 {
		if z.block == nil {
			z.block = gzipJobs.Get().(*gzipJob)
		}
		z.begin()
	}
	for len(z.queue) > 0 {
		z.take()
	}
	if z.err != nil {
		return z.err
	}
	end := binary.LittleEndian.AppendUint32(bytes.Clone(gzipLast), z.crc)
	_, z.err = z.w.Write(binary.LittleEndian.AppendUint32(end, z.size))
	if z.err != nil {
		return z.err
	}
	z.err = errClosed
	return nil
}

var errClosed = errors.New("the stream has ended")

// run compresses the block, piece by piece. What the matcher made of a piece may be
// replaced: what follows refers to its bytes, however they were coded.
func (b *gzipJob) run() {
	defer close(b.done)
	defer func() {
		if r := recover(); r != nil {
			b.err = fmt.Errorf("compressing: %v", r)
		}
	}()
	z := matchers[b.level].Get().(*flate.Writer)
	z.ResetDict(&b.out, b.dict)
	for in := b.in; len(in) > 0 && b.err == nil; {
		piece := in[:min(gzipPiece, len(in))]
		in = in[len(piece):]
		before := b.out.Len()
		_, err := z.Write(piece)
		if b.err = errors.Join(err, z.Flush()); b.err == nil && huffmanPays(piece, b.out.Len()-before) {
			b.out.Truncate(before)
			b.err = b.huffman(piece)
		}
	}
	matchers[b.level].Put(z)
}

func (b *gzipJob) huffman(piece []byte) error {
	h := huffmans.Get().(*flate.Writer)
	defer huffmans.Put(h)
	h.Reset(&b.out)
	_, err := h.Write(piece)
	return errors.Join(err, h.Flush())
}

// huffmanTable is about what a table of codes takes, and what they are longer than the
// entropy, in bytes. huffmanShare is the most that they may take of what the matcher makes:
// whoever pulls the image reads a code for each byte, several times as slowly as bytes that are
// stored, and docker unpacks one layer after the other, mostly more slowly than it gets them.
const (
	huffmanTable = 300
	huffmanShare = 0.8
)

// huffmanPays says whether Huffman's code alone is to replace the bytes that the matcher made
// of a piece. Where it made less than half of it, there were strings.
func huffmanPays(piece []byte, made int) bool {
	return made > len(piece)/2 && entropy(piece) < huffmanShare*float64(made)-huffmanTable
}

// entropy is the least length of the bytes where each is coded by itself, in bytes.
func entropy(p []byte) float64 {
	var counts [4][256]uint32 // four, since one would be written to again too soon
	n := float64(len(p))
	for ; len(p) >= 4; p = p[4:] {
		counts[0][p[0]]++
		counts[1][p[1]]++
		counts[2][p[2]]++
		counts[3][p[3]]++
	}
	for _, b := range p {
		counts[0][b]++
	}
	bits := 0.0
	for i := range 256 {
		if c := float64(counts[0][i] + counts[1][i] + counts[2][i] + counts[3][i]); c > 0 {
			bits += c * math.Log2(n/c)
		}
	}
	return bits / 8
}
