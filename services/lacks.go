package services

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// A Lack is something that a definition names and that this box does not have.
type Lack struct {
	Field string // of the definition
	Word  string // what it names
	Text  string // what is the matter with that
}

// Lacks looks for the programs and accounts that a definition names, in the box that this
// program runs in. What only a shell would find out is not looked for, but for a shell's
// command that begins with a path. environ is what services are given there.
func (svc *Service) Lacks(environ []string) (list []Lack) {
	env := slices.Clone(environ)
	for name, value := range svc.Environment {
		env = append(env, name+"="+value)
	}
	lack := func(field, word, text string) { list = append(list, Lack{field, word, text}) }
	program := func(field string, argv []string) {
		if word, text := lacksProgram(argv, env); text != "" {
			lack(field, word, text)
		}
	}
	for field, commands := range svc.commands() {
		for _, c := range commands {
			if !c.IgnoreFailure {
				program(field, c.Argv)
			}
		}
	}
	for field, p := range map[string]*Probe{"Probe": svc.Probe, "Liveness": svc.Liveness} {
		if p != nil && len(p.Exec) > 0 {
			program(field, p.Exec)
		}
	}
	if svc.User != "" {
		if _, err := lookupUser(svc.User); err != nil {
			lack("User", svc.User, err.Error())
		}
	}
	for _, name := range append([]string{svc.Group}, svc.SupplementaryGroups...) {
		if name == "" {
			continue
		}
		if _, err := lookupGroup(name); err != nil {
			field := "SupplementaryGroups"
			if name == svc.Group {
				field = "Group"
			}
			lack(field, name, err.Error())
		}
	}
	return list
}

// lacksProgram says what keeps a command's program, or that of a shell's command, from
// being executed; nothing where it can be.
func lacksProgram(argv, env []string) (word, text string) {
	if len(argv) == 0 {
		return "", "" // Validate says so
	}
	file, err := lookPath(argv[0], env, "/")
	if err != nil {
		return argv[0], err.Error()
	}
	if text := unexecutable(file); text != "" {
		return argv[0], text
	}
	if i := slices.Index(argv, "-c"); i > 0 && i+1 < len(argv) && strings.HasSuffix(argv[0], "sh") {
		words := strings.Fields(argv[i+1])
		if len(words) > 1 && words[0] == "exec" {
			words = words[1:]
		}
		if len(words) > 0 && plainPath(words[0]) {
			return words[0], unexecutable(words[0])
		}
	}
	return "", ""
}

// plainPath says whether a shell would take a word for the path of a program.
func plainPath(word string) bool {
	return strings.HasPrefix(word, "/") && !strings.ContainsAny(word, "$`\"'\\*?[]{}()<>|&;=~")
}

func unexecutable(file string) string {
	switch info, err := os.Stat(file); {
	case err != nil:
		return fmt.Sprintf("there is no %s", file)
	case !info.Mode().IsRegular():
		return file + " is no file"
	case info.Mode()&0o111 == 0:
		return file + " is not executable; chmod +x it"
	}
	return ""
}

// Circles are the circles in which the order of services goes round, each as the names
// that it goes through.
func Circles(list []Service) [][]string {
	_, paths := newGraph(list).circles()
	return paths
}
