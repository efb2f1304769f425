package services

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// initName is the name under which init's own lines are kept.
const initName = "init"

// Journal takes the lines of all services and of init itself. It keeps the latest
// in memory, writes all to a file per service, and copies them to the container's
// output. Nothing that happens to the files or the output stops a service.
type Journal struct {
	opts JournalOptions
	out  *output
	form form

	own     sync.Mutex // orders init's lines
	ownFile *output    // nil where there are no files

	mu      sync.Mutex
	seq     uint64
	rings   map[string]*ring
	size    int // of all rings' text
	changed chan struct{}
	waited  bool // somebody waits for changed

	trouble trouble
	poller  poller
}

// JournalOptions say where the lines go.
type JournalOptions struct {
	// Out is the container's output. It is written to in a goroutine of its own;
	// what it does not take in time is dropped, counted, and said there.
	Out io.Writer
	// Format is the form of the lines on Out; default: Text. The files are always Text.
	Format Format
	// NoColor leaves the names in one colour where Out is a terminal; see no-color.org.
	NoColor bool

	// Dir gets DIR/NAME/current and older files DIR/NAME/00000042.log: the higher the
	// number, the newer. "" writes no files. The directory is made when there is
	// something to write.
	Dir string
	// FileSize is the most bytes in a file, FileCount the number of files for one
	// name, current among them. Defaults: 1 MB, 10.
	FileSize  int64
	FileCount int
}

// Line is one line that a service wrote, without its line end. Seq counts the
// lines of all services. Time is exact to the millisecond.
type Line struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Text    string    `json:"text"`
}

func (l Line) String() string {
	return l.Time.UTC().Format(stamp) + " " + l.Service + " | " + l.Text
}

// NewJournal starts the goroutine that writes to the container's output.
func NewJournal(o JournalOptions) *Journal {
	o.FileSize = cmp.Or(o.FileSize, 1e6)
	o.FileCount = cmp.Or(o.FileCount, 10)
	j := &Journal{opts: o, rings: map[string]*ring{}, changed: make(chan struct{})}
	switch {
	case o.Format == JSON:
		j.form = formJSON
	case !o.NoColor && isTerminal(o.Out):
		j.form = formColor
	}
	j.out = newOutput(o.Out, func(b []byte, lines int) []byte {
		return j.form.line(b, initName, time.Now(), missing(lines, "nobody read this output"))
	})
	if f := j.newFile(initName); f != nil {
		// init's lines come from the goroutine that supervises: it must not wait for a disk.
		j.ownFile = newOutput(f, func(b []byte, lines int) []byte {
			return formText.line(b, initName, time.Now(), missing(lines, "the disk was too slow"))
		})
	}
	return j
}

// missing is the line that stands where others are not.
func missing(lines int, why string) []byte {
	return fmt.Appendf(nil, "%d lines are missing here: %s", lines, why)
}

// Flush waits until what has been written so far has left, at most for the time given.
func (j *Journal) Flush(within time.Duration) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	j.out.flush(timer.C)
	if j.ownFile != nil {
		j.ownFile.flush(timer.C)
	}
}

// add books lines that init itself says, under a name.
func (j *Journal) add(name string, at time.Time, texts ...string) {
	var raw, text, shown []byte
	for _, t := range texts {
		raw = append(append(raw, t...), '\n')
		shown = j.form.line(shown, name, at, []byte(t))
	}
	if j.ownFile != nil && name == initName {
		text = shown
		if j.form != formText || len(shown) >= outputSwap { // the output keeps a large one
			text = nil
			for _, t := range texts {
				text = formText.line(text, name, at, []byte(t))
			}
		}
	}
	j.own.Lock()
	defer j.own.Unlock()
	j.book(name, at, len(texts), raw)
	if text != nil {
		j.ownFile.offer(text, len(texts))
	}
	j.out.offer(shown, len(texts))
}

// book keeps n lines in memory; parts are their text, each line with its end.
func (j *Journal) book(name string, at time.Time, n int, parts ...[]byte) {
	total := 0
	for _, part := range parts {
		total += len(part)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.rings[name]
	if r == nil {
		r = &ring{}
		j.rings[name] = r
	}
	j.makeRoom(r, total)
	for _, part := range parts {
		r.write(part)
	}
	r.mark(j.seq+1, uint64(n), at.UnixMilli())
	j.seq += uint64(n)
	if j.waited {
		j.waited = false
		close(j.changed)
		j.changed = make(chan struct{})
	}
}

// Lines returns the lines with a higher Seq than after that are not older than
// since, of one service or, for "", of all, oldest first, the latest max of them
// (0: no limit). The channel is closed when there are more. ok is false for a
// service that never wrote.
func (j *Journal) Lines(service string, after uint64, since time.Time, max int) (lines []Line, more <-chan struct{}, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, r := range j.rings {
		if service == "" || service == name {
			ok = true
			lines = r.lines(lines, name, after, since)
		}
	}
	if service == "" {
		slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Seq, b.Seq) })
	}
	if max > 0 && len(lines) > max {
		lines = lines[len(lines)-max:]
	}
	j.waited = true
	return lines, j.changed, ok
}

// Logger is a logger whose lines go into the journal under the name init.
func (j *Journal) Logger(level zapcore.LevelEnabler) *zap.Logger {
	return zap.New(zapcore.NewCore(lineEncoder(), initWriter{j}, level))
}

// PlainLogger writes bare messages: those of a child of init, to which the
// journal adds time and name.
func PlainLogger(w io.Writer) *zap.Logger {
	return zap.New(zapcore.NewCore(lineEncoder(), zapcore.AddSync(w), zapcore.InfoLevel))
}

// lineEncoder writes the message, the level where it is worth a word, and the fields.
func lineEncoder() zapcore.Encoder {
	return zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		MessageKey: "message", LevelKey: "level", StacktraceKey: "stack", ConsoleSeparator: " ",
		EncodeLevel: func(l zapcore.Level, e zapcore.PrimitiveArrayEncoder) {
			if l != zapcore.InfoLevel {
				e.AppendString(l.String() + ":")
			}
		},
		EncodeDuration: zapcore.StringDurationEncoder,
	})
}

// initWriter turns what zap writes into lines of the journal.
type initWriter struct{ j *Journal }

func (w initWriter) Write(b []byte) (int, error) {
	w.j.add(initName, time.Now(), strings.Split(strings.TrimRight(string(b), "\n"), "\n")...)
	return len(b), nil
}

func (w initWriter) Sync() error { return nil }

// newFile is the file for one name, or nil where there are none.
func (j *Journal) newFile(name string) *logFile {
	if j.opts.Dir == "" {
		return nil
	}
	return &logFile{
		path: filepath.Join(j.opts.Dir, name, "current"), most: j.opts.FileSize, count: j.opts.FileCount, journal: j,
	}
}
