package boot

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// checker knows what surrounds the files that are checked together.
type checker struct {
	root  string
	units []services.Service // of all of them that are unit files
	box   *image.Config      // of the box in which they are checked; nil: in none
}

// newChecker reads what the files define beside each other. That a program, an account or
// a unit is missing can be said in a box only: a file may be meant for another machine.
func newChecker(root string, files []Checked) *checker {
	c := &checker{root: root}
	if _, err := os.Stat(filepath.Join(root, ConfigPath)); err == nil {
		config, err := image.Load(root)
		if err != nil {
			config = image.Config{} // its own check says what is wrong with it
		}
		c.box = &config
	}
	for _, f := range files {
		if f.kind() == KindUnit {
			list, _ := unitfile.Check(f.File, f.Text) // its errors are said when it is its turn
			c.units = append(c.units, list...)
		}
	}
	return c
}

// problems are what is wrong with good services because of what surrounds them.
func (c *checker) problems(f Checked, list []services.Service) error {
	p := services.Problems{File: f.File}
	if f.kind() == KindUnit && len(list) > 0 {
		c.between(f, list[0], &p)
	}
	if c.box == nil {
		return p.Err()
	}
	for _, svc := range list {
		for _, lack := range svc.Lacks(Environ()) {
			p.Add(f.lineOf(svc, lack.Field, lack.Word), "%s: %s", of(f, svc, lack.Field), lack.Text)
		}
	}
	return p.Err()
}

// of names a field, with its service where the file has several.
func of(f Checked, svc services.Service, field string) string {
	if f.kind() == KindUnit {
		return field
	}
	return "service " + svc.Name + ": " + field
}

// between adds what is wrong between a unit and others: those that it requires and that
// are not there, and circles that it is a part of.
func (c *checker) between(f Checked, svc services.Service, p *services.Problems) {
	all := []services.Service{svc}
	for i := 0; i < len(all); i++ {
		for field, names := range ordered(all[i]) {
			for _, name := range names {
				if slices.ContainsFunc(all, func(s services.Service) bool { return s.Name == name }) {
					continue
				}
				other, there := c.unit(filepath.Dir(f.File), name)
				if other != nil {
					all = append(all, *other)
				}
				if !there && i == 0 && c.box != nil && (field == "Requires" || field == "BindsTo") {
					p.Add(f.lineOf(svc, field, name), "%s: there is no unit %s.service", field, name)
				}
			}
		}
	}
	for _, circle := range services.Circles(all) {
		i := slices.Index(circle, svc.Name)
		if i < 0 {
			continue
		}
		next := circle[(i+1)%len(circle)]
		for field, names := range ordered(svc) {
			if slices.Contains(names, next) {
				p.Add(f.lineOf(svc, field, next), "%s: the order goes round in a circle: %v", field, circle)
				break
			}
		}
	}
}

// ordered yields what a service names and starts after, or before, by the field.
func ordered(svc services.Service) func(yield func(string, []string) bool) {
	return func(yield func(string, []string) bool) {
		_ = yield("After", svc.After) && yield("Requires", svc.Requires) && yield("BindsTo", svc.BindsTo) && yield("Before", svc.Before)
	}
}

// unit finds a unit that another names: among those that are checked with it, beside it in
// its folder, and in the box. It may be there without a definition that could be read.
func (c *checker) unit(dir, name string) (svc *services.Service, there bool) {
	named := func(list []services.Service) bool {
		i := slices.IndexFunc(list, func(s services.Service) bool { return s.Name == name })
		if i >= 0 {
			svc = &list[i]
		}
		return i >= 0
	}
	if named(c.units) {
		return svc, true
	}
	if file := filepath.Join(dir, name+".service"); !strings.Contains(name, "/") {
		if b, err := os.ReadFile(file); err == nil {
			list, _ := unitfile.Check(file, b)
			return svc, named(list) || true
		}
	}
	if c.box == nil {
		return nil, false
	}
	if installed(unitfile.State(c.root, name)) {
		list, _ := unitfile.Load(c.root, name)
		return svc, named(list) || true
	}
	_, there = c.box.Services[name]
	return nil, there || slices.Contains(atBoot(), name) || isSSH(name)
}

// lineOf is the line of a file that a service names something in: of a unit file the last
// assignment of the directive that holds it, else where the service begins.
func (f Checked) lineOf(svc services.Service, field, word string) (line int) {
	if f.kind() == KindUnit {
		n := 0
		for text := range bytes.Lines(f.Text) {
			n++
			key, value, ok := bytes.Cut(text, []byte("="))
			if ok && string(bytes.TrimSpace(key)) == field && (bytes.Contains(value, []byte(word)) || line == 0) {
				line = n
			}
		}
		return line
	}
	if i := strings.LastIndexByte(svc.Source, ':'); i > 0 {
		line, _ = strconv.Atoi(svc.Source[i+1:])
	}
	return line
}

// placed puts the place of the service that an error is about before it.
func placed(list []services.Service, err error) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "service "), ":")
	i := slices.IndexFunc(list, func(svc services.Service) bool { return svc.Name == name })
	if i < 0 || list[i].Source == "" {
		return err
	}
	return fmt.Errorf("%s: %w", list[i].Source, err)
}
