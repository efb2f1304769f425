package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// CheckFile is Check for a person: every problem, or that it is good, a line each.
// An empty kind is found out.
func CheckFile(root, file string, b []byte, kind Kind) (good bool, text string) {
	if kind == "" {
		k, err := KindOf(file, b)
		if err != nil {
			return false, fmt.Sprintf("%s: %v\n", file, err)
		}
		kind = k
	}
	list, err := Check(root, file, b, kind)
	warnings, errs := splitWarnings(err)
	if len(errs) > 0 || len(warnings) > 0 && kind == KindUnit { // which is how unitfile reports a directive that does not exist
		return false, strings.Join(sentences(err), "\n") + "\n"
	}
	for _, warning := range warnings {
		text += warning + "\n"
	}
	if len(list) == 1 {
		text += fmt.Sprintf("%s: good: 1 service\n", file)
	} else {
		text += fmt.Sprintf("%s: good: %d services\n", file, len(list))
	}
	for _, svc := range list {
		if len(svc.Unapplied) > 0 {
			text += fmt.Sprintf("%s: service %s: without effect in a container: %s\n", file, svc.Name, strings.Join(svc.Unapplied, ", "))
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
		return compose.Parse(file, b)
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
	errs := append(repeated(file, b), err)
	known := []string{sshdName, gpuName, mainName}
	for name := range config.Services { // one that is wrong by itself is there all the same
		if !slices.ContainsFunc(list, func(svc services.Service) bool { return svc.Name == name }) {
			known = append(known, name)
		}
	}
	for _, e := range services.Split(services.Check(list, known...)) {
		errs = append(errs, atService(file, list, e))
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

// atService puts the place of the service that an error is about before it.
func atService(file string, list []services.Service, err error) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "service "), ":")
	i := slices.IndexFunc(list, func(svc services.Service) bool { return svc.Name == name })
	if i < 0 || list[i].Source == "" {
		return fmt.Errorf("%s: %w", file, err)
	}
	return fmt.Errorf("%s: %w", list[i].Source, err)
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
