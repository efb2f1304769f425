// Package modular reads evaluated modular services of nixpkgs (lib/services), as JSON
// and in the shape that nimi's file has, and lowers each to a services.Service.
//
//	{"services": {"web": {
//	  "process": {"argv": ["/bin/web"], "environment": {"A": "1", "B": null},
//	              "reloadCommand": "/bin/kill -HUP $MAINPID", "reloadSignal": "HUP"},
//	  "configData": {"web.conf": {"enable": true, "text": "…"}},
//	  "services": {"worker": {…}},
//	  "notificationProtocol": ["systemd"],
//	  "assertions": [{"assertion": true, "message": "…"}], "warnings": ["…"],
//	  "systemd": {"service": {"after": ["db.service"], "serviceConfig": {"User": "web"}}},
//	  "nix2vast": {"Requires": ["db"]}}}}
//
// The map of services may stand alone. A sub-service has the name PARENT.SUB; as in
// NixOS, owning one orders nothing. What several places say, the later of this list
// wins: process and notificationProtocol, systemd, nix2vast, whose fields are those of
// services.Service. null is as good as absent, but in an environment, where it unsets.
package modular

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// Dir is where configuration files go whose definition does not say.
const Dir = "/etc/nix2vast/services"

// File is a configuration file of a service.
type File struct {
	Service string
	Path    string // absolute; below Dir/SERVICE/ where the definition gives none
	// Text is its content where Source, the path of a file, is empty.
	Text   string
	Source string
}

// Parse reads a file, whose name is for messages alone. The error joins a
// services.Problem for everything that is wrong, and for each warning of a service;
// what makes sense is returned beside it, the services with their defaults.
func Parse(file string, b []byte) (list []services.Service, files []File, err error) {
	r := &reader{lines: map[string]int{}}
	r.Problems.File = file
	root, err := tree.ParseJSON(b)
	if err != nil {
		var bad *tree.SyntaxError
		at := 0
		if errors.As(err, &bad) {
			at = bad.Line
		}
		r.Problems.AddErr(at, err)
		return nil, nil, r.Problems.Err()
	}
	r.root(root)
	r.check()
	return r.list, r.files, r.Problems.Err()
}

// reader is a file while it is read.
type reader struct {
	tree.Reader
	list    []services.Service
	files   []File
	lines   map[string]int // of each service
	refused []string       // services that were not good
	restart func(svc *services.Service)
}

func ignored(*tree.Node, string) {}

// root reads a file with the key services, or a map of services.
func (r *reader) root(n *tree.Node) {
	inside := n.Get("services")
	if n.Kind != tree.Map || inside == nil || inside.Kind != tree.Map || isService(inside) {
		r.services(n, "", "")
		return
	}
	// Before the services, since it is their default.
	if settings := n.Get("settings"); settings != nil && settings.Kind == tree.Map {
		r.Map(settings, "settings", tree.Fields{"restart": r.readRestart, "startup": r.readStartup,
			"logging": ignored, "binName": ignored, "container": ignored, "bubblewrap": ignored})
	}
	r.Map(n, "", tree.Fields{
		"services":   func(n *tree.Node, at string) { r.services(n, at, "") },
		"settings":   ignored,
		"assertions": r.readAssertions(""), "warnings": r.readWarnings(""),
		"version": ignored, "meta": ignored, "passthru": ignored, "configData": ignored,
	})
}

// isService tells a service of that name from the map of all services.
func isService(n *tree.Node) bool {
	argv := n.Get("process").Get("argv")
	return argv != nil && argv.Kind == tree.List
}

// readRestart reads nimi's policy, which is one for all. It never starts a service
// again that ended well.
func (r *reader) readRestart(n *tree.Node, at string) {
	mode, count, ms := "always", 5, 1000
	r.Map(n, at, tree.Fields{
		"mode":  tree.OneOf(&r.Reader, &mode, map[string]string{"never": "never", "up-to-count": "up-to-count", "always": "always"}),
		"count": r.Int(&count, 0, 1<<31-1),
		"time":  r.Int(&ms, 0, 1<<31-1),
	})
	r.restart = func(svc *services.Service) {
		delay := services.Seconds(float64(ms) / 1000)
		svc.Restart, svc.RestartSec = services.RestartOnFailure, &delay
		switch mode {
		case "never":
			svc.Restart, svc.RestartSec = services.RestartNo, nil
		case "up-to-count":
			svc.MaxRestarts = count
		}
	}
}

// readStartup refuses nimi's program that runs before the services.
func (r *reader) readStartup(n *tree.Node, at string) {
	r.Map(n, at, tree.Fields{"runOnStartup": func(n *tree.Node, at string) {
		r.Add(n, "%s is not supported; make it a service with systemd.service.serviceConfig.Type = \"oneshot\", and let the others require it", at)
	}})
}

// services reads a map of services; parent is the name before theirs.
func (r *reader) services(n *tree.Node, at, parent string) {
	seen := map[string]bool{}
	r.Each(n, at, func(name string, line int, n *tree.Node, at string) {
		if parent != "" {
			name = parent + "." + name
		}
		if seen[name] {
			r.Problems.Add(line, "%s is given twice", at)
			return
		}
		seen[name] = true
		r.service(name, line, n, at)
	})
}

// service reads one, and those below it.
func (r *reader) service(name string, line int, n *tree.Node, at string) {
	svc := services.Service{Name: name, Source: r.Problems.File + ":" + strconv.Itoa(line)}
	if r.restart != nil {
		r.restart(&svc)
	}
	files, bad := len(r.files), false
	var systemd, own, below *tree.Node
	fields := tree.Fields{
		"process":              r.readProcess(&svc),
		"configData":           r.readConfigData(name),
		"services":             func(n *tree.Node, _ string) { below = n },
		"notificationProtocol": r.readNotification(&svc),
		"assertions":           func(n *tree.Node, at string) { bad = !r.assertions(n, at, name) },
		"warnings":             r.readWarnings(name),
		"systemd":              func(n *tree.Node, _ string) { systemd = n },
		"nix2vast":             func(n *tree.Node, _ string) { own = n },
	}
	// What the module gives to other managers, and what says nothing to any.
	for _, key := range []string{"meta", "finit", "dinit", "launchd", "runit", "s6", "shepherd", "homeManager", "nimi"} {
		fields[key] = ignored
	}
	r.Map(n, at, fields)
	if systemd != nil {
		r.systemd(&svc, systemd, at+".systemd")
	}
	if own != nil {
		r.own(&svc, own, at+".nix2vast")
	}
	if below != nil {
		r.services(below, at+".services", name)
	}
	if n.Kind != tree.Map || below != nil && len(below.Pairs) > 0 && len(svc.ExecStart) == 0 && n.Get("process").Get("argv") == nil {
		return // only a roof for those below
	}
	svc = svc.WithDefaults()
	err := svc.Validate()
	if len(svc.ExecStart) == 0 && len(svc.ExecStop) == 0 {
		bad, err = true, nil
		r.Problems.Add(line, "%s.process.argv is missing or empty; give the program and its arguments as a list", at)
	}
	r.Problems.AddErr(line, err)
	if bad || err != nil {
		r.files = r.files[:files]
		r.refused = append(r.refused, name)
		return
	}
	r.list = append(r.list, svc)
	r.lines[name] = line
}

// check looks at what services say of each other. The names of services that are not
// of this file are for whoever knows them all.
func (r *reader) check() {
	have := map[string]bool{}
	for _, svc := range r.list {
		have[svc.Name] = true
	}
	var elsewhere []string
	for _, svc := range r.list {
		for _, name := range slices.Concat(svc.After, svc.AfterStart, svc.Before, svc.Wants, svc.Requires, svc.BindsTo, svc.PartOf, svc.Conflicts) {
			if !have[name] {
				have[name] = true
				elsewhere = append(elsewhere, name)
			}
		}
	}
	for _, err := range services.Split(services.Check(r.list, elsewhere...)) {
		name, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "service "), ":")
		r.Problems.AddErr(r.lines[name], err)
	}
	paths := map[string]string{}
	for _, f := range r.files {
		if owner := paths[f.Path]; owner != "" && owner != f.Service {
			r.Problems.Add(r.lines[f.Service], "service %s: configData: %s is a file of service %s too", f.Service, f.Path, owner)
		}
		paths[f.Path] = f.Service
	}
}

func (r *reader) readAssertions(name string) tree.Setter {
	return func(n *tree.Node, at string) { r.assertions(n, at, name) }
}

// assertions says whether all hold. nixpkgs gives them as a list, and as a map in which
// a message may stand for one that is disabled.
func (r *reader) assertions(n *tree.Node, at, name string) bool {
	items := n.Items
	if n.Kind == tree.Map {
		for _, pair := range n.Pairs {
			items = append(items, pair.Value)
		}
	} else if n.Kind != tree.List {
		r.Texts(new([]string))(n, at)
	}
	all := true
	for _, item := range items {
		holds, enabled, message := true, true, "an assertion of the module does not hold"
		r.Map(item, at, tree.Fields{"assertion": r.Bool(&holds), "message": r.Text(&message), "enable": r.Bool(&enabled)})
		if !holds && enabled {
			all = false
			if name != "" {
				message = "service " + name + ": " + message
			}
			r.Add(item, "%s", message)
		}
	}
	return all
}

func (r *reader) readWarnings(name string) tree.Setter {
	return func(n *tree.Node, at string) {
		var list []string
		r.Texts(&list)(n, at)
		for _, text := range list {
			if name != "" {
				text = "service " + name + ": " + text
			}
			r.Problems.Warn(n.Line, text)
		}
	}
}

func (r *reader) readConfigData(service string) tree.Setter {
	return func(n *tree.Node, at string) {
		r.Each(n, at, func(name string, line int, n *tree.Node, at string) {
			f := File{Service: service}
			enable, text := true, false
			r.Map(n, at, tree.Fields{
				"enable": r.Bool(&enable), "name": r.Text(&name), "path": r.Text(&f.Path), "source": r.Text(&f.Source),
				"text": func(n *tree.Node, at string) {
					text = true
					r.Text(&f.Text)(n, at)
				},
			})
			switch {
			case n.Kind != tree.Map || !enable:
				return
			case !text && f.Source == "":
				r.Problems.Add(line, "%s has neither text nor source", at)
				return
			case f.Path == "" && !inside(name):
				r.Problems.Add(line, "%s: %q is not a relative path without \"..\"", at, tree.Shorten(name))
				return
			case f.Path == "":
				f.Path = path.Join(Dir, service, name)
			case !path.IsAbs(f.Path):
				r.Problems.Add(line, "%s: path %q is not absolute", at, tree.Shorten(f.Path))
				return
			}
			if f.Source != "" && !path.IsAbs(f.Source) {
				r.Problems.Add(line, "%s: source %q is not absolute", at, tree.Shorten(f.Source))
				return
			}
			f.Path = path.Clean(f.Path)
			if text {
				f.Source = "" // nixpkgs makes one of the text
			}
			r.files = append(r.files, f)
		})
	}
}

// inside says whether a relative path stays below where it begins.
func inside(name string) bool {
	return name != "" && !path.IsAbs(name) && path.Clean(name) != "." && !slices.Contains(strings.Split(name, "/"), "..")
}
