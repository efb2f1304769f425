package services

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// texts are the lines of all files of a name, oldest first, without time and name.
func texts(t *testing.T, dir, name string) []string {
	t.Helper()
	old, err := filepath.Glob(filepath.Join(dir, name, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(old)
	var list []string
	for _, file := range append(old, filepath.Join(dir, name, "current")) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			head, text, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " | ")
			if _, err := time.Parse(stamp, strings.Fields(head + " -")[0]); err != nil || !ok || !strings.HasSuffix(line, "\n") {
				t.Fatalf("%s holds the line %q", file, line)
			}
			list = append(list, text)
		}
	}
	return list
}

// emptied waits until all that was written to a pipe is in the journal.
func emptied(t *testing.T, p *pipe) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); p.holds(); p.drain() {
		if time.Now().After(end) {
			t.Fatal("the pipe is never empty")
		}
	}
}

func openPipe(t *testing.T, j *Journal, location string) *pipe {
	t.Helper()
	p, err := j.open("web", location)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func write(t *testing.T, p *pipe, text string) {
	t.Helper()
	if _, err := end(t, p).WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestNoLineIsLost has a flood of lines of many lengths, written in pieces that end
// anywhere, while nobody reads the output.
func TestNoLineIsLost(t *testing.T) {
	dir, raw := t.TempDir(), filepath.Join(t.TempDir(), "logs", "raw")
	r, w, err := os.Pipe() // nobody reads: full after 64 KiB
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	j := NewJournal(JournalOptions{Out: w, Dir: dir, FileSize: 1e6, FileCount: 1000})
	p := openPipe(t, j, raw)
	var flood strings.Builder
	var want []string
	for i := range 100_000 {
		want = append(want, fmt.Sprint(i, " ", strings.Repeat("x", i%97)))
		flood.WriteString(want[i] + "\n")
	}
	for text, n := flood.String(), 0; len(text) > 0; n++ {
		size := min(len(text), 1+n*7919%5000)
		write(t, p, text[:size])
		text = text[size:]
	}
	emptied(t, p)
	if got := texts(t, dir, "web"); !slices.Equal(got, want) {
		t.Errorf("%d lines are in the files, want %d", len(got), len(want))
	}
	if b, err := os.ReadFile(raw); err != nil || string(b) != flood.String() {
		t.Errorf("the service's own file has %d bytes, want %d; %v", len(b), flood.Len(), err)
	}
	lines, _, _ := j.Lines("web", 0, time.Time{}, 0)
	size := 0
	for i, l := range lines {
		size += len(l.Text) + 1
		if l.Text != want[len(want)-len(lines)+i] || l.Seq != uint64(len(want)-len(lines)+i+1) {
			t.Fatalf("line %d in memory is %d: %q", i, l.Seq, l.Text)
		}
	}
	if size < keepService-200 || size > keepService {
		t.Errorf("%d bytes are in memory", size)
	}

	// Once somebody reads, the output says how many lines it lacks.
	go io.Copy(io.Discard, r)
	j.Flush(10 * time.Second)
	if o := j.out; o.done != o.accepted || o.dropped != 0 {
		t.Errorf("of %d bytes %d left, %d lines are not accounted for", o.accepted, o.done, o.dropped)
	}
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	line := strings.Repeat("r", 60)
	for run := range 3 { // each is a boot: the files of the last one stay
		j := NewJournal(JournalOptions{Out: io.Discard, Dir: dir, FileSize: 1000, FileCount: 4})
		p := openPipe(t, j, "")
		for i := range 30 {
			write(t, p, fmt.Sprintln(run*30+i, line))
		}
		emptied(t, p)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Join(dir, "web"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Size() > 1000 || info.Size() < 900 && e.Name() != "current" {
			t.Errorf("%s has %d bytes; %v", e.Name(), info.Size(), err)
		}
	}
	// A line takes 24+3+3+60+3 bytes and more: ten fit.
	if want := []string{"00000006.log", "00000007.log", "00000008.log", "current"}; !slices.Equal(names, want) {
		t.Errorf("the files are %v, want %v", names, want)
	}
	got := texts(t, dir, "web")
	for i, text := range got {
		if n := 90 - len(got) + i; text != fmt.Sprint(n, " ", line) {
			t.Errorf("line %d is %q", n, text)
		}
	}
	// A line longer than a file may be has one of its own.
	j := NewJournal(JournalOptions{Out: io.Discard, Dir: dir, FileSize: 1000, FileCount: 2})
	p := openPipe(t, j, "")
	long := strings.Repeat("l", 5000)
	write(t, p, "short\n"+long+"\nlast\n")
	emptied(t, p)
	if got := texts(t, dir, "web"); !slices.Equal(got, []string{long, "last"}) {
		t.Errorf("kept are %.100q", got)
	}
}

// TestFilesAreLazy: a service that writes nothing has no file, and init has one.
func TestFilesAreLazy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log", "nix2vast")
	j := NewJournal(JournalOptions{Out: io.Discard, Dir: dir})
	p := openPipe(t, j, "")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("there is a directory though nobody wrote: %v", err)
	}
	j.add(initName, time.Now(), "hello")
	j.Flush(10 * time.Second)
	if got := texts(t, dir, initName); !slices.Equal(got, []string{"hello"}) {
		t.Errorf("init's file has %q", got)
	}
	write(t, p, "world\r\n")
	emptied(t, p)
	if got := texts(t, dir, "web"); !slices.Equal(got, []string{"world"}) {
		t.Errorf("the service's file has %q", got)
	}
}

// TestRemovedFiles: somebody tidies up while we write.
func TestRemovedFiles(t *testing.T) {
	dir := t.TempDir()
	j := NewJournal(JournalOptions{Out: io.Discard, Dir: dir, FileSize: 200, FileCount: 3})
	p := openPipe(t, j, "")
	for i := range 10 {
		if err := os.RemoveAll(filepath.Join(dir, "web")); err != nil {
			t.Fatal(err)
		}
		write(t, p, fmt.Sprintln(i, strings.Repeat("x", 120)))
		emptied(t, p)
	}
	write(t, p, "end\n")
	emptied(t, p)
	if got := texts(t, dir, "web"); len(got) == 0 || got[len(got)-1] != "end" {
		t.Errorf("the file has %q", got)
	}
	if n := warnings(j); n > 1 {
		t.Errorf("%d warnings", n)
	}
}

func warnings(j *Journal) int {
	n := 0
	lines, _, _ := j.Lines(initName, 0, time.Time{}, 0)
	for _, l := range lines {
		if strings.Contains(l.Text, "warn: writing the log file") {
			n++
		}
	}
	return n
}

// inNamespace runs the test that calls it once more, as a process with mounts of
// its own, and returns true there; outside it returns false once that has ended.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if flag.Arg(0) == "namespace" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.timeout=60s", "namespace")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in a namespace: %v\n%s", err, out)
	}
	return false
}

// TestFullAndReadOnlyDisk: services and memory go on, init warns once, and the file
// says what it lacks when it can be written again.
func TestFullAndReadOnlyDisk(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for _, c := range []struct {
		name        string
		break_, fix func(dir string) error
		want        string
	}{
		{"full", func(dir string) error { // all but 8 KiB
			return os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1<<20-8<<10), 0o600)
		}, func(dir string) error { return os.Remove(filepath.Join(dir, "ballast")) }, "no space left on device"},
		{"read-only", func(dir string) error { return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") },
			func(dir string) error { return unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1m") }, "read-only file system"},
	} {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		if err := c.break_(dir); err != nil {
			t.Fatal(err)
		}
		j := NewJournal(JournalOptions{Out: io.Discard, Dir: filepath.Join(dir, "logs")})
		p := openPipe(t, j, "")
		line := strings.Repeat("y", 1000)
		for i := range 100 {
			write(t, p, fmt.Sprintln(i, line))
			emptied(t, p)
		}
		if lines, _, _ := j.Lines("web", 0, time.Time{}, 0); len(lines) != 100 {
			t.Errorf("%s: %d of 100 lines are in memory", c.name, len(lines))
		}
		if n := warnings(j); n != 1 {
			t.Errorf("%s: %d warnings, want one", c.name, n)
		}
		if err := c.fix(dir); err != nil {
			t.Fatal(err)
		}
		written := 100
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		tick := time.NewTicker(50 * time.Millisecond)
		for !said(j, "is written again") { // the next try is due a second after the last
			write(t, p, fmt.Sprintln(written, line))
			written++
			emptied(t, p)
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("%s: the file is never written again", c.name)
			}
		}
		found, missing, next := 0, 0, 0
		for _, text := range texts(t, filepath.Join(dir, "logs"), "web") {
			var n int
			if k, _ := fmt.Sscanf(text, "%d lines are missing here: "+c.want, &n); k == 1 && strings.HasSuffix(text, c.want) {
				missing += n
				next += n
				continue
			}
			if _, err := fmt.Sscan(text, &n); err != nil || n != next || text != fmt.Sprint(n, " ", line) {
				t.Fatalf("%s: instead of line %d there is %.20q", c.name, next, text)
			}
			found++
			next++
		}
		if missing == 0 || found+missing != written {
			t.Errorf("%s: %d lines are there and %d said to be missing, of %d", c.name, found, missing, written)
		}
	}
}

func said(j *Journal, text string) bool {
	lines, _, _ := j.Lines(initName, 0, time.Time{}, 0)
	return slices.ContainsFunc(lines, func(l Line) bool { return strings.Contains(l.Text, text) })
}

// TestLocationThatIsNoFile: a pipe without a reader must not stop the service.
func TestLocationThatIsNoFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	j := NewJournal(JournalOptions{Out: io.Discard})
	p := openPipe(t, j, fifo)
	write(t, p, string(bytes.Repeat([]byte("z\n"), 100_000)))
	emptied(t, p)
	if !said(j, "is no file but prw") {
		t.Error("init does not say that it cannot be used")
	}
}
