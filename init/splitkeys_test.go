package boot

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Keys that ssh-keygen made.
const (
	keyA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIARD/t7DISsIpMC2K1cqvBE/Ll5lXlNdVAxJXTucZgdz"
	keyB = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFBuUrAyx4z2lvlznRYhx1D3PKBLQxVvGzMrz5E0eyB62KAVng795TWiG9DGZvDjO6Y8J4k+lW10nEdEkV4Ufak="
)

func TestSplitKeys(t *testing.T) {
	const options = `command="echo \"a, ssh-rsa AAAA\" \n; exit",no-pty`
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"blanks and comments", " \n\r\n# ours\n\t#\n", nil},
		{"one", keyA, []string{keyA}},
		{"a comment", keyA + " me@host", []string{keyA + " me@host"}},
		{"LF", keyA + " a\n" + keyB + " b\n", []string{keyA + " a", keyB + " b"}},
		{"CRLF", keyA + " a\r\n\r\n" + keyB + "\r\n", []string{keyA + " a", keyB}},
		{"CR", keyA + "\r" + keyB, []string{keyA, keyB}},
		{"literal \\n", keyA + ` a\n` + keyB + `\n`, []string{keyA + " a", keyB}},
		{"literal \\r\\n", keyA + ` a\r\n` + keyB + ` b\r\n`, []string{keyA + " a", keyB + " b"}},
		{"commas", keyA + "," + keyB + ", " + keyA, []string{keyA, keyB, keyA}},
		{"spaces", keyA + " a  " + keyB + " b", []string{keyA + " a", keyB + " b"}},
		{"semicolons", keyA + ";" + keyB, []string{keyA, keyB}},
		{"double quotes around all", `"` + keyA + "\n" + keyB + `"`, []string{keyA, keyB}},
		{"single quotes around one", "'" + keyB + "'", []string{keyB}},
		{"quotes around each", `"` + keyA + ` a","` + keyB + `"`, []string{keyA + " a", keyB}},
		{"JSON", `["` + keyA + ` a", "` + keyB + `"]`, []string{keyA + " a", keyB}},
		{"a comma in a comment", keyA + " me, myself and I", []string{keyA + " me, myself and I"}},
		{"a Windows domain in a comment", keyA + ` CORP\nina@pc`, []string{keyA + ` CORP\nina@pc`}},
		{"options", options + " " + keyA + " a", []string{options + " " + keyA + " a"}},
		{"options on both, joined by \\n", options + " " + keyA + `\n` + options + " " + keyB, []string{options + " " + keyA, options + " " + keyB}},
		{"options on both, joined by spaces", options + " " + keyA + " a " + options + " " + keyB, []string{options + " " + keyA + " a", options + " " + keyB}},
		{"options on both, joined by commas", options + " " + keyA + "," + options + " " + keyB, []string{options + " " + keyA, options + " " + keyB}},
		{"options in quotes", `"` + options + " " + keyA + `"`, []string{options + " " + keyA}},
		{"an option in capitals", "No-PTY " + keyA, []string{"No-PTY " + keyA}},
		{"options with an error stay with their key", `comand="ls" ` + keyA, []string{`comand="ls" ` + keyA}},
		{"one option of two with an error", `no-pty,comand="ls" ` + keyA + "," + keyB, []string{`no-pty,comand="ls" ` + keyA, keyB}},
		{"garbage", "hello world", []string{"hello world"}},
		{"garbage between", "hello," + keyA + "\nworld\n" + keyB, []string{"hello", keyA, "world", keyB}},
		{"a type without a key", "ssh-ed25519", []string{"ssh-ed25519"}},
		{"a BOM", "\ufeff" + keyA, []string{keyA}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := splitKeys(tt.text); !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func FuzzSplitKeys(f *testing.F) {
	f.Add(keyA + `\n` + keyB)
	f.Add(`"command="a,b" ` + keyA + `",` + keyB + " x")
	f.Add("no-pty,from=\"\\\" " + keyA + "\n\r,;'[]")
	f.Fuzz(func(t *testing.T, text string) {
		entries := splitKeys(text)
		for _, entry := range entries {
			if entry == "" || strings.ContainsAny(entry, "\r\n") || !strings.Contains(text, entry) {
				t.Errorf("entry %q of %q", entry, text)
			}
		}
		// A clean file of what came out comes out as it is.
		var clean []string
		for _, entry := range entries {
			if _, err := parseKey(entry); err == nil {
				clean = append(clean, entry)
			}
		}
		if again := splitKeys(strings.Join(clean, "\n")); !slices.Equal(again, clean) {
			t.Errorf("%q, then %q", clean, again)
		}
		// A list of keys is found behind any text that is a line of its own.
		list, err := json.Marshal([]string{keyA, keyB})
		if err != nil {
			t.Fatal(err)
		}
		got := splitKeys(text + "\n" + string(list))
		if n := len(got); n < 2 || got[n-2] != keyA || got[n-1] != keyB {
			t.Errorf("%q behind %q", got, text)
		}
	})
}

func TestParseKey(t *testing.T) {
	for _, tt := range []struct{ name, line, err string }{
		{"plain", keyA, ""},
		{"of another kind", keyB + " x", ""},
		{"CRLF", keyA + " x\r", ""},
		{"known options", `from="10.0.0.0/8",X11-forwarding,expiry-time="20300101" ` + keyA, ""},
		{"unknown option", `comand="ls" ` + keyA, "option that sshd does not know"},
		{"cut short", keyA[:60], "not a public key"},
		{"garbage", "ssh-ed25519 hello", "not a public key"},
		{"empty", "", "not a public key"},
		{"control character", keyA + " \x1b[2J", "control character"},
		{"NUL", keyA + "\x00", "control character"},
		{"DSA", "ssh-dss " + dsaBlob(t), "DSA"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := parseKey(tt.line)
			switch {
			case tt.err == "" && (err != nil || key == ""):
				t.Error(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// dsaBlob is a DSA key that is well-formed, as x/crypto/ssh checks it.
func dsaBlob(t *testing.T) string {
	t.Helper()
	p := make([]byte, 129) // 1024 bits, and a zero before
	p[1], p[128] = 0x80, 1
	q := make([]byte, 21)
	q[1] = 0x80
	blob := ssh.Marshal(struct {
		Name string
		P, Q []byte
		G, Y []byte
	}{"ssh-dss", p, q, []byte{2}, []byte{2}})
	out, err := json.Marshal(blob) // base64 in quotes
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(out), `"`)
}
