package unitfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

// ParseCommands reads the value of an ExecStart= in the unit of the named service, by
// "Command lines" in systemd.service(5). Where something in it is only odd, such as an
// unknown specifier, that is a warning.
func ParseCommands(service, value string) (list services.Commands, warnings []string, err error) {
	name, err := parseName(service)
	if err != nil {
		name = unitName{prefix: service, kind: ".service"} // as specifiers give it back
	}
	var p problems
	u := newLowering("/", name, "", &p)
	u.option.Name = "it"
	err = commandLines(func(*lowering) *services.Commands { return &list })(u, strings.Trim(value, blanks))
	for _, odd := range p.list {
		var problem *services.Problem
		if errors.As(odd, &problem) {
			warnings = append(warnings, strings.TrimPrefix(problem.Text, u.option.Name+": "))
		}
	}
	return list, warnings, err
}

// commandLines reads ExecStart= and its like; see "Command lines" in
// systemd.service(5).
func commandLines(field func(u *lowering) *services.Commands) setter {
	return func(u *lowering, value string) error {
		if value == "" {
			*field(u) = nil
			return nil
		}
		s := &scanner{rest: value}
		for {
			cmd, err := u.command(s)
			if err != nil {
				return err
			}
			if len(cmd.Argv) == 0 {
				break
			}
			*field(u) = append(*field(u), cmd)
		}
		u.oddEscapes(s)
		return nil
	}
}

// command reads up to the end or a ";" of its own. It returns no words at the end.
func (u *lowering) command(s *scanner) (services.Command, error) {
	var cmd services.Command
	first, ok, err := s.next()
	for ok && err == nil && first == ";" { // an empty command
		first, ok, err = s.next()
	}
	if err != nil || !ok {
		return cmd, err
	}
	program, named, err := prefixes(&cmd, first)
	if err != nil {
		return cmd, err
	}
	if program = u.expanded(program); !executable(program) {
		return cmd, fmt.Errorf("%s is neither an absolute path nor the name of a program", quoted(program))
	}
	cmd.Argv = []string{program}
	for {
		s.rest = strings.TrimLeft(s.rest, blanks)
		if rest, ok := cutLone(s.rest, ";"); ok {
			s.rest = rest
			break
		}
		if rest, ok := cutLone(s.rest, `\;`); ok {
			s.rest = rest
			cmd.Argv = append(cmd.Argv, ";")
			continue
		}
		word, ok, err := s.next()
		if err != nil {
			return cmd, err
		}
		if !ok {
			break
		}
		cmd.Argv = append(cmd.Argv, u.expanded(word))
	}
	if named {
		if len(cmd.Argv) < 2 {
			return cmd, errors.New("after @ PROGRAM there must be the name that it is called by")
		}
		cmd.Argv0 = cmd.Argv[1]
		cmd.Argv = append(cmd.Argv[:1:1], cmd.Argv[2:]...)
	}
	return cmd, nil
}

// prefixes reads the signs before the program.
func prefixes(cmd *services.Command, word string) (program string, named bool, err error) {
	cmd.Expand = true
	for i := range len(word) {
		switch word[i] {
		case '-':
			cmd.IgnoreFailure = true
		case '@':
			named = true
		case ':':
			cmd.Expand = false
		case '+':
			cmd.Privileged = true
		case '!': // "!!" is for systems without ambient capabilities: it has no effect
			cmd.Privileged = strings.Count(word[:len(word)-len(strings.TrimLeft(word, "-@:+!"))], "!") == 1
		case '|':
			return "", false, errors.New(`the prefix | is not supported; write /bin/sh -c "…"`)
		default:
			return word[i:], named, nil
		}
	}
	return "", named, nil
}

// executable says whether a text can be the program of a command.
func executable(program string) bool {
	for _, c := range []byte(program) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	if strings.HasPrefix(program, "/") {
		return !strings.HasSuffix(program, "/")
	}
	return program != "" && !strings.Contains(program, "/")
}

// cutLone cuts a word off that has nothing but a blank behind it.
func cutLone(text, word string) (string, bool) {
	rest, ok := strings.CutPrefix(text, word)
	return rest, ok && (rest == "" || strings.IndexByte(blanks, rest[0]) >= 0)
}

// expanded replaces specifiers, and says which are none.
func (u *lowering) expanded(value string) string {
	text, odd := u.expand(value)
	for _, o := range odd {
		u.problems.warn(u.option, "%s: there is no specifier %s; it stays as it is, write %%%% for one %%", u.option.Name, o)
	}
	return text
}

func (u *lowering) oddEscapes(s *scanner) {
	for _, o := range s.odd {
		u.problems.warn(u.option, "%s: %s is no escape; it stays as it is, write \\\\ for one \\", u.option.Name, o)
	}
}

// words takes a value apart, with its specifiers.
func (u *lowering) words(value string) ([]string, error) {
	var list []string
	s := &scanner{rest: value}
	for {
		word, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			u.oddEscapes(s)
			return list, nil
		}
		list = append(list, u.expanded(word))
	}
}
