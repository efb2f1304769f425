package services

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// outputBytes is how much may wait for a container's output that is not being
	// read (a paused docker attach, a full disk behind the log driver).
	outputBytes = 512 << 10
	// outputPause is how long lines are gathered after others have just been
	// written: a wake-up a line would cost more than all the rest of it.
	outputPause = 2 * time.Millisecond
	// outputQuiet is after how long the buffers are let go.
	outputQuiet = 10 * time.Second
	// outputSoon is how much ends that pause, and how large a text must be to be
	// worth handing over instead of copying.
	outputSoon = 256 << 10
	outputSwap = 16 << 10
)

// output writes lines in the background and drops them, counted, when nobody takes them.
type output struct {
	w    io.Writer
	note func(b []byte, lines int) []byte // appends the line that tells of dropped ones
	wake chan struct{}
	soon chan struct{} // do not pause any longer

	mu       sync.Mutex
	waiting  batch
	spare    [][]byte // buffers to use again
	dropped  int      // lines since the newest that waits
	accepted uint64   // bytes
	done     uint64   // of them, written or given up
	progress chan struct{}
}

// batch is what waits together.
type batch struct {
	texts [][]byte
	size  int
	lines int
	told  int // lines that notes in it say are missing
}

func newOutput(w io.Writer, note func([]byte, int) []byte) *output {
	o := &output{w: w, note: note, wake: make(chan struct{}, 1), soon: make(chan struct{}, 1)}
	go o.serve()
	return o
}

// full tells, without a promise, whether offer would drop that many bytes.
func (o *output) full(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.room(size)
}

func (o *output) room(size int) bool {
	return o.waiting.size == 0 || o.waiting.size+size <= outputBytes
}

// drop counts lines that were not even offered.
func (o *output) drop(lines int) {
	o.mu.Lock()
	o.dropped += lines
	o.mu.Unlock()
}

// offer takes whole lines, or drops them where too much waits already. It may keep
// the buffer; the one that it returns is the caller's to use from then on.
func (o *output) offer(b []byte, lines int) []byte {
	if len(b) == 0 {
		return b
	}
	o.mu.Lock()
	if !o.room(len(b)) {
		o.dropped += lines
		o.mu.Unlock()
		return b
	}
	o.tell(&o.waiting)
	o.accepted += uint64(len(b))
	b = o.put(&o.waiting, b)
	o.waiting.lines += lines
	size := o.waiting.size
	o.mu.Unlock()
	wake := o.wake
	if size >= outputSoon {
		wake = o.soon
	}
	for _, c := range []chan struct{}{o.wake, wake} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	return b
}

// put adds text to a batch, a large one without a copy, and returns the buffer
// that is free then.
func (o *output) put(to *batch, b []byte) []byte {
	to.size += len(b)
	last := len(to.texts) - 1
	fits := last >= 0 && len(to.texts[last])+len(b) <= textSize
	if fits && len(b) < outputSwap {
		to.texts[last] = append(to.texts[last], b...)
		return b
	}
	var free []byte
	if n := len(o.spare); n > 0 {
		free = o.spare[n-1]
		o.spare = o.spare[:n-1]
	}
	if len(b) < outputSwap {
		to.texts = append(to.texts, append(free, b...))
		return b
	}
	to.texts = append(to.texts, b)
	if free == nil {
		free = make([]byte, 0, cap(b))
	}
	return free
}

// tell says in a batch what is missing behind it.
func (o *output) tell(b *batch) {
	if o.dropped > 0 {
		o.put(b, o.note(nil, o.dropped))
		b.told += o.dropped
		o.dropped = 0
	}
}

func (o *output) serve() {
	defer recoveredQuietly() // a writer that panics has nowhere to say so
	pause := time.NewTimer(time.Hour)
	for {
		select {
		case <-o.wake:
		case <-pause.C: // the flood is over
			o.mu.Lock()
			o.spare = nil
			o.mu.Unlock()
			continue
		}
		for o.pass() {
			pause.Reset(outputPause)
			select {
			case <-pause.C:
			case <-o.soon:
			}
		}
		pause.Reset(outputQuiet)
	}
}

// pass writes what waits and says whether there was something.
func (o *output) pass() bool {
	o.mu.Lock()
	b := o.waiting
	if b.size == 0 {
		o.mu.Unlock()
		return false
	}
	accepted := o.accepted
	o.waiting = batch{}
	o.tell(&b)
	o.mu.Unlock()

	unwritten := 0
	for _, text := range b.texts {
		n, err := o.w.Write(text)
		if err != nil { // an output that fails is as good as one that is not read
			unwritten += bytes.Count(text[max(n, 0):], newline)
		}
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	if unwritten > 0 {
		o.dropped += b.told + min(b.lines, unwritten)
	}
	for _, text := range b.texts {
		o.spare = append(o.spare, text[:0])
	}
	o.done = accepted
	if o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
	return true
}

// flush waits until all that was offered has been written, or for the timer.
func (o *output) flush(timer <-chan time.Time) {
	select {
	case o.soon <- struct{}{}:
	default:
	}
	o.mu.Lock()
	goal := o.accepted
	for o.done < goal {
		if o.progress == nil {
			o.progress = make(chan struct{})
		}
		progress := o.progress
		o.mu.Unlock()
		select {
		case <-progress:
		case <-timer:
			return
		}
		o.mu.Lock()
	}
	o.mu.Unlock()
}
