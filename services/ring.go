package services

import (
	"bytes"
	"math/bits"
	"time"
)

// How much of what services write is kept in memory, in bytes of text. Beside the
// text there are marks, at most one for markEvery bytes.
const (
	keepService = 256 << 10
	keepAll     = 8 << 20
	keepLeast   = 1 << 10
	markEvery   = 64
)

// ring holds the latest text of one service as it came, lines ending in "\n". It
// is cut into lines only when somebody reads it: a string a line would cost more
// than all the rest of the log.
type ring struct {
	text  []byte // the byte at position p is text[p % len(text)]
	start uint64 // position of the oldest byte kept
	end   uint64 // and behind the newest
	base  uint64 // where the oldest mark begins; less than start if that was cut
	marks []mark
	gone  int // marks at the front that are forgotten
}

// mark describes the lines that came at one time.
type mark struct {
	end  uint64 // the position behind them
	last uint64 // Seq of the last
	ms   int64  // when they came, since 1970
}

func (r *ring) write(b []byte) {
	if n := len(b) - len(r.text); n > 0 {
		r.end += uint64(n)
		b = b[n:]
	}
	if len(b) > 0 {
		n := copy(r.text[r.end%uint64(len(r.text)):], b)
		copy(r.text, b[n:])
	}
	r.end += uint64(len(b))
	if kept := uint64(len(r.text)); r.end-r.start > kept {
		r.start = r.end - kept
	}
}

// mark says that the text since the last mark is n lines, the first of which has a Seq.
func (r *ring) mark(seq, n uint64, ms int64) {
	live := r.marks[r.gone:]
	if k := len(live) - 1; k >= 0 && live[k].ms == ms && live[k].last+1 == seq {
		live[k].end, live[k].last = r.end, seq+n-1
	} else {
		if len(r.marks) == cap(r.marks) && r.gone > len(r.marks)/2 {
			r.marks = r.marks[:copy(r.marks, live)]
			r.gone = 0
		}
		r.marks = append(r.marks, mark{r.end, seq + n - 1, ms})
	}
	r.forget()
}

// forget drops the marks of text that is no longer there, and those over the limit.
func (r *ring) forget() {
	most := max(len(r.text)/markEvery, keepLeast/markEvery)
	for len(r.marks)-r.gone > 0 {
		oldest := r.marks[r.gone]
		if oldest.end > r.start && len(r.marks)-r.gone <= most {
			return
		}
		r.base = oldest.end
		r.start = max(r.start, r.base)
		r.gone++
	}
}

// resize gives the text another size and keeps the newest that fits.
func (r *ring) resize(size int) {
	text := r.bytes(r.start, r.end)
	r.text = make([]byte, size)
	r.end = r.start
	r.write(text)
	r.forget()
}

// bytes copies the text between two positions.
func (r *ring) bytes(from, to uint64) []byte {
	b := make([]byte, to-from)
	if len(b) > 0 {
		n := copy(b, r.text[from%uint64(len(r.text)):])
		copy(b[n:], r.text)
	}
	return b
}

// lines appends the lines with a higher Seq than after that are not older than since.
func (r *ring) lines(list []Line, service string, after uint64, since time.Time) []Line {
	from, oldest := r.base, since.UnixMilli()
	for _, m := range r.marks[r.gone:] {
		begin := from
		from = m.end
		if m.last <= after || m.ms < oldest {
			continue
		}
		text := r.bytes(max(begin, r.start), m.end)
		if begin < r.start { // its first line is not whole any more
			_, text, _ = bytes.Cut(text, []byte("\n"))
		}
		at := time.UnixMilli(m.ms)
		seq := m.last - uint64(bytes.Count(text, []byte("\n")))
		for len(text) > 0 {
			var line []byte
			line, text, _ = bytes.Cut(text, []byte("\n"))
			if seq++; seq > after {
				list = append(list, Line{seq, at, service, string(bytes.TrimRight(line, "\r"))})
			}
		}
	}
	return list
}

// makeRoom lets a ring grow for n bytes more, at the cost of the largest where
// all together have reached their limit.
func (j *Journal) makeRoom(r *ring, n int) {
	// A mark counts as much as the text that it stands for, so that short lines which
	// come one by one are not forgotten before the ring is as large as it may be.
	need := int(r.end-r.start) + n + markEvery*(len(r.marks)-r.gone+1)
	if need <= len(r.text) || len(r.text) == keepService {
		return
	}
	size := max(min(1<<bits.Len(uint(need-1)), keepService), keepLeast)
	for size > len(r.text) && j.size+size-len(r.text) > keepAll {
		largest := r
		for _, other := range j.rings {
			if len(other.text) > len(largest.text) {
				largest = other
			}
		}
		if len(largest.text) < size || largest == r {
			size /= 2
			continue
		}
		j.size -= len(largest.text) / 2
		largest.resize(len(largest.text) / 2)
	}
	if size > len(r.text) {
		j.size += size - len(r.text)
		r.resize(size)
	}
}
