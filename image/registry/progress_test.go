package registry

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestTerminal draws one line, never wider than the terminal, and takes it away.
func TestTerminal(t *testing.T) {
	for _, width := range []int{1, 10, 40, 80, 200} {
		var out bytes.Buffer
		now := time.Unix(100, 0)
		p := NewProgress(&out, width)
		p.now = func() time.Time { return now }
		p.expect(3, 3_000_000)
		p.begin("a")
		for range 100 {
			now = now.Add(50 * time.Millisecond)
			p.add(10_000)
		}
		p.end("a", "sent", 1_000_000, 1_000_000)
		now = now.Add(time.Second)
		p.add(500_000)
		p.Note("a word")
		p.Close()
		lines := strings.Split(strings.ReplaceAll(out.String(), "\x1b[K", ""), "\r")
		if n := len(lines); n < 50 || n > 60 {
			t.Errorf("%d columns: %d lines for 100 pieces in 5 s", width, n)
		}
		for _, l := range lines {
			if len(strings.TrimPrefix(l, "a word\n")) >= max(width, 2) {
				t.Errorf("%d columns: %q", width, l)
			}
		}
		if !strings.HasSuffix(out.String(), "\r\x1b[K") {
			t.Errorf("%d columns: the line is still there: %q", width, lines[len(lines)-1])
		}
		if last := lines[len(lines)-2]; width == 80 && (!strings.HasPrefix(last, "[####") ||
			!strings.Contains(last, "50 %  1.5 MB of 3.0 MB  layer 2 of 3  250 kB/s  6s left")) {
			t.Errorf("the line is %q", last)
		}
	}
}

// TestPlain writes a line at the start and at the end of a layer, and none between.
func TestPlain(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out, 0)
	p.expect(2, 2_000_000)
	p.begin("glibc-2.40")
	for range 1000 {
		p.add(1000)
	}
	p.end("glibc-2.40", "sent", 1_000_000, 900_000)
	p.mounted("cudart-12.8", "owner/a", 5)
	p.Close()
	if want := "sending glibc-2.40\nsent glibc-2.40, 1.0 MB\nmounted cudart-12.8 from owner/a, 5 B\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	var none *Progress
	none.expect(1, 1)
	none.begin("")
	none.add(1)
	none.end("", "", 1, 1)
	none.mounted("", "", 1)
	none.Note("")
	none.Close()
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 99_949: "99.9 kB", 99_950: "100 kB", 999_499: "999 kB", 999_500: "1.0 MB",
		4_539_000_000: "4.5 GB", 123_000_000_000_000: "123 TB", 5_000_000_000_000_000: "5000 TB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
