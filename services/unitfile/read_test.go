package unitfile

import (
	"reflect"
	"strings"
	"testing"
)

// TestRead holds the reader to the cases of go-systemd's unit/deserialize_test.go,
// with what systemd itself makes of them where that package does otherwise.
func TestRead(t *testing.T) {
	long := "ExecStart=/bin/echo " + strings.Repeat(".", 1<<19)
	for _, c := range []struct {
		name, text string
		want       []string // SECTION.NAME=VALUE@LINE
		problems   []string
	}{
		{"several of one name", "[Unit]\nDescription=Foo\nDescription=Bar\nRequires=baz.service\n",
			[]string{"Unit.Description=Foo@2", "Unit.Description=Bar@3", "Unit.Requires=baz.service@4"}, nil},
		{"several sections", "[Unit]\nDescription=Foo\n\n[Service]\nExecStart=/usr/bin/sleep infinity\n\n[X-Third-Party]\nPants=on\n\n",
			[]string{"Unit.Description=Foo@2", "Service.ExecStart=/usr/bin/sleep infinity@5"}, nil},
		{"a section twice", "[Unit]\nA=1\n[Service]\nB=2\n[Unit]\nC=3\n", []string{"Unit.A=1@2", "Service.B=2@4", "Unit.C=3@6"}, nil},
		{"empty sections", "[Unit]\n[Service]\n[X-Third-Party]\n", nil, nil},
		{"quotes stay", "[Service]\nEnvironment= \"FOO=BAR\" \"BAZ=QUX\"\n", []string{`Service.Environment="FOO=BAR" "BAZ=QUX"@2`}, nil},
		{"continuation", "[Unit]\nDescription= Unnecessarily wrapped \\\n    words here\n", []string{"Unit.Description=Unnecessarily wrapped  words here@2"}, nil},
		{"continuation without a blank", "[Unit]\nA=b\\\nc\n", []string{"Unit.A=b c@2"}, nil},
		{"comments", "; alpha\n# bravo\n[Unit]\n; charlie\n #Description=Foo\nDescription=Bar\n; echo\n", []string{"Unit.Description=Bar@6"}, nil},
		{"comments in a continuation", "[Unit]\nA=one \\\n# not \\\n  ; this\n  two\nB=1\n", []string{"Unit.A=one  two@2", "Unit.B=1@6"}, nil},
		{"an empty line ends a continuation", "[Unit]\nA=one \\\n\nB=1\n", []string{"Unit.A=one@2", "Unit.B=1@4"}, nil},
		{"outside of a section", "Description=Foo\n[Unit]\nDescription=Bar\n", []string{"Unit.Description=Bar@3"},
			[]string{`f:1: "Description=Foo" stands before the first section`}},
		{"garbage", "<<<<<<<<\n[Unit]\n>>>>\nDescription=Bar\n=x\n", []string{"Unit.Description=Bar@4"},
			[]string{`f:1: "<<<<<<<<" stands before`, `f:3: ">>>>" is not of the form NAME=VALUE`, `f:5: "=x" is not of the form`}},
		{"a name with blanks", "[Unit]\nSome Thing = Bar\n", []string{"Unit.Some Thing=Bar@2"}, nil},
		{"no last newline", "[Unit]\nDescription=Bar", []string{"Unit.Description=Bar@2"}, nil},
		{"a continuation at the end", "[Unit]\nDescription=Bar \\", []string{"Unit.Description=Bar@2"}, nil},
		{"other letters", "[Unit]\nµ☃=ÇôrèÕ$", []string{"Unit.µ☃=ÇôrèÕ$@2"}, nil},
		{"blanks around", "[Unit]\n Description   = words here \n", []string{"Unit.Description=words here@2"}, nil},
		{"a backslash before text", "[Service]\nExecStart=/bin/sh -c \"echo \\\"ping\\\"; sleep 1\"\n", []string{`Service.ExecStart=/bin/sh -c "echo \"ping\"; sleep 1"@2`}, nil},
		{"a backslash before blanks", "[Service]\nExecStart=/bin/echo poof \\  ", []string{`Service.ExecStart=/bin/echo poof \@2`}, nil},
		{"two backslashes", "[Service]\nExecStart=/bin/echo \\\\\nType=exec", []string{`Service.ExecStart=/bin/echo \\@2`, "Service.Type=exec@3"}, nil},
		{"more than 2,048 bytes", "[Service]\n" + long, []string{"Service." + long + "@2"}, nil},
		{"more than 1 MiB", "[Service]\n" + long + "\\\n" + long + "\\\n" + long + "\nType=exec", []string{"Service.Type=exec@5"}, []string{"f:2: the line has 1572"}},
		{"CRLF and BOM", "\ufeff[Unit]\r\nA=one \\\r\n  two\r\nB=1\r\n", []string{"Unit.A=one  two@2", "Unit.B=1@4"}, nil},
		{"NUL", "[Unit]\nA=1\x002\nB=1", []string{"Unit.B=1@3"}, []string{"f:2: the line holds a NUL byte"}},
		{"not UTF-8", "[Unit]\nA=1\xff\nB=1", []string{"Unit.B=1@3"}, []string{"f:2: the line is not UTF-8"}},
		{"unknown section", "[Sevice]\nA=1\n[Unit]\nB=1", []string{"Unit.B=1@4"}, []string{"f:1: there is no section [Sevice]; did you mean Service?"}},
		{"open bracket", "[Unit\nA=1\n[Unit]\nB=1", []string{"Unit.B=1@4"}, []string{`f:1: "[Unit" lacks the closing bracket`}},
		{"nothing", "", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p problems
			var got []string
			for _, o := range read("f", []byte(c.text), &p) {
				got = append(got, o.Section+"."+o.Name+"="+o.Value+"@"+string(rune('0'+o.line)))
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %.300q\nwant %.300q", got, c.want)
			}
			sameProblems(t, p.list, c.problems)
		})
	}
}

// sameProblems wants as many errors as texts, each holding its text.
func sameProblems(t *testing.T, errs []error, want []string) {
	t.Helper()
	for i := range max(len(errs), len(want)) {
		switch {
		case i >= len(errs):
			t.Errorf("there is no problem %q", want[i])
		case i >= len(want):
			t.Errorf("unexpected: %v", errs[i])
		case !strings.Contains(errs[i].Error(), want[i]):
			t.Errorf("problem %q, want %q", errs[i], want[i])
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{`a b  c`, []string{"a", "b", "c"}},
		{"  a\tb ", []string{"a", "b"}},
		{`"a b" 'c d' e"f g"h`, []string{"a b", "c d", "ef gh"}},
		{`FOO="a b" "BAR=c d"`, []string{"FOO=a b", "BAR=c d"}},
		{`"" ''`, []string{"", ""}},
		{`"it's" 'say "x"'`, []string{"it's", `say "x"`}},
		{`a\nb \t \s x\\y \"q\"`, []string{"a\nb", "\t", " ", `x\y`, `"q"`}},
		{`'\x41\101\u00e4\U0001F600'`, []string{"AAä😀"}},
		{`\xff`, []string{"\xff"}},
		{`\d \x00 \u12 \9`, []string{`\d`, `\x00`, `\u12`, `\9`}},
		{``, nil},
	} {
		got, s := []string(nil), &scanner{rest: c.text}
		for {
			word, ok, err := s.next()
			if err != nil {
				t.Fatalf("%s: %v", c.text, err)
			}
			if !ok {
				break
			}
			got = append(got, word)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.text, got, c.want)
		}
		back, s := []string(nil), &scanner{rest: quoteWords(got)}
		for word, ok, err := s.next(); ok && err == nil; word, ok, err = s.next() {
			back = append(back, strings.ReplaceAll(word, "%%", "%"))
		}
		if !reflect.DeepEqual(back, c.want) {
			t.Errorf("%q was written as %s and read as %q", c.want, quoteWords(got), back)
		}
	}
	for _, text := range []string{`"a`, `a'b`, `a\`} {
		s := &scanner{rest: text}
		if word, ok, err := s.next(); err == nil {
			t.Errorf("%s: %q %v and no error", text, word, ok)
		}
	}
}
