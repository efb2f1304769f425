package services

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// How often a file that cannot be written is tried again, and how often that is
// said: at once, after a minute, then in growing intervals, since a read-only root
// stays one.
const (
	fileRetry    = time.Second
	sayAgain     = time.Minute
	sayAgainMost = time.Hour
)

// logFile is the file of one name. It belongs to one goroutine. Nothing is ever
// synced: what the kernel has survives the end of every process.
type logFile struct {
	journal *Journal
	path    string
	raw     bool  // another program may read it: it gets no line of ours
	most    int64 // bytes, then the next file is begun; 0: no limit
	count   int   // files, this one among them

	f      *os.File // nil: not open
	size   int64
	old    []int // numbers of the older files, oldest first
	err    error // why it cannot be written; nil: it can
	failed time.Time
	lost   int // lines, since the file was told of some
	missed int // lines, since it cannot be written
}

// Write takes whole lines (those of a raw file: anything). It never fails: lines
// that cannot be written are counted, and said once others can.
func (l *logFile) Write(b []byte) (int, error) {
	if l.err != nil && time.Since(l.failed) < fileRetry {
		l.lose(b)
		return len(b), nil
	}
	rest, err := l.put(b)
	if err != nil {
		l.fail(err)
		l.lose(rest)
	}
	return len(b), nil
}

var newline = []byte("\n")

func (l *logFile) lose(b []byte) {
	n := bytes.Count(b, newline)
	l.lost, l.missed = l.lost+n, l.missed+n
}

// put writes, and returns what it could not write.
func (l *logFile) put(b []byte) ([]byte, error) {
	if l.f == nil {
		if err := l.open(); err != nil {
			return b, err
		}
	}
	if l.err != nil {
		note := formText.line(nil, initName, time.Now(), missing(l.lost, l.err.Error()))
		if l.raw || l.lost == 0 {
			note = nil
		}
		if _, err := l.fit(note); err != nil {
			return b, err
		}
		l.lost = 0
	}
	rest, err := l.fit(b)
	if err == nil && l.err != nil { // a full disk has room for a note, and no more
		l.journal.trouble.over(l.journal, l)
		l.err, l.missed = nil, 0
	}
	return rest, err
}

// fit writes to as many files as it takes; lines are never torn.
func (l *logFile) fit(b []byte) ([]byte, error) {
	for len(b) > 0 {
		part := b
		if l.most > 0 && l.size+int64(len(b)) > l.most {
			part = b[:bytes.LastIndexByte(b[:max(0, l.most-l.size)], '\n')+1]
			switch {
			case len(part) == 0 && l.size > 0:
				if err := l.rotate(); err != nil {
					return b, err
				}
				continue
			case len(part) == 0: // a line that is longer than a file may be
				part = b[:bytes.IndexByte(b, '\n')+1]
			}
		}
		n, err := l.f.Write(part)
		if err != nil {
			if !l.raw {
				n = bytes.LastIndexByte(part[:n], '\n') + 1
				_ = l.f.Truncate(l.size + int64(n)) // else the file has a torn line
			}
			return b[n:], err
		}
		l.size += int64(n)
		b = b[n:]
	}
	return nil, nil
}

// open appends to the file of an earlier run.
func (l *logFile) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	// O_NONBLOCK: opening a named pipe must not wait for its reader.
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o644)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil && st.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0 {
		err = fmt.Errorf("%s is no file but %v", l.path, st.Mode())
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.size = f, st.Size()
	if l.most > 0 && l.old == nil {
		l.old = oldFiles(filepath.Dir(l.path))
	}
	return nil
}

// oldFiles are the numbers of the files that were current once, oldest first.
func oldFiles(dir string) []int {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it can be written, if not read
	}
	var old []int
	for _, e := range entries {
		if digits, ok := strings.CutSuffix(e.Name(), ".log"); ok {
			if n, err := strconv.Atoi(digits); err == nil && n > 0 && e.Name() == oldName(n) {
				old = append(old, n)
			}
		}
	}
	slices.Sort(old)
	return old
}

// oldName has a number and no time: the clock of a rented machine may jump.
func oldName(n int) string { return fmt.Sprintf("%08d.log", n) }

// rotate gives the file its number, begins another, and removes those over the limit.
func (l *logFile) rotate() error {
	dir, next := filepath.Dir(l.path), 1
	if len(l.old) > 0 {
		next = l.old[len(l.old)-1] + 1
	}
	// Somebody may have removed the file, which is no reason to stop.
	if err := os.Rename(l.path, filepath.Join(dir, oldName(next))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.old = append(l.old, next)
	for len(l.old) > max(0, l.count-1) {
		if err := os.Remove(filepath.Join(dir, oldName(l.old[0]))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		l.old = slices.Delete(l.old, 0, 1)
	}
	err := l.f.Close() // nothing was buffered
	l.f = nil
	if err != nil {
		return err
	}
	return l.open()
}

// fail closes the file until the next try.
func (l *logFile) fail(err error) {
	l.close()
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	l.err, l.failed = err, time.Now()
	l.journal.trouble.tell(l.journal, l)
}

// close lets go of the file; nil has none.
func (l *logFile) close() {
	if l != nil && l.f != nil {
		_ = l.f.Close() // nothing was buffered
		l.f = nil
	}
}

// trouble is what init has said about files that cannot be written: one line for
// all of them.
type trouble struct {
	mu     sync.Mutex
	said   time.Time
	again  time.Duration // until it is said again
	active bool          // it is the last that was said
}

func (t *trouble) tell(j *Journal, l *logFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.again > 0 && time.Since(t.said) < t.again {
		return
	}
	t.active = true
	t.said, t.again = time.Now(), max(sayAgain, min(2*t.again, sayAgainMost))
	j.add(initName, t.said, fmt.Sprintf("warn: writing the log file %s: %v; lines are kept in memory only, and the file is tried again", l.path, l.err))
}

func (t *trouble) over(j *Journal, l *logFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return
	}
	t.active = false
	t.again = min(t.again, sayAgain)
	j.add(initName, time.Now(), fmt.Sprintf("the log file %s is written again; %d lines are missing in it", l.path, l.missed))
}
