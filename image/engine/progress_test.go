package engine

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	var plain bytes.Buffer
	p := NewProgress(&plain, false, 3)
	p.start("cuda")
	p.watch(&bytes.Buffer{}).Write(make([]byte, 1500))
	p.end("cuda", 1500, nil)
	p.start("broken")
	p.end("broken", 1500, errors.New("no"))
	if layers, n := p.Finish(); layers != 1 || n != 1500 || plain.String() != "sent layer cuda (1.5 kB)\n" {
		t.Errorf("%d layers, %d bytes, %q", layers, n, &plain)
	}

	var screen bytes.Buffer
	p = NewProgress(&screen, true, 3)
	p.start("cuda")
	p.end("cuda", 0, nil)
	p.Finish()
	text := screen.String()
	if strings.Contains(text, "\n") || !strings.Contains(text, "\r\033[K0 of 3 layers") || !strings.Contains(text, "\r\033[K1 of 3 layers") || !strings.HasSuffix(text, "\r\033[K") {
		t.Errorf("%q", text)
	}

	var silent *Progress
	silent.start("x")
	silent.add(1)
	silent.end("x", 1, nil)
	silent.Finish()
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 2560: "2.56 kB", 999499: "999 kB", 999_500: "1 MB", 4_759_280_536: "4.76 GB", 9e15: "9e+03 TB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
