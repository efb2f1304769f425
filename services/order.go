package services

import (
	"errors"
	"fmt"
	"slices"
)

// Check says what is wrong between definitions: names given twice, services that
// they name but do not have, and circles. known lists the names that exist beside them.
func Check(list []Service, known ...string) error {
	var errs []error
	all := map[string]*Service{}
	for _, name := range known {
		all[name] = &Service{Name: name}
	}
	for i, svc := range list {
		if all[svc.Name] != nil {
			errs = append(errs, fmt.Errorf("service %s: the name is taken", svc.Name))
			continue
		}
		all[svc.Name] = &list[i]
	}
	for i := range list {
		for _, name := range list[i].behind() {
			if all[name] == nil {
				errs = append(errs, fmt.Errorf("service %s: there is no service %s to start after", list[i].Name, name))
			}
		}
		if circle := circleFrom(all, list[i].Name, nil); circle != nil && circle[0] == slices.Min(circle) {
			errs = append(errs, fmt.Errorf("service %s: the order goes round in a circle: %v", list[i].Name, circle))
		}
	}
	return errors.Join(errs...)
}

// behind lists what the service is ordered behind.
func (svc *Service) behind() []string { return slices.Concat(svc.After, svc.Requires) }

// circleFrom follows the order from the last name of path and returns the
// circle that leads back to the first one.
func circleFrom(all map[string]*Service, name string, path []string) []string {
	if len(path) > 0 && name == path[0] {
		return path
	}
	if all[name] == nil || slices.Contains(path, name) {
		return nil
	}
	for _, next := range all[name].behind() {
		if circle := circleFrom(all, next, append(slices.Clone(path), name)); circle != nil {
			return circle
		}
	}
	return nil
}

// cut removes the edges that would keep a service from ever starting, and says so.
func (s *Supervisor) cut(added []*record) []error {
	var errs []error
	all := map[string]*Service{}
	for _, r := range s.order {
		all[r.Name] = &r.Service
	}
	for _, r := range added {
		drop := func(name, why string) {
			same := func(other string) bool { return other == name }
			r.After = slices.DeleteFunc(slices.Clone(r.After), same)
			r.Requires = slices.DeleteFunc(slices.Clone(r.Requires), same)
			errs = append(errs, fmt.Errorf("service %s: starts without waiting for %s: %s", r.Name, name, why))
		}
		for _, name := range r.behind() {
			if all[name] == nil {
				drop(name, "there is no such service")
			} else if circleFrom(all, name, []string{r.Name}) != nil {
				drop(name, "the order would go round in a circle")
			}
		}
	}
	return errs
}
