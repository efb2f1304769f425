package services

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// stuck is an output that nobody reads until it is freed.
type stuck struct {
	free chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *stuck) Write(b []byte) (int, error) {
	<-s.free
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *stuck) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestBlockedOutputBlocksNobody(t *testing.T) {
	out := &stuck{free: make(chan struct{})}
	j := NewJournal(JournalOptions{Out: out})
	line := strings.Repeat("x", 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5000 { // five times what may wait
			j.add("web", time.Now(), line)
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the service waits for the output")
	}
	close(out.free)
	j.Flush(10 * time.Second)
	j.add("web", time.Now(), "after")
	j.Flush(10 * time.Second)
	text := out.String()
	shown := strings.Count(text, line)
	var missing, total int
	for l := range strings.Lines(text) {
		if _, after, ok := strings.Cut(l, "init | "); ok {
			if _, err := fmt.Sscanf(after, "%d lines are missing here", &missing); err != nil {
				t.Errorf("%q: %v", l, err)
			}
			total += missing
		}
	}
	if shown+total != 5000 || total == 0 || !strings.HasSuffix(text, "web | after\n") {
		t.Errorf("%d lines shown and %d said to be missing, of 5000", shown, total)
	}
}

func TestRingIsBounded(t *testing.T) {
	j := NewJournal(JournalOptions{Out: &bytes.Buffer{}})
	line := strings.Repeat("y", 1<<10)
	for i := range 2000 {
		j.add("web", time.Now(), fmt.Sprint(i, line))
	}
	lines, _, ok := j.Lines("web", 0, time.Time{}, 0)
	size := 0
	for _, l := range lines {
		size += len(l.Text)
	}
	if !ok || size > keepService || size < keepService-2<<10 || !strings.HasPrefix(lines[len(lines)-1].Text, "1999y") {
		t.Errorf("%d lines of %d bytes are kept", len(lines), size)
	}
	for i := range 100 {
		for range 300 {
			j.add(fmt.Sprint("s", i), time.Now(), line)
		}
	}
	if j.size > keepAll {
		t.Errorf("%d bytes are kept of all services, want %d at most", j.size, keepAll)
	}
}

func TestLines(t *testing.T) {
	j := NewJournal(JournalOptions{Out: &bytes.Buffer{}})
	j.add("a", time.Now(), "one", "two")
	j.add("b", time.Now(), "three")
	_, more, _ := j.Lines("", 0, time.Time{}, 0)
	j.add("a", time.Now(), "four")
	select {
	case <-more:
	default:
		t.Error("nobody was told of the last line")
	}
	text := func(lines []Line, _ <-chan struct{}, ok bool) string {
		var s []string
		for _, l := range lines {
			s = append(s, l.Text)
		}
		return fmt.Sprint(s, ok)
	}
	for _, c := range []struct {
		service string
		after   uint64
		max     int
		want    string
	}{
		{"", 0, 0, "[one two three four] true"},
		{"a", 0, 0, "[one two four] true"},
		{"", 2, 0, "[three four] true"},
		{"", 0, 1, "[four] true"},
		{"c", 0, 0, "[] false"},
	} {
		if got := text(j.Lines(c.service, c.after, time.Time{}, c.max)); got != c.want {
			t.Errorf("%q after %d, %d at most: %s, want %s", c.service, c.after, c.max, got, c.want)
		}
	}
}

func TestOutputFormats(t *testing.T) {
	at := time.Date(2025, 9, 14, 14, 24, 37, 5e6, time.FixedZone("", 7200))
	var out bytes.Buffer
	j := NewJournal(JournalOptions{Out: &out})
	j.add("web", at, "hello")
	j.Flush(time.Minute)
	j = NewJournal(JournalOptions{Out: &out, Format: JSON})
	j.add("web", at, "say \"hi\" \xff")
	j.Flush(time.Minute)
	text, object, _ := strings.Cut(out.String(), "\n")
	if text != "2025-09-14T12:24:37.005Z web | hello" {
		t.Errorf("text: %q", text)
	}
	var got map[string]string
	if err := json.Unmarshal([]byte(object), &got); err != nil || got["text"] != "say \"hi\" \ufffd" || got["service"] != "web" || got["time"] != "2025-09-14T12:24:37.005Z" {
		t.Errorf("JSON: %q, %v", object, err)
	}
}

func TestPipe(t *testing.T) {
	j := NewJournal(JournalOptions{Out: &bytes.Buffer{}})
	p, err := j.open("web", "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	long := strings.Repeat("z", lineMost)
	for _, part := range []string{"one\ntw", "o\r\n", "prompt> ", long + "tail\n"} {
		if _, err := end(t, p).WriteString(part); err != nil {
			t.Fatal(err)
		}
		if part == "prompt> " { // shown though the line is not finished
			untilText(t, ctx, j, "prompt> ")
		}
	}
	untilText(t, ctx, j, "tail")
	lines, _, _ := j.Lines("web", 0, time.Time{}, 0)
	var got []string
	for _, l := range lines {
		got = append(got, l.Text)
	}
	want := []string{"one", "two", "prompt> ", long, "tail"}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("got %d lines: %.200q", len(got), got)
	}
}

func untilText(t *testing.T, ctx context.Context, j *Journal, text string) {
	t.Helper()
	for {
		lines, more, _ := j.Lines("web", 0, time.Time{}, 0)
		for _, l := range lines {
			if l.Text == text {
				return
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("the line %q never came; there are %.300q", text, lines)
		}
	}
}
