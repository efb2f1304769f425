package unitfile

import (
	"fmt"
	"path"
	"strings"
)

// A unitName is the name of a unit in its parts: "getty@tty1.service".
type unitName struct {
	prefix   string // getty
	at       bool   // it is a template or an instance
	instance string // tty1; empty for a template
	kind     string // .service
}

// kinds are the types of units, in systemd's order.
const kinds = ".service .socket .target .device .mount .automount .swap .timer .path .slice .scope "

// parseName reads a name, which is that of a service where it has no type.
func parseName(text string) (unitName, error) {
	kind := path.Ext(text)
	if kind == "" || !strings.Contains(kinds, kind+" ") {
		text, kind = text+".service", ".service"
	}
	n := unitName{kind: kind}
	n.prefix, n.instance, n.at = strings.Cut(strings.TrimSuffix(text, kind), "@")
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune(`:-_.\@`, c) {
			return n, fmt.Errorf("%s is not the name of a unit: %q is no letter, digit or any of : - _ . \\ @", quoted(text), c)
		}
	}
	if n.prefix == "" || len(text) > 255 {
		return n, fmt.Errorf("%s is not the name of a unit", quoted(text))
	}
	return n, nil
}

// FullName is the name of a unit with its type, which is .service where it has none.
func FullName(name string) string {
	if kind := path.Ext(name); kind != "" && strings.Contains(kinds, kind+" ") {
		return name
	}
	return name + ".service"
}

func (n unitName) base() string {
	if n.at {
		return n.prefix + "@" + n.instance
	}
	return n.prefix
}

func (n unitName) String() string { return n.base() + n.kind }

// service is the name that a services.Service has.
func (n unitName) service() string { return n.base() }

func (n unitName) isTemplate() bool { return n.at && n.instance == "" }

func (n unitName) template() unitName {
	n.instance = ""
	return n
}

func (n unitName) with(kind string) unitName {
	n.kind = kind
	return n
}

// ofSystemd says whether a unit belongs to systemd itself or to the terminals of a
// machine: init has its place, or there is nothing for it in a container.
func (n unitName) ofSystemd() bool {
	for _, prefix := range []string{"systemd-", "initrd-", "dbus-org.freedesktop.", "plymouth", "kmod"} {
		if strings.HasPrefix(n.prefix, prefix) {
			return true
		}
	}
	switch n.prefix {
	case "getty", "serial-getty", "console-getty", "container-getty", "autovt", "debug-shell", "emergency", "rescue",
		"quotaon", "user", "user-runtime-dir", "modprobe", "ldconfig", "syslog":
		return true
	}
	return false
}
