package unitfile

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

// Load reads the units that names say, "x", "x.service", "x@instance.service" or
// "x.socket", and those that they want, require or bind to. A service gets the
// sockets of its socket units that are enabled, asked for, or needed by one of
// the services; there is no start on the first connection, it starts with them.
//
// The services come back under their names without ".service", with their
// defaults, ready to be supervised: what they name in After, Wants and so on is
// in the list too. What is wrong is in the error, a services.Problem each; a
// service is left out where one of its problems is no Warning.
func Load(root string, names ...string) ([]services.Service, error) {
	return LoadBeside(root, nil, names...)
}

// LoadBeside does what Load does, and leaves the names of other services, which
// are no units, in After, Before, Conflicts and so on.
func LoadBeside(rootDir string, beside []string, names ...string) ([]services.Service, error) {
	r := root(rootDir)
	l := &loader{root: r, beside: beside, units: map[string]*lowering{}, sockets: map[string][]*lowering{}, enabled: r.enabled()}
	for _, text := range names {
		name, err := parseName(text)
		if err == nil {
			err = name.unsupported()
		}
		if err != nil {
			l.problems.add(text, 0, false, "%v", err)
			continue
		}
		l.load(name, true)
	}
	for len(l.waiting) > 0 {
		next := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.load(next, false)
	}
	return l.services(), l.problems.err()
}

type loader struct {
	root     root
	beside   []string
	enabled  []string // full names
	problems problems
	units    map[string]*lowering   // services and sockets, by full name; nil for one that does not exist
	order    []string               // of the services
	sockets  map[string][]*lowering // by the full name of their service
	waiting  []unitName
}

// load reads one unit, once. Only one that was asked for must be there.
func (l *loader) load(name unitName, asked bool) {
	if name.isTemplate() {
		name.instance = l.root.instance(name)
	}
	f, err := l.root.find(name)
	switch {
	case err != nil && asked:
		l.problems.add(name.String(), 0, false, "%v", err)
		return
	case err != nil && !errors.Is(err, errMasked) && !errors.Is(err, errNotFound):
		l.problems.add(name.String(), 0, true, "%v", err)
		return
	case err != nil || !asked && f.name.ofSystemd():
		return
	case f.name.isTemplate():
		l.problems.add(f.file, 0, false, "it is a template; name an instance, such as %s1", f.name.base())
		return
	}
	key := f.name.String()
	if l.units[key] != nil {
		return
	}
	u := l.root.lower(f)
	l.units[key] = u
	if f.name.kind == ".socket" {
		l.loadSocket(u)
		return
	}
	l.order = append(l.order, key)
	u.svc.Wants = append(u.svc.Wants, l.root.linked(f.name, ".wants")...)
	u.svc.Wants = append(u.svc.Wants, l.root.linked(f.name, ".upholds")...)
	u.svc.Requires = append(u.svc.Requires, l.root.linked(f.name, ".requires")...)
	needs := slices.Concat(u.svc.Wants, u.svc.Requires, u.svc.BindsTo, u.wantedSockets)
	if socket := f.name.with(".socket").String(); slices.Contains(l.enabled, socket) {
		needs = append(needs, socket)
	}
	for _, need := range needs {
		if n, err := parseName(need); err == nil && (n.kind == ".service" || n.kind == ".socket") {
			l.waiting = append(l.waiting, n)
		}
	}
}

// loadSocket notes a socket unit for its service, which it brings along.
func (l *loader) loadSocket(u *lowering) {
	service := u.name.with(".service")
	if u.socketService != "" {
		named, err := parseName(u.socketService)
		if err != nil || named.kind != ".service" {
			u.problems.bad(u.last["Service"], "Service: %s is not the name of a service", quoted(u.socketService))
			return
		}
		service = named
	}
	if f, err := l.root.find(service); err == nil {
		service = f.name
	} else if !u.accept {
		u.problems.add(u.file, 0, true, "its service %s: %v", service, err)
		return
	}
	u.finish()
	l.sockets[service.String()] = append(l.sockets[service.String()], u)
	if !u.accept {
		l.waiting = append(l.waiting, service)
	}
}

// lower reads the files of a unit.
func (r root) lower(f fragment) *lowering {
	u := newLowering(r, f.name, f.file, &problems{})
	for _, file := range slices.Concat([]string{f.file}, r.dropIns(f.name)) {
		b, err := r.readFile(file)
		if err != nil {
			u.problems.add(file, 0, false, "%v", err)
			continue
		}
		u.apply(read(file, b, u.problems))
	}
	return u
}

// instance is the one that a template says it has by default, or nothing.
func (r root) instance(name unitName) string {
	f, err := r.find(name)
	if err != nil {
		return ""
	}
	return r.lower(f).defaultInstance
}

// services finishes what was loaded: names of units become names of services, and
// those that are not there go.
func (l *loader) services() []services.Service {
	var list []services.Service
	for _, key := range l.order {
		u := l.units[key]
		svc := u.finish()
		for _, socket := range l.sockets[key] {
			svc.Sockets = append(svc.Sockets, socket.listening()...)
			svc.Unapplied = append(svc.Unapplied, socket.svc.Unapplied...)
			u.problems.merge(socket.problems)
		}
		u.validate(svc)
		if !u.problems.fatal {
			list = append(list, svc)
		}
	}
	there := map[string]string{} // by the full name of a unit
	for _, name := range l.beside {
		there[name+".service"] = name
	}
	for _, svc := range list {
		there[svc.Name+".service"] = svc.Name
	}
	for i := range list {
		svc := &list[i]
		u := l.units[svc.Name+".service"]
		for _, field := range dependencies(svc) {
			*field.list = l.reduce(u, field.name, *field.list, there)
		}
		l.problems.merge(u.problems)
	}
	for _, key := range slices.Sorted(maps.Keys(l.units)) {
		if u := l.units[key]; u.problems.fatal || u.name.kind == ".socket" {
			l.problems.merge(u.problems)
		}
	}
	return list
}

// dependencies lists the fields that name other services.
func dependencies(svc *services.Service) []struct {
	name string
	list *[]string
} {
	return []struct {
		name string
		list *[]string
	}{{"After", &svc.After}, {"Before", &svc.Before}, {"AfterStart", &svc.AfterStart}, {"Wants", &svc.Wants}, {"Requires", &svc.Requires},
		{"BindsTo", &svc.BindsTo}, {"PartOf", &svc.PartOf}, {"Conflicts", &svc.Conflicts},
		{"PropagatesReloadTo", &svc.PropagatesReloadTo}, {"ReloadPropagatedFrom", &svc.ReloadPropagatedFrom}}
}

// reduce keeps the services among the names of units. Targets are always reached,
// mounts always there; a socket stands for its service where it is needed.
func (l *loader) reduce(u *lowering, field string, units []string, there map[string]string) []string {
	var kept []string
	for _, text := range units {
		name, err := parseName(text)
		if err != nil {
			continue
		}
		own, missing := l.root.find(name)
		if missing == nil {
			name = own.name
		}
		key := name.String()
		if name.kind == ".socket" && (field == "Wants" || field == "Requires" || field == "BindsTo") {
			key = l.serviceOf(key)
		} else if name.kind != ".service" {
			continue
		}
		service, ok := there[key]
		if !ok {
			if (field == "Requires" || field == "BindsTo") && name.kind == ".service" && !name.ofSystemd() {
				if missing == nil {
					missing = errors.New("its definition is of no use")
				}
				u.problems.warn(u.last[field], "%s: %s: %v; it starts without", field, name, missing)
			}
			continue
		}
		if service != u.name.service() && !slices.Contains(kept, service) {
			kept = append(kept, service)
		}
	}
	return kept
}

func (l *loader) serviceOf(socket string) string {
	for service, list := range l.sockets {
		if slices.ContainsFunc(list, func(u *lowering) bool { return u.name.String() == socket }) {
			return service
		}
	}
	return ""
}

// Check reads one file on its own; its name is that of the unit. Of a template it
// reads the instance "instance". A good socket gives no service.
func Check(file string, b []byte) ([]services.Service, error) {
	var p problems
	name, err := parseName(path.Base(file))
	if err == nil {
		err = name.unsupported()
	}
	if err == nil && !strings.HasSuffix(file, ".service") && !strings.HasSuffix(file, ".socket") {
		err = fmt.Errorf("%s is neither a .service nor a .socket", quoted(path.Base(file)))
	}
	if err != nil {
		p.add(file, 0, false, "%v", err)
		return nil, p.err()
	}
	if name.isTemplate() {
		name.instance = "instance"
	}
	u := newLowering("/", name, file, &p)
	u.apply(read(file, b, &p))
	svc := u.finish()
	if !u.haveSection {
		p.add(file, 0, false, "there is no section [%s]", strings.ToUpper(name.kind[1:2])+name.kind[2:])
		return nil, p.err()
	}
	if name.kind == ".socket" {
		u.checkSocket()
		return nil, p.err()
	}
	alone(&svc)
	u.validate(svc)
	if p.fatal {
		return nil, p.err()
	}
	return []services.Service{svc}, p.err()
}

// alone makes names of services out of those of units, without knowing which of them there are.
func alone(svc *services.Service) {
	for _, field := range dependencies(svc) {
		var kept []string
		for _, text := range *field.list {
			if name, err := parseName(text); err == nil && name.kind == ".service" && name.service() != svc.Name {
				kept = append(kept, name.service())
			}
		}
		*field.list = kept
	}
}

// checkSocket holds a socket unit to what a service with it must hold.
func (u *lowering) checkSocket() {
	if len(u.sockets) == 0 && len(u.svc.Unapplied) == 0 && !u.accept {
		u.problems.add(u.file, 0, false, "it has no ListenStream, ListenDatagram or ListenSequentialPacket")
	}
	probe := services.Service{Name: "x", ExecStart: services.Argv("/x"), Sockets: u.listening()}.WithDefaults()
	for _, err := range services.Split(probe.Validate()) {
		u.problems.add(u.file, 0, false, "%s", strings.TrimPrefix(err.Error(), "service x: "))
	}
}
