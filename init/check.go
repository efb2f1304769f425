package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/compose"
	"github.com/fleek-platform/nix2vast/services/modular"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// Kind is a kind of file that defines services.
type Kind string

// The kinds of files.
const (
	KindConfig  Kind = "config"          // an image's, see image.Config
	KindCompose Kind = "process-compose" // YAML or JSON
	KindModular Kind = "modular"         // NixOS's modular services, as JSON
	KindUnit    Kind = "unit"            // systemd.unit(5)
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{KindConfig, KindCompose, KindModular, KindUnit} }

// KindOf tells the kind of a file by its name and content.
func KindOf(file string, b []byte) (Kind, error) {
	switch filepath.Ext(file) {
	case ".service", ".socket":
		return KindUnit, nil
	case ".yaml", ".yml":
		return KindCompose, nil
	}
	text := bytes.TrimSpace(b)
	if len(text) > 0 && text[0] == '[' {
		return KindUnit, nil
	}
	if len(text) == 0 || text[0] != '{' {
		return "", errors.New("this is none of " + KindNames() + "; say which with --as")
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		// What is wrong is the parser's to say; the words in it tell whose it is.
		keys = map[string]json.RawMessage{}
		for _, key := range []string{"version", "processes"} {
			if bytes.Contains(b, []byte(`"`+key+`"`)) {
				keys[key] = nil
			}
		}
	}
	_, isProject := keys["processes"]
	version, isVersioned := keys["version"]
	switch {
	case isProject:
		return KindCompose, nil
	case isVersioned && !strings.HasPrefix(string(version), `"`):
		return KindConfig, nil
	}
	return KindModular, nil
}

// Known says whether k is one of Kinds.
func (k Kind) Known() bool { return slices.Contains(Kinds(), k) }

// KindWords are the kinds as somebody writes them.
func KindWords() (words []string) {
	for _, k := range Kinds() {
		words = append(words, string(k))
	}
	return words
}

// KindNames lists the kinds for a message.
func KindNames() string { return strings.Join(KindWords(), ", ") }

// Checked is a file of definitions that is to be checked. An empty kind is found out.
type Checked struct {
	File string
	Text []byte
	Kind Kind
}

func (f Checked) kind() Kind {
	if f.Kind != "" {
		return f.Kind
	}
	kind, _ := KindOf(f.File, f.Text) // "" is none
	return kind
}

// CheckFiles is Check for a person, of files that may name each other's services: of each
// every problem, or that it is good, a line each. In a box it also tells what that lacks.
func CheckFiles(root string, files []Checked, tell func(good bool, text string)) {
	c := newChecker(root, files)
	for _, f := range files {
		tell(f.verdict(c))
	}
}

func (f Checked) verdict(c *checker) (good bool, text string) {
	if f.kind() == "" {
		_, err := KindOf(f.File, f.Text)
		return false, fmt.Sprintf("%s: %v\n", f.File, err)
	}
	list, err := Check(c.root, f.File, f.Text, f.kind())
	err = errors.Join(err, c.problems(f, list))
	warnings, errs := splitWarnings(err)
	if len(errs) > 0 || len(warnings) > 0 && f.kind() == KindUnit { // which is how unitfile reports a directive that does not exist
		return false, strings.Join(sentences(err), "\n") + "\n"
	}
	for _, warning := range warnings {
		text += warning + "\n"
	}
	if len(list) == 1 {
		text += fmt.Sprintf("%s: good: 1 service\n", f.File)
	} else {
		text += fmt.Sprintf("%s: good: %d services\n", f.File, len(list))
	}
	for _, svc := range list {
		if len(svc.Unapplied) > 0 {
			text += fmt.Sprintf("%s: service %s: without effect in a container: %s\n", f.File, svc.Name, strings.Join(svc.Unapplied, ", "))
		}
	}
	return true, text
}

// Check reads the definitions of a file; the error joins everything that is
// wrong, each with the file and where possible the line. What a config names as
// files is looked for below root.
func Check(root, file string, b []byte, kind Kind) (list []services.Service, err error) {
	switch kind {
	case KindUnit:
		return unitfile.Check(file, b)
	case KindCompose:
		return compose.Parse(file, b, compose.Options{Known: atBoot()})
	case KindModular:
		list, _, err = modular.Parse(file, b)
	case KindConfig:
		return checkConfig(root, file, b)
	default:
		return nil, fmt.Errorf("%s is none of %s", kind, KindNames())
	}
	return list, err
}

func checkConfig(root, file string, b []byte) ([]services.Service, error) {
	config, err := image.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, lineOf(b, err), err)
	}
	list, _, err := fromConfig(root, file, config, nil)
	errs := append(repeated(file, b), err, awaitHooks(list))
	known, all := append(atBoot(), mainName), list
	names := slices.Sorted(maps.Keys(config.Services))
	parsed, _ := services.ParseAll(names, func(name string) []byte { return config.Services[name] })
	for i, name := range names { // one that is wrong by itself is there all the same, and may be wrong otherwise too
		switch {
		case slices.ContainsFunc(list, func(svc services.Service) bool { return svc.Name == name }):
		case parsed[i].Name == "":
			known = append(known, name)
		default:
			parsed[i].Source = fmt.Sprintf("%s:%d", file, image.Line(config.Services[name]))
			all = append(all, parsed[i])
		}
	}
	for _, e := range services.Split(services.Check(all, known...)) {
		errs = append(errs, placed(all, e))
	}
	return list, errors.Join(errs...)
}

// repeated finds the names that an object of a config has twice. JSON lets the last
// one count and says nothing, and a service would be gone without a word.
func repeated(file string, b []byte) (errs []error) {
	d := json.NewDecoder(bytes.NewReader(b))
	var value func()
	value = func() {
		open, _ := d.Token() // it has been parsed before: there is no error
		seen := map[string]bool{}
		for object := open == json.Delim('{'); (object || open == json.Delim('[')) && d.More(); value() {
			if !object {
				continue
			}
			key, _ := d.Token()
			name, _ := key.(string)
			if seen[name] {
				line := 1 + bytes.Count(b[:d.InputOffset()], []byte("\n"))
				errs = append(errs, fmt.Errorf("%s:%d: %s is there twice, and only this one would count", file, line, name))
			}
			seen[name] = true
		}
		if open == json.Delim('{') || open == json.Delim('[') {
			_, _ = d.Token()
		}
	}
	value()
	return errs
}

// lineOf is the line of b that an error of encoding/json is about, else the first.
func lineOf(b []byte, err error) int {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	at := int64(0)
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
	default:
		if _, field, ok := strings.Cut(err.Error(), "unknown field "); ok {
			at = int64(max(bytes.Index(b, []byte(field)), 0))
		}
	}
	return 1 + bytes.Count(b[:min(at, int64(len(b)))], []byte("\n"))
}
