package services

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// foreign are variables that were meant for init itself: a service that found
// them would talk to whoever started the container, or take descriptors of its
// own for listening sockets.
var foreign = [...]string{
	"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES",
	"WATCHDOG_USEC", "WATCHDOG_PID", "MAINPID", "INVOCATION_ID",
}

// env is the environment of a process of the service: base, less what was meant
// for init; over it HOME and the like of the account u, Environment,
// EnvironmentFile, and extra; less UnsetEnvironment. An entry of base that is
// not overridden arrives byte for byte, whatever is in it.
func (svc *Service) env(base []string, u *user.User, extra ...string) ([]string, error) {
	over := variables{at: make(map[string]int, 8+len(svc.Environment)+len(extra))}
	over.put("HOME", u.HomeDir)
	over.put("USER", u.Username)
	over.put("LOGNAME", u.Username)
	if svc.User != "" {
		if shell := shellOf("/etc/passwd", u.Username); shell != "" {
			over.put("SHELL", shell)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(svc.Environment)) {
		over.put(name, svc.Environment[name])
	}
	for _, pattern := range svc.EnvironmentFile {
		if err := over.files(pattern); err != nil {
			return nil, err
		}
	}
	for _, entry := range extra {
		name, value, _ := strings.Cut(entry, "=")
		over.put(name, value)
	}
	return over.merge(base, svc.UnsetEnvironment), nil
}

// merge puts the variables behind the entries of base that they do not replace.
// It is linear: a thousand services times thousands of variables are common
// enough where hosts link every container to every other.
func (v *variables) merge(base, unsetEnvironment []string) []string {
	dropped := make(map[string]bool, len(v.at)+len(foreign)+len(unsetEnvironment)) // from base
	unset := make(map[string]bool, len(unsetEnvironment))                          // NAME, or NAME=VALUE: where it has that value
	valued := false
	for _, entry := range unsetEnvironment {
		unset[entry], dropped[entry] = true, true
		valued = valued || strings.Contains(entry, "=")
	}
	for _, name := range foreign {
		dropped[name] = true
	}
	for name := range v.at {
		dropped[name] = true
	}
	env := make([]string, 0, len(base)+len(v.list))
	for _, entry := range base {
		name, _, _ := strings.Cut(entry, "=")
		if !dropped[name] && !(valued && unset[entry]) {
			env = append(env, entry)
		}
	}
	for _, entry := range v.list {
		name, _, _ := strings.Cut(entry, "=")
		if !unset[name] && !unset[entry] {
			env = append(env, entry)
		}
	}
	return env
}

// variables is an environment in which a name occurs once, in the order in
// which the names came up.
type variables struct {
	list []string // NAME=VALUE
	at   map[string]int
}

func (v *variables) put(name, value string) {
	entry := name + "=" + value
	if i, ok := v.at[name]; ok {
		v.list[i] = entry
		return
	}
	v.at[name] = len(v.list)
	v.list = append(v.list, entry)
}

// files reads the files of one EnvironmentFile: a path, in which the last part
// may be a pattern, and before it a "-" where there need not be such a file.
func (v *variables) files(pattern string) error {
	pattern, optional := strings.CutPrefix(pattern, "-")
	paths := []string{pattern}
	if strings.ContainsAny(pattern, "*?[") {
		var err error
		if paths, err = filepath.Glob(pattern); err != nil {
			return fmt.Errorf("EnvironmentFile %s: %w", pattern, err)
		}
		if len(paths) == 0 && !optional {
			return fmt.Errorf("EnvironmentFile %s: no file has such a name", pattern)
		}
	}
	for _, path := range paths {
		b, err := readSmall(path, environmentFileMost)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading EnvironmentFile: %w", err)
		}
		if err := v.parse(path, b); err != nil {
			return err
		}
	}
	return nil
}

// environmentFileMost is more than the kernel gives a process: 6 MiB at most,
// with an unlimited stack.
const environmentFileMost = 8 << 20

// readSmall reads a regular file, or /dev/null, of at most most bytes. It does
// not wait for the writer of a FIFO, and does not read a device without an end.
func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() && path != os.DevNull {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return b, nil
}

// parse reads the text of an environment file, as systemd.exec(5) has it: a
// variable a line; lines that begin with # or ; are comments; a value, or parts
// of it, may be in single or double quotes, which may span lines; a backslash
// takes the next character as it is, and joins lines. "export" before the name,
// as in the files that shells read, is passed over.
func (v *variables) parse(path string, b []byte) error {
	r := envReader{text: b, line: 1}
	for {
		r.skip(" \t\r\n")
		if r.at == len(r.text) {
			return nil
		}
		line := r.line
		if c := r.text[r.at]; c == '#' || c == ';' {
			r.comment()
			continue
		}
		name, ok := r.name()
		if !ok {
			return &Problem{File: path, Line: line, Text: fmt.Sprintf("%q is not of the form NAME=VALUE", abbreviated(name))}
		}
		value, ok := r.value()
		if !ok {
			return &Problem{File: path, Line: line, Text: "the quote is never closed"}
		}
		if strings.ContainsRune(name+value, 0) {
			return &Problem{File: path, Line: line, Text: "there is a NUL byte, which no variable can hold"}
		}
		v.put(name, value)
	}
}

// abbreviated keeps what may be a secret on a line without a name out of a log.
func abbreviated(s string) string {
	if len(s) > 20 {
		return s[:16] + "…"
	}
	return s
}

// envReader is where parse stands in an environment file.
type envReader struct {
	text []byte
	at   int
	line int
}

// next takes one byte; ok is false at the end.
func (r *envReader) next() (c byte, ok bool) {
	if r.at == len(r.text) {
		return 0, false
	}
	c = r.text[r.at]
	r.at++
	if c == '\n' {
		r.line++
	}
	return c, true
}

func (r *envReader) skip(set string) {
	for r.at < len(r.text) && strings.IndexByte(set, r.text[r.at]) >= 0 {
		r.next()
	}
}

func (r *envReader) comment() {
	for c, ok := r.next(); ok && c != '\n'; c, ok = r.next() {
	}
}

// name takes everything up to the "=" of the line.
func (r *envReader) name() (string, bool) {
	end := bytes.IndexAny(r.text[r.at:], "=\n")
	if end < 0 {
		end = len(r.text) - r.at
	}
	name := strings.Trim(string(r.text[r.at:r.at+end]), " \t\r")
	r.at += end
	if shell, ok := strings.CutPrefix(name, "export "); ok {
		name = strings.TrimLeft(shell, " \t")
	}
	if r.at == len(r.text) || r.text[r.at] != '=' || name == "" || strings.ContainsAny(name, " \t\"'\\") {
		return name, false
	}
	r.at++
	return name, true
}

// value takes the rest of the line; ok is false where a quote stays open. Quotes
// count at the beginning and behind other quotes, as in systemd; within a bare
// word they are characters as any other.
func (r *envReader) value() (value string, ok bool) {
	var out []byte
	keep := 0 // so much of out is not white space at its end
	bare := false
	r.skip(" \t\r")
	for {
		c, more := r.next()
		switch {
		case !more || c == '\n':
			return string(out[:keep]), true
		case !bare && (c == '\'' || c == '"'):
			if out, ok = r.quoted(out, c); !ok {
				return "", false
			}
			r.skip(" \t\r")
			keep = len(out)
		case c == '\\':
			bare = true
			if c, more = r.next(); more && c != '\n' {
				out = append(out, c)
			}
			keep = len(out)
		default:
			bare = true
			out = append(out, c)
			if c != ' ' && c != '\t' && c != '\r' {
				keep = len(out)
			}
		}
	}
}

// quoted appends what stands before the closing quote. In double quotes a
// backslash escapes what it does in a shell, and is itself before anything else.
func (r *envReader) quoted(out []byte, quote byte) ([]byte, bool) {
	for {
		c, more := r.next()
		switch {
		case !more:
			return out, false
		case c == quote:
			return out, true
		case quote == '"' && c == '\\':
			c, more = r.next()
			if !more {
				return out, false
			}
			if strings.IndexByte("\"\\`$", c) < 0 && c != '\n' {
				out = append(out, '\\')
			}
			if c != '\n' {
				out = append(out, c)
			}
		default:
			out = append(out, c)
		}
	}
}
