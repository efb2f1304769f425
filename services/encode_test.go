package services

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestColors(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	at := time.Date(2025, 9, 14, 14, 24, 37, 5e6, time.UTC)
	for _, c := range []struct {
		o    JournalOptions
		want string
	}{
		{JournalOptions{Out: tty}, "2025-09-14T14:24:37.005Z \x1b[%dmweb\x1b[0m | hello\r\n"},
		{JournalOptions{Out: tty, NoColor: true}, "2025-09-14T14:24:37.005Z web | hello\r\n"},
	} {
		j := NewJournal(c.o)
		j.add("web", at, "hello")
		j.Flush(10 * time.Second)
		b := make([]byte, 1000)
		n, err := master.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		want := c.want
		if strings.Contains(want, "%d") {
			want = fmt.Sprintf(want, color("web"))
		}
		if string(b[:n]) != want {
			t.Errorf("%q, want %q", b[:n], want)
		}
	}
	if color(initName) != 0 || color("web") == 31 {
		t.Error("colours")
	}
}

// TestEscape compares with encoding/json, which must read what we wrote.
func TestEscape(t *testing.T) {
	cases := []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "é€😀\u2028", "\xff\xc3\x28\xed\xa0\x80", "end\xe2\x82"}
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		b := make([]byte, random.IntN(40))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		cases = append(cases, string(b))
	}
	for _, text := range cases {
		line := formJSON.line(nil, text, time.Now(), []byte(text))
		var got map[string]string
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := string([]rune(text)); got["text"] != want || got["service"] != want {
			t.Errorf("%q became %q, want %q", text, got["text"], want)
		}
		if most := formJSON.most(len(text)); len(formJSON.finish(nil, []byte(text))) > most {
			t.Errorf("%q takes more than %d bytes", text, most)
		}
	}
}
