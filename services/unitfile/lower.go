package unitfile

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

// ownKey begins the directives that only init has: what follows is a field of
// services.Service, and the value its JSON.
const ownKey = "X-Nix2vast-"

// lowering is a unit on its way to a service.
type lowering struct {
	root     root
	name     unitName
	file     string // the fragment
	problems *problems
	option   option // the one that is being set

	svc           services.Service
	own           []option          // the X-Nix2vast- ones
	last          map[string]option // the last assignment of each name, for what is found wrong in the end
	startInterval *services.Duration
	startBurst    *int
	wantedSockets []string // units that Sockets= names
	haveType      bool
	haveSection   bool

	// Of a socket unit:
	socket        services.Socket // what all of its sockets share
	sockets       []services.Socket
	socketService string
	accept        bool

	// Of [Install]:
	install         map[string]*[]string
	defaultInstance string
}

func newLowering(r root, name unitName, file string, p *problems) *lowering {
	return &lowering{root: r, name: name, file: file, problems: p, last: map[string]option{}, install: map[string]*[]string{},
		svc: services.Service{Name: name.service(), Source: file}}
}

// apply sets all options, in order.
func (u *lowering) apply(options []option) {
	for _, o := range options {
		u.option = o
		u.haveSection = u.haveSection || "."+strings.ToLower(o.Section) == u.name.kind
		switch set := setters()[o.Section][o.Name]; {
		case strings.HasPrefix(o.Name, ownKey) && o.Section == "Service":
			u.own = append(u.own, o)
		case strings.HasPrefix(o.Name, "X-"):
		case set != nil:
			u.last[o.Name] = o
			if err := set(u, o.Value); err != nil {
				u.problems.bad(o, "%s: %v", o.Name, err)
			}
		default:
			known, lost := unappliedIn(o.Section, o.Name)
			if !known {
				u.problems.warn(o, "[%s] has no %s%s; it is ignored", o.Section, quoted(o.Name), misplaced(o.Section, o.Name))
			}
			if lost && asksFor(o) {
				u.unapplied(o.Name)
			}
		}
	}
}

// asksFor says whether a directive would change something: "no" is how it is here
// anyway, and an empty value takes back another; but no capabilities are less than all.
func asksFor(o option) bool {
	return o.Name == "CapabilityBoundingSet" || o.Value != "" && !has("no false off", strings.ToLower(o.Value))
}

// unapplied notes a directive that has no effect here.
func (u *lowering) unapplied(directive string) {
	if !slices.Contains(u.svc.Unapplied, directive) {
		u.svc.Unapplied = append(u.svc.Unapplied, directive)
	}
}

// finish turns what was set into a service with systemd's defaults, and ours where
// these are other for a reason: TimeoutStopSec, and no limit of starts.
func (u *lowering) finish() services.Service {
	svc := &u.svc
	if !u.haveType && len(svc.ExecStart) == 0 && len(svc.ExecStop) > 0 {
		svc.Type = services.Oneshot
	}
	if svc.Restart == "" {
		svc.Restart = services.RestartNo
	}
	if svc.RestartSec != nil && svc.RestartMaxDelaySec == 0 {
		svc.RestartMaxDelaySec = *svc.RestartSec
	}
	if svc.StandardError == "" && svc.StandardOutput != "" && svc.StandardOutput != "journal" {
		svc.StandardError = "inherit"
	}
	u.startLimit()
	for _, o := range u.own {
		u.setOwn(o)
	}
	u.checkEnds()
	return svc.WithDefaults()
}

// startLimit: an interval alone has systemd's burst, and either of them being 0 is no limit.
func (u *lowering) startLimit() {
	if u.startInterval != nil {
		u.svc.StartLimitIntervalSec = *u.startInterval
		u.svc.StartLimitBurst = 5
	}
	if u.startBurst != nil {
		u.svc.StartLimitBurst = *u.startBurst
	}
	if u.startInterval != nil && *u.startInterval == 0 {
		u.svc.StartLimitBurst = 0
	}
}

// setOwn sets a field of the service by its JSON; a text needs no quotes.
func (u *lowering) setOwn(o option) {
	field := strings.TrimPrefix(o.Name, ownKey)
	decode := func(value []byte) error {
		key, _ := json.Marshal(field) // a string has a JSON form
		d := json.NewDecoder(bytes.NewReader(slices.Concat([]byte("{"), key, []byte(":"), value, []byte("}"))))
		d.DisallowUnknownFields()
		next := u.svc
		if err := d.Decode(&next); err != nil {
			return err
		}
		u.svc = next
		return nil
	}
	var err error
	if json.Valid([]byte(o.Value)) {
		err = decode([]byte(o.Value))
	} else {
		text, _ := json.Marshal(o.Value)
		err = decode(text)
	}
	if err != nil {
		u.problems.bad(o, "%s: %v", o.Name, err)
	}
	u.last[field] = o
}

// checkEnds looks for what only several directives together show.
func (u *lowering) checkEnds() {
	if u.accept {
		u.problems.warn(u.last["Accept"], "Accept=yes, a service for each connection, is not supported; the socket is not opened: "+
			"run a server that accepts by itself, such as socat or xinetd, as a service")
		u.sockets = nil
	}
}

// validate adds what services.Service.Validate finds, at the line that it is about.
func (u *lowering) validate(svc services.Service) {
	for _, err := range services.Split(svc.Validate()) {
		text := strings.TrimPrefix(err.Error(), "service "+svc.Name+": ")
		field, _, _ := strings.Cut(text, " ")
		o, ok := u.last[strings.TrimSuffix(field, ":")]
		if !ok {
			o = option{file: u.file}
		}
		u.problems.bad(o, "%s", text)
	}
}

// listening gives the sockets of a socket unit what they share.
func (u *lowering) listening() []services.Socket {
	list := slices.Clone(u.sockets)
	for i := range list {
		list[i].Mode, list[i].User, list[i].Group = u.socket.Mode, u.socket.User, u.socket.Group
		list[i].Name = u.socket.Name
		if list[i].Name == "" {
			list[i].Name = u.name.String()
		}
	}
	return list
}
