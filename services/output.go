package services

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// outputBytes is how much may wait for a container's output that is not being
// read (a paused docker attach, a full disk behind the log driver).
const outputBytes = 1 << 20

// output writes lines in the background and drops them, counted, when nobody takes them.
type output struct {
	w       io.Writer
	format  Format
	queue   chan chunk
	queued  atomic.Int64 // bytes
	dropped atomic.Int64 // lines
}

type chunk struct {
	text []byte
	done chan struct{} // of a flush: closed once all before it has been written
}

func newOutput(w io.Writer, f Format) *output {
	o := &output{w: w, format: f, queue: make(chan chunk, 1024)}
	go o.run()
	return o
}

func (o *output) run() {
	defer func() { _ = recover() }() // a writer that panics has nowhere to say so
	for c := range o.queue {
		if c.done != nil {
			close(c.done)
			continue
		}
		_, _ = o.w.Write(c.text) // an output that fails is as good as one that is not read
		o.queued.Add(int64(-len(c.text)))
		if n := o.dropped.Swap(0); n > 0 {
			_, _ = o.w.Write(o.encode("init", time.Now(), []string{fmt.Sprintf("%d lines are missing here: nobody read this output", n)}))
		}
	}
}

func (o *output) write(service string, at time.Time, texts []string) {
	b := o.encode(service, at, texts)
	if o.queued.Load() > outputBytes {
		o.dropped.Add(int64(len(texts)))
		return
	}
	o.queued.Add(int64(len(b)))
	select {
	case o.queue <- chunk{text: b}:
	default:
		o.queued.Add(int64(-len(b)))
		o.dropped.Add(int64(len(texts)))
	}
}

func (o *output) flush(within time.Duration) {
	done := make(chan struct{})
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case o.queue <- chunk{done: done}:
	case <-timer.C:
		return
	}
	select {
	case <-done:
	case <-timer.C:
	}
}

// stamp is the time on a line: RFC 3339 in UTC with milliseconds, of one width.
const stamp = "2006-01-02T15:04:05.000Z"

func (o *output) encode(service string, at time.Time, texts []string) []byte {
	var b bytes.Buffer
	for _, text := range texts {
		if o.format == JSON {
			line, _ := json.Marshal(struct {
				Time    string `json:"time"`
				Service string `json:"service"`
				Text    string `json:"text"`
			}{at.UTC().Format(stamp), service, text}) // strings always encode
			b.Write(line)
		} else {
			b.WriteString(Line{Time: at, Service: service, Text: text}.String())
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func sortLines(lines []Line) {
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Seq, b.Seq) })
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
	w.j.add("init", time.Now(), strings.Split(strings.TrimRight(string(b), "\n"), "\n")...)
	return len(b), nil
}

func (w initWriter) Sync() error { return nil }
