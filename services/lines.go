package services

import (
	"bytes"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	textSize = 96 << 10
	lineMost = 16 << 10 // a longer line is cut in pieces of this size
)

// buffer is what one read and its lines take. A pipe holds one only while there
// is something to read.
type buffer struct {
	in    [lineMost + readSize]byte
	text  []byte // for the file and, mostly, the output
	shown []byte // for an output of another form
	parts [][]byte
}

var buffers = sync.Pool{New: func() any { return &buffer{text: make([]byte, 0, textSize)} }}

// finish shows the unfinished line.
func (p *pipe) finish() {
	if len(p.rest) == 0 {
		return
	}
	b := buffers.Get().(*buffer)
	n := copy(b.in[:], p.rest)
	b.in[n] = '\n'
	p.rest = p.rest[:0]
	p.lines(b, b.in[:n+1])
	buffers.Put(b)
	p.open.Store(false)
}

// take handles the bytes of in up to end; those from had on are new.
func (p *pipe) take(b *buffer, had, end int) {
	if w := p.watcher.Load(); w != nil && w.sees(b.in[had:end]) && p.watcher.CompareAndSwap(w, nil) {
		w.found()
	}
	if p.raw != nil {
		_, _ = p.raw.Write(b.in[had:end]) // never fails
	}
	rest := p.lines(b, b.in[:end])
	p.rest = append(p.rest[:0], rest...)
	if len(rest) == 0 && cap(p.rest) > 4<<10 {
		p.rest = nil
	}
}

// lines hands all whole lines to the file, the output and the memory, and returns
// the unfinished rest. It is the one pass over the text; nothing is allocated.
func (p *pipe) lines(b *buffer, data []byte) []byte {
	at := time.Now()
	p.stamp(at)
	form, show := p.journal.form, true
	if form != formText {
		show = !p.journal.out.full(len(data))
	}
	b.text, b.shown, b.parts = b.text[:0], b.shown[:0], b.parts[:0]
	total, n, run := 0, 0, 0 // lines; of them in text; where the last part ends
	start := 0
	for start < len(data) {
		size := bytes.IndexByte(data[start:], '\n')
		next := start + size + 1
		if size > lineMost || size < 0 && len(data)-start > lineMost {
			size = runeStart(data[start:], lineMost)
			next = start + size
			b.parts = append(b.parts, data[run:next], newline)
			run = next
		} else if size < 0 {
			break
		}
		line := data[start : start+size]
		for len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		if len(b.text)+len(p.head)+len(line) >= textSize || len(b.shown)+len(p.shown)+form.most(len(line)) > 2*textSize {
			p.hand(b, n, show)
			n = 0
		}
		if p.file != nil || form == formText {
			b.text = append(append(append(b.text, p.head...), line...), '\n')
		}
		if form != formText && show {
			b.shown = form.finish(append(b.shown, p.shown...), line)
		}
		n++
		total++
		start = next
	}
	p.hand(b, n, show)
	if total > 0 {
		b.parts = append(b.parts, data[run:start])
		p.journal.book(p.name, at, total, b.parts...)
	}
	return data[start:]
}

// runeStart is the last index up to most at which no UTF-8 sequence is torn.
func runeStart(b []byte, most int) int {
	for i := most; i > most-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return most
}

// hand passes n formatted lines on.
func (p *pipe) hand(b *buffer, n int, show bool) {
	if n == 0 {
		return
	}
	if p.file != nil {
		_, _ = p.file.Write(b.text) // never fails
	}
	switch {
	case !show:
		p.journal.out.drop(n)
	case p.journal.form == formText:
		b.text = p.journal.out.offer(b.text, n)
	default:
		b.shown = p.journal.out.offer(b.shown, n)
	}
	b.text, b.shown = b.text[:0], b.shown[:0]
}

// stamp makes what stands before the text, unless it is the same as last time.
func (p *pipe) stamp(at time.Time) {
	if ms := at.UnixMilli(); ms != p.headAt {
		p.headAt = ms
		p.head = formText.head(p.head[:0], p.name, at)
		if p.journal.form != formText {
			p.shown = p.journal.form.head(p.shown[:0], p.name, at)
		}
	}
}
