package registry

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Progress tells a person how far a push is: on a terminal by one line that changes,
// elsewhere by a line at the start and at the end of each layer. A nil one says nothing.
type Progress struct {
	w     io.Writer
	width int
	now   func() time.Time

	mu            sync.Mutex
	start, drawn  time.Time
	layers, ready int
	total, done   int64
	line          bool // a line stands on the terminal
}

// redraw is how long a line on a terminal stands at least.
const redraw = 100 * time.Millisecond

// NewProgress writes to w, which is a terminal of that many columns, or none where they are 0.
func NewProgress(w io.Writer, columns int) *Progress {
	return &Progress{w: w, width: columns, now: time.Now}
}

// Note writes a line.
func (p *Progress) Note(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
	p.draw(true)
}

// expect says how much there is to send; the bytes may be a guess.
func (p *Progress) expect(layers int, bytes int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start.IsZero() {
		p.start = p.now()
	}
	p.layers += layers
	p.total += bytes
}

// begin says that a layer is being sent.
func (p *Progress) begin(name string) {
	if p != nil && p.width == 0 {
		p.Note("sending %s", name)
	}
}

// add counts bytes that have gone out.
func (p *Progress) add(n int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.draw(false)
}

// end says that a layer is there, by what means, and how large it is; guess is what was
// expected of it.
func (p *Progress) end(name, how string, size, guess int64) {
	if p == nil {
		return
	}
	if p.width == 0 {
		p.Note("%s %s, %s", how, name, Bytes(size))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += size - guess
	p.ready++
	p.draw(false)
}

// mounted says that a layer need not be sent.
func (p *Progress) mounted(name, from string, size int64) {
	if p != nil && p.width == 0 {
		p.Note("mounted %s from %s, %s", name, from, Bytes(size))
	}
}

// Close takes the line off the terminal.
func (p *Progress) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.layers = 0
}

func (p *Progress) clear() {
	if p.line {
		io.WriteString(p.w, "\r\x1b[K")
		p.line = false
	}
}

func (p *Progress) draw(now bool) {
	at := p.now()
	if p.width == 0 || p.layers == 0 || !now && at.Sub(p.drawn) < redraw {
		return
	}
	p.drawn, p.line = at, true
	io.WriteString(p.w, "\r"+p.text(at)+"\x1b[K")
}

// text is the line, no wider than the terminal.
func (p *Progress) text(at time.Time) string {
	part := 0.0
	if p.total > 0 {
		part = min(max(float64(p.done)/float64(p.total), 0), 1)
	}
	text := fmt.Sprintf(" %3.0f %%  %s of %s  layer %d of %d", part*100, Bytes(p.done), Bytes(p.total),
		min(p.ready+1, p.layers), p.layers)
	if spent := at.Sub(p.start).Seconds(); spent >= 1 && p.done > 0 {
		rate := float64(p.done) / spent
		left := time.Duration(max(float64(p.total-p.done), 0) / rate * float64(time.Second))
		text += fmt.Sprintf("  %s/s  %s left", Bytes(int64(rate)), left.Round(time.Second))
	}
	bar := min(p.width-1-len(text)-2, 40)
	if bar >= 8 {
		full := int(part * float64(bar))
		text = "[" + strings.Repeat("#", full) + strings.Repeat("-", bar-full) + "]" + text
	}
	return text[:min(len(text), max(p.width-1, 0))]
}

// Bytes is a size for people, in powers of 1000.
func Bytes(n int64) string {
	size, unit := float64(n), 0
	for ; size >= 999.5 && unit < 4; unit++ {
		size /= 1000
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.*f %cB", map[bool]int{true: 1, false: 0}[size < 99.95], size, " kMGT"[unit])
}
