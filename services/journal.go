package services

import (
	"io"
	"sync"
	"time"
)

// How much of what services write is kept in memory, in bytes of text.
const (
	keepService = 256 << 10
	keepAll     = 8 << 20
)

// Journal takes the lines of all services and of init itself, keeps the latest
// in memory and writes each to the container's output, prefixed with time and name.
type Journal struct {
	out *output

	mu      sync.Mutex
	seq     uint64
	rings   map[string]*ring
	size    int
	changed chan struct{}
}

// Line is one line that a service wrote. Seq counts the lines of all services.
type Line struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Text    string    `json:"text"`
}

func (l Line) String() string {
	return l.Time.UTC().Format(stamp) + " " + l.Service + " | " + l.Text
}

// ring holds the latest lines of one service, oldest first.
type ring struct {
	lines []Line
	size  int
}

// Format is the form of the lines on the container's output.
type Format string

// The formats: a line to read, or one JSON object a line.
const (
	Text Format = "text"
	JSON Format = "json"
)

// NewJournal writes to w, in its own goroutine: a reader that stalls blocks no service.
func NewJournal(w io.Writer, f Format) *Journal {
	j := &Journal{out: newOutput(w, f), rings: map[string]*ring{}, changed: make(chan struct{})}
	return j
}

// Flush waits until what has been written so far has left, at most for the time given.
func (j *Journal) Flush(within time.Duration) { j.out.flush(within) }

// add books lines that one service wrote at one time.
func (j *Journal) add(service string, at time.Time, texts ...string) {
	j.out.write(service, at, texts)
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.rings[service]
	if r == nil {
		r = &ring{}
		j.rings[service] = r
	}
	for _, text := range texts {
		j.seq++
		r.lines = append(r.lines, Line{j.seq, at, service, text})
		r.size += len(text)
		j.size += len(text)
	}
	j.shrink(r, keepService)
	if j.size > keepAll {
		largest := r
		for _, other := range j.rings {
			if other.size > largest.size {
				largest = other
			}
		}
		j.shrink(largest, largest.size-(j.size-keepAll)-keepService/4) // a bit more, to do this seldom
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// shrink forgets the oldest lines of a ring until it has at most size bytes, or
// one line.
func (j *Journal) shrink(r *ring, size int) {
	for len(r.lines) > 1 && r.size > size {
		r.size -= len(r.lines[0].Text)
		j.size -= len(r.lines[0].Text)
		r.lines[0] = Line{} // let the text go; append moves the slice on
		r.lines = r.lines[1:]
	}
}

// Lines returns the lines with a higher Seq than after, of one service or, for
// "", of all, oldest first, the latest max of them (0: no limit). The channel is
// closed when there are more. ok is false for a service that never wrote.
func (j *Journal) Lines(service string, after uint64, since time.Time, max int) (lines []Line, more <-chan struct{}, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, r := range j.rings {
		if service != "" && service != name {
			continue
		}
		ok = true
		i := len(r.lines)
		for i > 0 && r.lines[i-1].Seq > after && !r.lines[i-1].Time.Before(since) {
			i--
		}
		lines = append(lines, r.lines[i:]...)
	}
	sortLines(lines)
	if max > 0 && len(lines) > max {
		lines = lines[len(lines)-max:]
	}
	return lines, j.changed, ok
}
