package services

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize = 64 << 10
	lineWait = 200 * time.Millisecond // after which an unfinished line, such as a prompt, is shown

	pipeSize  = 64 << 10 // as the kernel makes it
	pipeGrown = 1 << 20  // where there is much to read; the most that needs no privilege
	pipeQuiet = 10 * time.Second

	// gather is how long a service that has just written is left to write more.
	gather     = time.Millisecond
	muchAtOnce = pipeGrown / 4 // in that time: it is not left to write more
	drainWait  = 10 * time.Millisecond
)

// pipe carries what one service writes, over all its runs. Its goroutine owns the
// fields that are not atomic.
type pipe struct {
	w       int // for the service's first process; -1: another is opened
	fd      int // where we read
	name    string
	journal *Journal
	file    *logFile // nil: none
	raw     *logFile // nil: none

	rest   []byte // of the last line
	head   []byte // what stands before the text of a line that came at headAt
	shown  []byte // the same for an output of another form
	headAt int64  // ms since 1970
	grown  bool   // to pipeGrown
	timer  *time.Timer

	started sync.Once
	ready   chan struct{}
	drains  chan chan struct{}
	closed  chan struct{}
	busy    atomic.Bool // read something that is not in the journal yet
	open    atomic.Bool // rest is not empty
	hung    atomic.Bool // nobody can write: writer has to arm the pipe
	watcher atomic.Pointer[watcher]
}

// open makes the pipe of a service and reads it until the program ends. location
// is a file that gets the bytes as they came, or "".
func (j *Journal) open(name, location string) (*pipe, error) {
	fd, w, err := newPipe()
	if err != nil {
		return nil, fmt.Errorf("opening the pipe for the output: %w", err)
	}
	p := &pipe{
		fd: fd, w: w, name: name, journal: j, file: j.newFile(name),
		ready: make(chan struct{}, 1), drains: make(chan chan struct{}, 1), closed: make(chan struct{}),
	}
	if location != "" {
		p.raw = &logFile{journal: j, path: location, raw: true}
	}
	if err := j.poller.add(j, p); err != nil {
		return nil, errors.Join(err, unix.Close(p.fd), p.closeWriter())
	}
	return p, nil
}

// newPipe makes a pipe; who reads does not wait, who writes does.
func newPipe() (r, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return -1, -1, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return fds[0], fds[1], nil
}

func descriptorPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// reopens says whether the write end of a pipe can be had again from its read end.
var reopens = sync.OnceValue(func() bool { return unix.Access("/proc/self/fd", unix.X_OK) == nil })

// writer is the end that a process of the service gets; release closes our copy.
// We keep the read end alone: each descriptor that init holds has to be closed in
// each child that it forks, which with a thousand services takes longer than all
// the rest of a start. Only without a /proc to open it by the write end stays open.
func (p *pipe) writer() (w int, release func(), err error) {
	switch {
	case p.w < 0:
		if w, err = unix.Open(descriptorPath(p.fd), unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
			return -1, nil, fmt.Errorf("opening the pipe for the output: %w", err)
		}
		if p.hung.Swap(false) {
			_ = p.journal.poller.arm(p) // cannot fail: it is watched
		}
	case reopens():
		w, p.w = p.w, -1
	default:
		return p.w, func() {}, nil
	}
	return w, func() { _ = unix.Close(w) }, nil
}

// parked says whether nobody can write any more, and leaves it to writer then to
// arm the pipe: the kernel tells of the end of a pipe again and again.
func (p *pipe) parked() bool {
	p.hung.Store(true)
	state := []unix.PollFd{{Fd: int32(p.fd)}}
	if n, err := unix.Poll(state, 0); err == nil && n == 1 && state[0].Revents&unix.POLLHUP != 0 {
		return true
	}
	p.hung.Store(false) // somebody has just been given the write end
	return false
}

func (p *pipe) closeWriter() error {
	if p.w < 0 {
		return nil
	}
	w := p.w
	p.w = -1
	return unix.Close(w)
}

// start starts the goroutine, which a service that never writes does without.
func (p *pipe) start() { p.started.Do(func() { go p.serve() }) }

// wake makes the goroutine read.
func (p *pipe) wake() {
	p.start()
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// serve reads until the pipe is closed; its end of file means nothing, since the
// service may be started again.
func (p *pipe) serve() {
	defer recoveredQuietly()
	p.timer = time.NewTimer(time.Hour)
	p.timer.Stop()
	for p.read() {
	}
	p.journal.poller.remove(p)
	_ = unix.Close(p.fd) // of a pipe it cannot fail
	p.file.close()
	p.raw.close()
}

// close ends the reading once what is in the pipe has been read; a process that
// still writes gets SIGPIPE.
func (p *pipe) close() {
	_ = p.closeWriter()
	close(p.closed)
	p.start()
}

// read returns false when reading cannot go on. A bug costs some lines: if it
// ended the reading, the service would hang once the pipe is full.
func (p *pipe) read() (more bool) {
	defer func() {
		if r := recover(); r != nil {
			p.rest, more = nil, true
			p.journal.add(initName, time.Now(), fmt.Sprintf("BUG: panic while reading what %s writes: %v", p.name, r))
		}
	}()
	var last time.Time
	for p.journal.poller.arm(p) == nil {
		var done chan struct{}
		p.schedule()
		select {
		case <-p.ready:
			n := 0
			if time.Since(last) < 2*gather {
				n, done = p.gather()
			} else {
				n = p.empty()
			}
			last = time.Now()
			if n >= muchAtOnce {
				last = time.Time{} // a pause would let the pipe become full
			}
		case done = <-p.drains:
			p.empty()
		case <-p.closed:
			p.empty()
			p.finish()
			return false
		case <-p.timer.C:
			if len(p.rest) == 0 {
				_, _ = unix.FcntlInt(uintptr(p.fd), unix.F_SETPIPE_SZ, pipeSize) // give the memory back
				p.grown = false
			}
			p.finish()
		}
		if done != nil {
			p.finish()
			close(done)
		}
	}
	return false
}

// schedule sets the timer to what is due while nothing comes.
func (p *pipe) schedule() {
	switch {
	case len(p.rest) > 0:
		p.timer.Reset(lineWait)
	case p.grown:
		p.timer.Reset(pipeQuiet)
	default:
		p.timer.Stop()
	}
}

// gather reads what a busy service writes in steps of time, unarmed, until nothing
// more comes or there is too much to wait. It also ends for one who drains. It
// returns how much was read last.
func (p *pipe) gather() (int, chan struct{}) {
	for {
		p.timer.Reset(gather)
		select {
		case <-p.timer.C:
		case done := <-p.drains:
			return p.empty(), done
		}
		if n := p.empty(); n == 0 || n >= muchAtOnce {
			return n, nil
		}
	}
}

// empty takes what the pipe has, but not more than it can hold, and returns how
// much that was.
func (p *pipe) empty() int {
	p.busy.Store(true)
	b := buffers.Get().(*buffer)
	total := 0
	for total < pipeGrown {
		had := copy(b.in[:], p.rest)
		n, err := unix.Read(p.fd, b.in[had:had+readSize])
		if err == unix.EINTR {
			continue
		}
		if n > 0 {
			total += n
			p.take(b, had, had+n)
		}
		if n < readSize {
			break
		}
	}
	buffers.Put(b)
	if total >= pipeSize/2 && !p.grown {
		// Where the user's share of pipe memory is used up it stays as it is.
		_, _ = unix.FcntlInt(uintptr(p.fd), unix.F_SETPIPE_SZ, pipeGrown)
		p.grown = true
	}
	p.open.Store(len(p.rest) > 0)
	p.busy.Store(false)
	return total
}

// drain waits until what the pipe holds now is in the journal, an unfinished line
// too: the last words of a process that has ended. It gives up after 10 ms, since a
// process that lives on may write faster than anybody reads.
func (p *pipe) drain() {
	if !p.holds() {
		return
	}
	timer := time.NewTimer(drainWait)
	defer timer.Stop()
	done := make(chan struct{})
	p.start()
	select {
	case p.drains <- done:
	case <-timer.C:
		return
	}
	select {
	case <-done:
	case <-timer.C:
	}
}

// holds says whether there is something that is not in the journal yet.
func (p *pipe) holds() bool {
	waiting, err := unix.IoctlGetInt(p.fd, unix.TIOCINQ)
	return err == nil && waiting > 0 || p.busy.Load() || p.open.Load()
}

// watch calls found once, on the goroutine of the pipe, when a text is written
// from now on. It replaces what was watched for before; "" ends that.
func (p *pipe) watch(text string, found func()) {
	if text == "" {
		p.watcher.Store(nil)
		return
	}
	p.watcher.Store(&watcher{text: []byte(text), found: found})
}

// watcher looks for a text in a stream.
type watcher struct {
	text  []byte
	found func()
	tail  []byte // the latest bytes, fewer than the text has
}

func (w *watcher) sees(b []byte) bool {
	keep := len(w.text) - 1
	seam := append(w.tail, b[:min(keep, len(b))]...)
	if bytes.Contains(seam, w.text) || bytes.Contains(b, w.text) {
		return true
	}
	if len(b) >= keep {
		seam = b
	}
	w.tail = slices.Clone(seam[max(0, len(seam)-keep):])
	return false
}

func recoveredQuietly() { _ = recover() }
