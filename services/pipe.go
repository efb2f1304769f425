package services

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize = 64 << 10
	lineMost = 16 << 10               // a longer line is cut in pieces of this size
	lineWait = 200 * time.Millisecond // after which an unfinished line, such as a prompt, is shown
)

// readBuffers are shared by all pipes: one is held only while there is something to read.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// pipe carries what one service writes, over all its runs.
type pipe struct {
	r, w    *os.File
	name    string
	journal *Journal
	partial []byte // of the last line
}

// open makes the pipe of a service and reads it until the program ends.
func (j *Journal) open(name string) (*pipe, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	// Only our end: the service must find an ordinary blocking pipe.
	if err := unix.SetNonblock(p[0], true); err != nil {
		return nil, errors.Join(err, unix.Close(p[0]), unix.Close(p[1]))
	}
	pp := &pipe{r: os.NewFile(uintptr(p[0]), name), w: os.NewFile(uintptr(p[1]), name), name: name, journal: j}
	go pp.run()
	return pp, nil
}

// run reads for ever: the supervisor holds the write end, so there is no end of file.
func (p *pipe) run() {
	defer recoveredQuietly()
	conn, err := p.r.SyscallConn()
	if err != nil {
		return
	}
	for {
		var buf *[readSize]byte
		var n int
		var readErr error
		err := conn.Read(func(fd uintptr) bool {
			buf = readBuffers.Get().(*[readSize]byte)
			n, readErr = unix.Read(int(fd), buf[:])
			if readErr == unix.EAGAIN {
				readBuffers.Put(buf)
				return false
			}
			return true
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.flush()
		case err != nil:
			return
		default:
			p.take(buf[:max(n, 0)])
			readBuffers.Put(buf)
		}
	}
}

// take splits what was read into lines and keeps the unfinished rest.
func (p *pipe) take(b []byte) {
	at := time.Now()
	var lines []string
	for len(b) > 0 {
		part, rest, whole := bytes.Cut(b, []byte("\n"))
		if room := lineMost - len(p.partial); len(part) > room {
			part, rest, whole = part[:room], b[room:], true
		}
		p.partial = append(p.partial, part...)
		if b = rest; whole {
			lines = append(lines, string(p.partial))
			p.partial = p.partial[:0]
		}
	}
	if len(lines) > 0 {
		p.journal.add(p.name, at, lines...)
	}
	var until time.Time
	if len(p.partial) > 0 {
		until = at.Add(lineWait)
	}
	_ = p.r.SetReadDeadline(until) // the pipe is pollable: it cannot fail
}

// flush shows the unfinished line.
func (p *pipe) flush() {
	if len(p.partial) > 0 {
		p.journal.add(p.name, time.Now(), strings.TrimRight(string(p.partial), "\r"))
		p.partial = p.partial[:0]
	}
	_ = p.r.SetReadDeadline(time.Time{})
}

func recoveredQuietly() { _ = recover() }
