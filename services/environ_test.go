package services

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var tester = &user.User{Username: "tester", HomeDir: "/home/tester"}

func TestEnv(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.env"), filepath.Join(dir, "second.env")
	for path, text := range map[string]string{first: "B=file\nC=first\n", second: "C=second\nE=file\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	svc := Service{Name: "a", Execution: Execution{
		Environment:      map[string]string{"A": "service", "B": "service", "Z": "", "UNSET1": "x", "KEPT": "x"},
		EnvironmentFile:  []string{filepath.Join(dir, "*.env"), "-/absent", "-/absent/*"},
		UnsetEnvironment: []string{"UNSET1", "UNSET2", "KEPT=y", "GONE=z"},
	}}
	base := []string{
		"A=base", "BASE=1", "=odd", "NOEQUALS", "BYTES=\xff\xfe", "LONG=a=b=c\nd", "HOME=/root", "UNSET2=x", "GONE=z",
		"NOTIFY_SOCKET=/x", "LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=x", "WATCHDOG_USEC=1", "WATCHDOG_PID=1", "MAINPID=1", "INVOCATION_ID=0",
		"LISTEN_ADDR=:80", "AA=prefix",
	}
	before := slices.Clone(base)
	got, err := svc.env(base, tester, "E=extra", "INVOCATION_ID=abc")
	want := []string{
		"BASE=1", "=odd", "NOEQUALS", "BYTES=\xff\xfe", "LONG=a=b=c\nd", "LISTEN_ADDR=:80", "AA=prefix",
		"HOME=/home/tester", "USER=tester", "LOGNAME=tester",
		"A=service", "B=file", "KEPT=x", "Z=", "C=second", "E=extra", "INVOCATION_ID=abc",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got  %q (%v)\nwant %q", got, err, want)
	}
	if !slices.Equal(base, before) {
		t.Error("the container's environment was changed")
	}
}

// TestEnvironmentFile holds the parser to the examples of systemd.exec(5) and to
// what systemd's own reader does where the page is silent.
func TestEnvironmentFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"A=b", "A=b"},
		{"A=b\nC=d\n", "A=b|C=d"},
		{"# x\n; y\n\n   # z\nA=b", "A=b"},
		{"A=b # no comment", "A=b # no comment"},
		{"  A  =  b c  \n", "A=b c"},
		{"A=\nB=", "A=|B="},
		{"A=b\r\nC=d\r\n", "A=b|C=d"},
		{`A="b c"` + "\n" + `B='d "e" \n'`, `A=b c|B=d "e" \n`},
		{`A="b\"\$\` + "`" + `\\\n"`, `A=b"$` + "`" + `\\n`},
		{`A="b"'c' d`, `A=bcd`},
		{`A=b"c"`, `A=b"c"`},
		{"A=it's", "A=it's"},
		{"A=b\\\nc\nD=e", "A=bc|D=e"},
		{"A=\"b\\\nc\"", "A=bc"},
		{"A=\"b\nc\"\nD=e", "A=b\nc|D=e"},
		{`A=b\ \"c\ `, `A=b "c `},
		{"export A=b\nexport  C='d'", "A=b|C=d"},
		{"A=$HOME/${X}", "A=$HOME/${X}"},
		{"A=b=c", "A=b=c"},
		{"A=1\nA=2", "A=2"},
		{"discovery.type=single-node", "discovery.type=single-node"},
		{"A=\xff", "A=\xff"},
		{"A=b\\", "A=b"},
	} {
		v := variables{at: map[string]int{}}
		if err := v.parse("f", []byte(c.text)); err != nil || strings.Join(v.list, "|") != c.want {
			t.Errorf("%q: %q %v, want %q", c.text, strings.Join(v.list, "|"), err, c.want)
		}
	}
}

func TestEnvironmentFileErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "env")
	for _, c := range []struct{ text, want string }{
		{"A=b\n\nif true; then\n", file + `:3: "if true; then" is not of the form NAME=VALUE`},
		{"A=\"b\nc\nB=d\n", file + ":1: the quote is never closed"},
		{"A=b\n=c", file + `:2: "" is not of the form NAME=VALUE`},
		{"A B=c", file + `:1: "A B" is not of the form NAME=VALUE`},
		{"A=b\x00c", file + ":1: there is a NUL byte, which no variable can hold"},
		{"A=\"1\n2\"\nsecret-that-nobody-should-see", file + `:3: "secret-that-nobo…" is not of the form NAME=VALUE`},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		svc := Service{Execution: Execution{EnvironmentFile: []string{file}}}
		_, err := svc.env(nil, tester)
		if err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
		if p := new(Problem); err != nil && !errors.As(err, &p) {
			t.Errorf("%q: %T is no Problem", c.text, err)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/absent/file": "reading EnvironmentFile: open /absent/file: no such file or directory",
		"/absent/*":    "EnvironmentFile /absent/*: no file has such a name",
		fifo:           fifo + " is no regular file",
		"-" + dir:      dir + " is no regular file",
	} {
		svc := Service{Execution: Execution{EnvironmentFile: []string{path}}}
		if _, err := svc.env(nil, tester); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	svc := Service{Execution: Execution{EnvironmentFile: []string{os.DevNull}}}
	if _, err := svc.env(nil, tester); err != nil {
		t.Errorf("an empty device: %v", err)
	}
}

// TestEnvIsLinear counts what one service of a thousand may cost with 5,000 variables
// of the container and as many of its own. A quadratic one allocates the same,
// so this is about time, with a wide margin: some 3 ms against seconds.
func TestEnvIsLinear(t *testing.T) {
	svc := Service{Execution: Execution{Environment: map[string]string{}}}
	var base []string
	for i := range 5000 {
		base = append(base, fmt.Sprintf("BASE_%d=%d", i, i))
		svc.Environment[fmt.Sprintf("OWN_%d", i)] = "x"
		svc.UnsetEnvironment = append(svc.UnsetEnvironment, fmt.Sprintf("UNSET_%d", i))
	}
	result := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			if env, err := svc.env(base, tester); err != nil || len(env) != 10003 {
				b.Fatal(len(env), err)
			}
		}
	})
	if ms := result.NsPerOp() / 1e6; ms > 100 {
		t.Errorf("the environment of one service takes %d ms", ms)
	}
}

func BenchmarkEnv(b *testing.B) {
	var base []string
	for i := range 5000 {
		base = append(base, fmt.Sprintf("BASE_%d=%d", i, i))
	}
	svc := Service{Execution: Execution{Environment: map[string]string{"A": "b"}}}
	for range b.N {
		if _, err := svc.env(base, tester, "INVOCATION_ID=x"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestExpand: the examples of systemd.service(5), "Command lines", and its edges.
func TestExpand(t *testing.T) {
	env := []string{"ONE=one", "TWO=two two", "EMPTY=", `QUOTED='a b' "c d" e\ f`, "ONEMORE=x", "NAKED"}
	for _, c := range []struct{ word, want string }{
		{"$ONE", "one"},
		{"$TWO", "two|two"},
		{"${TWO}", "two two"},
		{"$EMPTY", ""},
		{"${EMPTY}", "<empty>"},
		{"$UNSET", ""},
		{"${UNSET}", "<empty>"},
		{"a${ONE}b${TWO}c", "aonebtwo twoc"},
		{"--x=${ONE}", "--x=one"},
		{"--x=$ONE", "--x=$ONE"},
		{"$$ONE", "$ONE"},
		{"$${ONE}", "${ONE}"},
		{"$$", "$"},
		{"$$$$", "$$"},
		{"$", "$"},
		{"a$", "a$"},
		{"${ONE", "${ONE"},
		{"$1", "$1"},
		{"$ONE/bin", "$ONE/bin"},
		{"$QUOTED", "a b|c d|e f"},
		{"${NAKED}", "<empty>"},
	} {
		argv := Command{Argv: []string{"$ONE", c.word, "end"}, Expand: true}.expand(env)
		if argv[0] != "$ONE" || argv[len(argv)-1] != "end" {
			t.Errorf("%s: %q", c.word, argv)
		}
		got := strings.Join(argv[1:len(argv)-1], "|")
		if got == "" && len(argv) == 3 {
			got = "<empty>"
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.word, got, c.want)
		}
	}
	plain := Command{Argv: []string{"a", "$ONE"}}
	argv := plain.expand(env)
	if argv[1] != "$ONE" {
		t.Errorf("expanded what was not to be: %q", argv)
	}
	if argv[0] = "changed"; plain.Argv[0] != "a" {
		t.Error("a change of the words is one of the definition")
	}
}
