package boot

import (
	"slices"
	"strings"
)

// keyTypes begin a public key, see sshd(8), AUTHORIZED_KEYS FILE FORMAT.
var keyTypes = []string{
	"ssh-ed25519", "ssh-rsa", "ssh-dss",
	"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
	"ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com",
	"ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp384-cert-v01@openssh.com",
	"ecdsa-sha2-nistp521-cert-v01@openssh.com",
	"sk-ssh-ed25519-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
}

// keyOptions may stand before the key, in lower case; from the same page.
var keyOptions = []string{
	"agent-forwarding", "cert-authority", "command", "environment", "expiry-time", "from",
	"no-agent-forwarding", "no-port-forwarding", "no-pty", "no-touch-required", "no-user-rc",
	"no-x11-forwarding", "permitlisten", "permitopen", "port-forwarding", "principals", "pty",
	"restrict", "tunnel", "user-rc", "verify-required", "x11-forwarding",
}

// splitKeys cuts a text into lines of authorized_keys, however a web form or a
// shell has joined them: by line breaks of any kind, by a literal \n, by commas
// or spaces, in quotes or as a JSON array. What is no key is an entry too, so
// that it can be counted; comment lines are not.
//
// Line breaks always separate. Anything else does so only where a whole key
// begins, options included: a comma or \n inside command="…", or in a comment
// such as CORP\nina, stays.
func splitKeys(text string) []string {
	var entries []string
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		for line = trimKey(line); line != ""; line = trimKey(line) {
			if strings.HasPrefix(line, "#") {
				break
			}
			end := nextKey(line)
			if entry := trimKey(line[:end]); entry != "" {
				entries = append(entries, entry)
			}
			line = line[end:]
		}
	}
	return entries
}

// trimKey takes away what can stand around an entry and is no part of it.
func trimKey(s string) string {
	const around = " \t,;\"'[]\ufeff"
	for {
		t := strings.Trim(s, around)
		for _, literal := range []string{`\n`, `\r`} {
			t = strings.TrimSuffix(strings.TrimPrefix(t, literal), literal)
		}
		if t == s {
			return s
		}
		s = t
	}
}

// nextKey returns where the second entry of line begins, or its end. A space
// ends no entry that has no key yet: what stands before a key may be options
// with a typing error, and without them the key could do more.
func nextKey(line string) int {
	first := keyAt(line)
	separators := " \t,;\"'"
	if first == 0 {
		separators = ",;\"'"
	}
	for i := max(1, first); i < len(line); i++ {
		before := line[:i]
		if strings.IndexByte(separators, line[i-1]) >= 0 || strings.HasSuffix(before, `\n`) || strings.HasSuffix(before, `\r`) {
			if keyAt(line[i:]) > 0 {
				return i
			}
		}
	}
	return len(line)
}

// keyAt returns the length of the key that s begins with: options, type and
// base64. It is 0 if s begins with none.
func keyAt(s string) int {
	rest := s
	if n := optionsAt(s); n > 0 {
		rest = strings.TrimLeft(s[n:], " \t")
	}
	typ := keyType(rest)
	if typ == "" {
		return 0
	}
	blob := strings.TrimLeft(rest[len(typ):], " \t")
	if !strings.HasPrefix(blob, "AAAA") { // the length of the type's name
		return 0
	}
	after := strings.TrimLeft(blob, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
	return len(s) - len(strings.TrimLeft(after, "="))
}

// keyType returns the type that s begins with, if white space follows it.
func keyType(s string) string {
	for _, typ := range keyTypes {
		if rest, ok := strings.CutPrefix(s, typ); ok && rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
			return typ
		}
	}
	return ""
}

// optionsAt returns the length of the comma-separated options that s begins
// with, 0 for none.
func optionsAt(s string) int {
	const longest = 24 // one more than any name: looking farther is lost time
	n := 0
	for {
		name := s[n:min(n+longest, len(s))]
		if end := strings.IndexAny(name, "=, \t"); end >= 0 {
			name = name[:end]
		}
		if !slices.Contains(keyOptions, strings.ToLower(name)) {
			return 0
		}
		n += len(name)
		if strings.HasPrefix(s[n:], `="`) {
			value := quotedLength(s[n+1:])
			if value == 0 {
				return 0
			}
			n += 1 + value
		}
		if !strings.HasPrefix(s[n:], ",") {
			return n
		}
		n++
	}
}

// quotedLength returns the length of the quoted string that s begins with, 0
// if its end is missing. A backslash keeps a quote from ending it.
func quotedLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
