package services

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func kept(j *Journal, name string) []string {
	var list []string
	lines, _, _ := j.Lines(name, 0, time.Time{}, 0)
	for _, l := range lines {
		list = append(list, l.Text)
	}
	return list
}

func TestDrainHasTheLastWords(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, "")
	for i := range 500 {
		write(t, p, fmt.Sprint("one\npanic: ", i)) // without a line end
		start := time.Now()
		p.drain()
		if time.Since(start) >= drainWait { // the machine is busy: it may give up
			emptied(t, p)
		}
		if got := kept(j, "web"); len(got) != 2*i+2 || got[2*i+1] != fmt.Sprint("panic: ", i) {
			t.Fatalf("after the end of process %d there are %d lines", i, len(got))
		}
	}
	// One that writes for ever holds nobody up.
	cmd := exec.Command("yes")
	cmd.Stdout = end(t, p)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	untilText(t, t.Context(), j, "y")
	for range 10 {
		start := time.Now()
		p.drain()
		if took := time.Since(start); took > time.Second {
			t.Errorf("draining took %v", took)
		}
	}
}

func TestReadyLineIsFound(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, "")
	const text = "Uvicorn running on"
	for at := range len(text) + 1 {
		found := make(chan struct{}, 10)
		p.watch(text, func() { found <- struct{}{} })
		for _, part := range []string{"Uvicorn running", "\nINFO: " + text[:at], text[at:] + " port 80\n"} {
			if len(found) > 0 {
				t.Fatalf("found before it was written, cut at %d", at)
			}
			write(t, p, part)
			if at < len(text) || part != text[at:] {
				emptied(t, p)
			}
			if at == len(text) {
				break // it is whole in the second part
			}
		}
		if at == len(text) {
			write(t, p, text)
			emptied(t, p)
		}
		if len(found) != 1 {
			t.Fatalf("cut at %d it was found %d times", at, len(found))
		}
		write(t, p, text+"\n"+text+"\n")
		emptied(t, p)
		if len(found) != 1 {
			t.Fatalf("it was found again: %d times", len(found))
		}
	}
	p.watch(text, func() { t.Error("found after the watch was ended") })
	p.watch("", nil)
	write(t, p, text+"\n")
	emptied(t, p)
	// One letter at a time.
	found := false
	p.watch(text, func() { found = true })
	for _, c := range strings.Split("xx"+text, "") {
		write(t, p, c)
		for w, _ := unix.IoctlGetInt(p.fd, unix.TIOCINQ); w > 0 || p.busy.Load(); w, _ = unix.IoctlGetInt(p.fd, unix.TIOCINQ) {
			runtime.Gosched()
		}
	}
	emptied(t, p)
	if !found {
		t.Error("not found letter by letter")
	}
}

// TestPanicStopsNoReading: a bug in what is called costs lines and not the service.
func TestPanicStopsNoReading(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, "")
	p.watch("boom", func() { panic("on purpose") })
	write(t, p, "boom\n")
	for end := time.Now().Add(20 * time.Second); !said(j, "BUG: panic while reading what web writes: on purpose"); {
		if time.Now().After(end) {
			t.Fatal("nobody speaks of the bug")
		}
		runtime.Gosched()
	}
	write(t, p, "after\n")
	untilText(t, t.Context(), j, "after")
}

func TestBinaryFlood(t *testing.T) {
	var out bytes.Buffer
	j := NewJournal(JournalOptions{Out: &out, Format: JSON, Dir: t.TempDir()})
	p := openPipe(t, j, "")
	random := rand.New(rand.NewPCG(1, 2))
	flood := make([]byte, 3<<20)
	for i := range flood {
		flood[i] = byte(random.Uint32())
	}
	if _, err := end(t, p).Write(flood); err != nil {
		t.Fatal(err)
	}
	euros := strings.Repeat("€", lineMost) // does not fit the size of a piece
	write(t, p, "\n"+euros+"\n")
	emptied(t, p)
	j.Flush(10 * time.Second)
	n := 0
	for line := range bytes.Lines(out.Bytes()) {
		var l struct{ Text string }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		n++
	}
	got := kept(j, "web")
	if n < 10 || len(got) < 5 || strings.Join(got[len(got)-4:], "") != euros {
		t.Fatalf("%d lines on the output, %d in memory", n, len(got))
	}
	for _, piece := range got[len(got)-4:] {
		if !utf8.ValidString(piece) || len(piece) > lineMost {
			t.Errorf("a piece of %d bytes: a character is torn", len(piece))
		}
	}
}

// TestClosedOutput: a service that closes its stdout costs no processor time, and
// what it starts later can still be read.
func TestClosedOutput(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, "")
	cmd := exec.Command("/bin/sh", "-c", "echo hello; exec >&- 2>&-; exec sleep 0.5")
	cmd.Stdout = end(t, p)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	untilText(t, t.Context(), j, "hello")
	before := cpuTime(t)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if used := cpuTime(t) - before; used > 0.1 {
		t.Errorf("half a second with a closed stdout cost %.3f s of processor time", used)
	}
	write(t, p, "later\n")
	untilText(t, t.Context(), j, "later")
}

func TestClosedPipe(t *testing.T) {
	dir := t.TempDir()
	j := NewJournal(JournalOptions{Out: io.Discard, Dir: dir})
	for range 50 {
		p, err := j.open("web", filepath.Join(dir, "raw"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, p, "words\n")
		p.close()
	}
	for end := time.Now().Add(20 * time.Second); ; {
		j.poller.mu.Lock()
		left := len(j.poller.pipes)
		j.poller.mu.Unlock()
		if left == 0 && len(kept(j, "web")) == 50 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d pipes are left, %d lines were read", left, len(kept(j, "web")))
		}
		runtime.Gosched()
	}
}

// The end of a pipe that nobody writes to any more wakes once, and the next process
// of the service is read again.
func TestNextProcessIsRead(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, "")
	for i := range 100 {
		w, release, err := p.writer()
		if err != nil {
			t.Fatal(err)
		}
		if i%3 > 0 { // others never write
			if _, err := unix.Write(w, fmt.Appendln(nil, "process", i)); err != nil {
				t.Fatal(err)
			}
		}
		release()
		if i%3 == 1 { // the third comes at any moment
			continue
		}
		for end := time.Now().Add(20 * time.Second); !p.hung.Load(); runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("process %d has ended, and the pipe is still watched", i)
			}
		}
		if i%3 == 2 {
			untilText(t, t.Context(), j, fmt.Sprint("process ", i))
		}
	}
}

func TestPipeGrowsWithTrafficOnly(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, "")
	size := func() int {
		n, err := unix.FcntlInt(uintptr(p.fd), unix.F_GETPIPE_SZ, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	write(t, p, "little\n")
	emptied(t, p)
	if size() != pipeSize {
		t.Errorf("a pipe without traffic has %d bytes", size())
	}
	write(t, p, strings.Repeat("much\n", 100_000))
	emptied(t, p)
	if size() != pipeGrown {
		t.Errorf("a pipe with traffic has %d bytes", size())
	}
}

// TestSilentServicesCostLittle: neither a ring nor buffers, only a goroutine.
func TestSilentServicesCostLittle(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard, Dir: t.TempDir()})
	openPipe(t, j, "")
	used := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := used()
	const n = 200
	for range n {
		openPipe(t, j, "")
	}
	if each := int64(used()-before) / n; each > 10<<10 {
		t.Errorf("each silent service costs %d bytes", each)
	}
}

// TestShortLinesOneByOne: many short lines stay, however far apart they come.
func TestShortLinesOneByOne(t *testing.T) {
	j := NewJournal(JournalOptions{Out: io.Discard})
	for i := range 10_000 {
		j.book("web", time.UnixMilli(int64(i)), 1, []byte("tick\n"))
		if i%250 == 0 && i < keepService/markEvery {
			if n := len(kept(j, "web")); n != i+1 {
				t.Fatalf("%d of %d lines are kept", n, i+1)
			}
		}
	}
	if n := len(kept(j, "web")); n != keepService/markEvery {
		t.Errorf("%d lines are kept", n)
	}
}

// TestRingAgainstModel compares the ring with a list of lines.
func TestRingAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	j := NewJournal(JournalOptions{Out: io.Discard})
	var model []Line
	ms := int64(1_700_000_000_000)
	for step := range 20_000 {
		var parts [][]byte
		n := 1 + random.IntN(5)
		ms += int64(random.IntN(2))
		for range n {
			text := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(200))
			model = append(model, Line{uint64(len(model) + 1), time.UnixMilli(ms), "web", text})
			parts = append(parts, []byte(text), newline)
		}
		j.book("web", time.UnixMilli(ms), n, parts...)
		if step%500 > 0 && step < 19_990 {
			continue
		}
		got, _, _ := j.Lines("web", 0, time.Time{}, 0)
		if want := model[len(model)-len(got):]; len(got) < 500 && len(got) < len(model) || !slices.Equal(got, want) {
			t.Fatalf("step %d: %d lines differ from the model's", step, len(got))
		}
		since := got[len(got)/2].Time
		i := slices.IndexFunc(got, func(l Line) bool { return !l.Time.Before(since) })
		if late, _, _ := j.Lines("web", 0, since, 0); !slices.Equal(late, got[i:]) {
			t.Fatalf("step %d: %d lines since %v, want %d", step, len(late), since, len(got[i:]))
		}
		after := got[len(got)*2/3].Seq
		if late, _, _ := j.Lines("web", after, time.Time{}, 7); !slices.Equal(late, got[max(len(got)*2/3+1, len(got)-7):]) {
			t.Fatalf("step %d: lines after %d differ", step, after)
		}
	}
}

// failing is an output that fails so many times.
type failing struct {
	times int
	text  bytes.Buffer
}

func (f *failing) Write(b []byte) (int, error) {
	if f.times--; f.times >= 0 {
		return 0, unix.ENOSPC
	}
	return f.text.Write(b)
}

func TestFailingOutputSaysWhatItLacks(t *testing.T) {
	out := &failing{times: 3}
	j := NewJournal(JournalOptions{Out: out})
	at := time.Now()
	for i := range 5 {
		j.add("web", at, fmt.Sprint(i), "and more")
		j.Flush(10 * time.Second)
	}
	var got []string
	for line := range strings.Lines(out.text.String()) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), " | ")
		got = append(got, text)
	}
	want := []string{"6 lines are missing here: nobody read this output", "3", "and more", "4", "and more"}
	if !slices.Equal(got, want) {
		t.Errorf("the output has %q, want %q", got, want)
	}
}

// end is the writing end of a pipe, as a process gets it.
func end(t testing.TB, p *pipe) *os.File {
	t.Helper()
	w, _, err := p.writer()
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(w), p.name)
	t.Cleanup(func() { f.Close() })
	return f
}
