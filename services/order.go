package services

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// edges are what a service waits for and who waits for it, by record. They
// follow from the definitions of all services and are worked out again when the
// set of these changes.
type edges struct {
	after      []*record // must have settled: After, others' Before
	afterStart []*record // must run
	needs      []*record // must be ready or done: Requires, BindsTo
	behind     []*record // the other end of all three: who waits for this one
	drags      []*record // who stops and restarts with it: others' Requires, BindsTo, PartOf
	pulls      []*record // what starts with it: Wants, Requires, BindsTo
	foes       []*record // Conflicts, of either side
	reloadsToo []*record // PropagatesReloadTo, others' ReloadPropagatedFrom
}

// graph is the order of a set of definitions, before it is one of records.
type graph struct {
	names  []string            // in the order given
	list   map[string]*Service // by name
	before map[string][]string // what each is ordered behind
}

func newGraph(list []Service) *graph {
	g := &graph{list: map[string]*Service{}, before: map[string][]string{}}
	for i := range list {
		g.names = append(g.names, list[i].Name)
		g.list[list[i].Name] = &list[i]
	}
	for _, name := range g.names {
		svc := g.list[name]
		g.before[name] = append(g.before[name], slices.Concat(svc.After, svc.AfterStart, svc.Requires, svc.BindsTo)...)
		for _, other := range svc.Before {
			g.before[other] = append(g.before[other], name)
		}
	}
	return g
}

// named lists what a definition names, with the field that does. (Units of systemd may
// name what is not there: their reader leaves that out.)
func (svc *Service) named() map[string]string {
	var names map[string]string
	for _, f := range []struct {
		field string
		list  []string
	}{
		{"ReloadPropagatedFrom", svc.ReloadPropagatedFrom}, {"PropagatesReloadTo", svc.PropagatesReloadTo},
		{"Conflicts", svc.Conflicts}, {"PartOf", svc.PartOf}, {"Wants", svc.Wants}, {"Before", svc.Before},
		{"AfterStart", svc.AfterStart}, {"After", svc.After}, {"BindsTo", svc.BindsTo}, {"Requires", svc.Requires},
	} {
		for _, name := range f.list {
			if names == nil {
				names = map[string]string{}
			}
			names[name] = f.field
		}
	}
	return names
}

// circles returns the edges, each from a service to what it is ordered behind,
// without which there is no circle, and for each the circle that it closed.
func (g *graph) circles() (cut [][2]string, paths [][]string) {
	const open, closed = 1, 2
	seen := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		seen[name] = open
		path = append(path, name)
		for _, dep := range g.before[name] {
			switch {
			case g.list[dep] == nil || seen[dep] == closed:
			case seen[dep] == open:
				cut = append(cut, [2]string{name, dep})
				paths = append(paths, slices.Clone(path[slices.Index(path, dep):]))
			default:
				visit(dep)
			}
		}
		path = path[:len(path)-1]
		seen[name] = closed
	}
	for _, name := range g.names {
		if seen[name] == 0 {
			visit(name)
		}
	}
	return cut, paths
}

// Check says what is wrong between definitions: names given twice, services that
// they name but do not have, and circles. known lists the names that exist beside them.
func Check(list []Service, known ...string) error {
	var errs []error
	first := map[string]bool{}
	for _, name := range known {
		first[name] = true
	}
	for i := range list {
		if first[list[i].Name] {
			errs = append(errs, fmt.Errorf("service %s: the name is taken", list[i].Name))
		}
		first[list[i].Name] = true
	}
	for i := range list {
		for _, name := range slices.Sorted(maps.Keys(list[i].named())) {
			if !first[name] {
				errs = append(errs, fmt.Errorf("service %s: %s: there is no service %s", list[i].Name, list[i].named()[name], name))
			}
		}
	}
	_, paths := newGraph(list).circles()
	for _, circle := range paths {
		errs = append(errs, fmt.Errorf("service %s: the order goes round in a circle: %v", circle[0], circle))
	}
	return errors.Join(errs...)
}

// connect works out the edges between all records. One that would keep a service from
// ever starting is left out; what was wrong is returned for the named services, or for all.
func (s *Supervisor) connect(report func(name string) bool) []error {
	var errs []error
	say := func(name, format string, args ...any) {
		if report(name) {
			errs = append(errs, fmt.Errorf("service "+name+": "+format, args...))
		}
	}
	list := make([]Service, len(s.order))
	for i, r := range s.order {
		list[i] = r.Service
		r.edges = edges{}
	}
	cut, paths := newGraph(list).circles()
	for i, c := range cut {
		say(c[0], "starts without waiting for %s: the order would go round in a circle: %v", c[1], paths[i])
	}
	order := func(r *record, to *[]*record, dep *record) {
		if !slices.Contains(cut, [2]string{r.Name, dep.Name}) {
			*to = append(*to, dep)
			dep.behind = append(dep.behind, r)
		}
	}
	for _, r := range s.order {
		named := r.named()
		for _, name := range slices.Sorted(maps.Keys(named)) {
			if s.records[name] == nil {
				say(r.Name, "starts without %s, which %s names: there is no such service", name, named[name])
			}
		}
		s.each(r.After, func(dep *record) { order(r, &r.after, dep) })
		s.each(r.Before, func(other *record) { order(other, &other.after, r) })
		s.each(r.AfterStart, func(dep *record) { order(r, &r.afterStart, dep) })
		s.each(slices.Concat(r.Requires, r.BindsTo), func(dep *record) {
			order(r, &r.needs, dep)
			dep.drags = append(dep.drags, r)
			r.pulls = append(r.pulls, dep)
		})
		s.each(r.PartOf, func(dep *record) { dep.drags = append(dep.drags, r) })
		s.each(r.Wants, func(dep *record) { r.pulls = append(r.pulls, dep) })
		s.each(r.PropagatesReloadTo, func(other *record) { r.reloadsToo = append(r.reloadsToo, other) })
		s.each(r.ReloadPropagatedFrom, func(from *record) { from.reloadsToo = append(from.reloadsToo, r) })
		s.each(r.Conflicts, func(foe *record) { r.foes = append(r.foes, foe); foe.foes = append(foe.foes, r) })
	}
	return errs
}

// each calls do for those of the names that are services.
func (s *Supervisor) each(names []string, do func(*record)) {
	for _, name := range names {
		if r := s.records[name]; r != nil {
			do(r)
		}
	}
}

// blockedBy names the service that r has to wait for, or "", and whether that one
// has failed for good, so that waiting is no use.
func (r *record) blockedBy() (name string, hopeless bool) {
	for _, dep := range r.needs {
		if dep.state == Failed {
			return dep.Name, true
		}
	}
	for _, dep := range r.needs {
		if dep.state != Ready && dep.state != Done {
			return dep.Name, false
		}
	}
	for _, dep := range r.after {
		if dep.state == Starting || dep.state == Stopping && dep.again {
			return dep.Name, false
		}
	}
	for _, dep := range r.afterStart {
		if dep.state == Starting && dep.pid == 0 {
			return dep.Name, false
		}
	}
	for _, foe := range r.foes {
		if foe.state == Stopping {
			return foe.Name, false
		}
	}
	return "", false
}
