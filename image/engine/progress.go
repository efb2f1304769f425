package engine

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress tells a person which layers travel. Its methods may be called by several
// goroutines, and on a nil Progress, which is silent.
type Progress struct {
	mu     sync.Mutex
	w      io.Writer
	redraw bool // a terminal: one line that is written again and again
	layers int
	began  time.Time
	drawn  time.Time
	open   map[string]bool // the layers under way
	done   int
	sent   int64
}

// NewProgress reports on layers, so many in all, to w: by one line that changes where w
// is a terminal, and by a line for each layer otherwise.
func NewProgress(w io.Writer, terminal bool, layers int) *Progress {
	return &Progress{w: w, redraw: terminal, layers: layers, began: time.Now(), open: map[string]bool{}}
}

// redrawn is how often the line of a terminal changes at most.
const redrawn = 100 * time.Millisecond

func (p *Progress) start(name string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[name] = true
	p.draw(false)
}

func (p *Progress) add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent += int64(n)
	p.draw(false)
}

func (p *Progress) end(name string, size int64, err error) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, name)
	if err != nil {
		return
	}
	p.done++
	if p.redraw {
		p.draw(true)
		return
	}
	fmt.Fprintf(p.w, "sent layer %s (%s)\n", name, Bytes(size))
}

// draw writes the line of a terminal.
func (p *Progress) draw(now bool) {
	if !p.redraw || !now && time.Since(p.drawn) < redrawn {
		return
	}
	p.drawn = time.Now()
	rate := int64(float64(p.sent) / max(time.Since(p.began).Seconds(), 0.001))
	name := ""
	for n := range p.open {
		if name == "" || n < name {
			name = n
		}
	}
	fmt.Fprintf(p.w, "\r\033[K%d of %d layers, %s, %s/s  %.40s", p.done, p.layers, Bytes(p.sent), Bytes(rate), name)
}

// Finish takes the line off a terminal, and returns what was sent: layers and bytes.
func (p *Progress) Finish() (layers int, bytes int64) {
	if p == nil {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.redraw && !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\033[K")
	}
	p.drawn = time.Time{}
	return p.done, p.sent
}

// watch passes on to w and counts.
func (p *Progress) watch(w io.Writer) io.Writer { return counter{w, p} }

type counter struct {
	w io.Writer
	p *Progress
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.p.add(n)
	return n, err
}

// Bytes is a number of bytes for people.
func Bytes(n int64) string {
	f, units := float64(n), []string{"B", "kB", "MB", "GB", "TB"}
	for f >= 999.5 && len(units) > 1 {
		f, units = f/1000, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", f, units[0])
}
