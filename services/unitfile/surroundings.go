package unitfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
)

func serviceType(u *lowering, value string) error {
	u.haveType = value != ""
	switch value {
	case "idle":
		value = string(services.Simple)
	case "dbus":
		value = string(services.Simple)
		u.unapplied("Type=dbus")
	}
	u.svc.Type = services.Type(value)
	return nil
}

func busName(u *lowering, value string) error {
	if value != "" && !u.haveType {
		u.unapplied("Type=dbus")
	}
	return nil
}

func pidFile(u *lowering, value string) error {
	if value = u.expanded(value); value != "" {
		if !path.IsAbs(value) {
			value = path.Join("/run", value)
		}
		value = path.Clean(value)
	}
	u.svc.PIDFile = value
	return nil
}

func workingDirectory(u *lowering, value string) error {
	value = u.expanded(value)
	if dir := strings.TrimPrefix(value, "-"); value != "" && dir != "~" && !path.IsAbs(dir) {
		return fmt.Errorf("%s is not an absolute path", quoted(value))
	}
	u.svc.WorkingDirectory = value
	return nil
}

func environment(u *lowering, value string) error {
	if value == "" {
		u.svc.Environment = nil
	}
	words, err := u.words(value)
	for _, word := range words {
		name, v, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			err = errors.Join(err, fmt.Errorf(`%s is not of the form NAME=VALUE; a value with blanks is written "NAME=a b"`, quoted(word)))
			continue
		}
		if u.svc.Environment == nil {
			u.svc.Environment = map[string]string{}
		}
		u.svc.Environment[name] = v
	}
	return err
}

func environmentFile(u *lowering, value string) error {
	if value == "" {
		u.svc.EnvironmentFile = nil
		return nil
	}
	if value = u.expanded(value); !path.IsAbs(strings.TrimPrefix(value, "-")) {
		return fmt.Errorf("%s is not an absolute path", quoted(value))
	}
	u.svc.EnvironmentFile = append(u.svc.EnvironmentFile, value)
	return nil
}

func limitOf(name string) setter {
	return func(u *lowering, value string) error {
		if value == "" {
			delete(u.svc.Limit, name)
			return nil
		}
		text, err := limit(name, value)
		if err != nil {
			return err
		}
		if u.svc.Limit == nil {
			u.svc.Limit = map[string]string{}
		}
		u.svc.Limit[name] = text
		u.last["Limit"] = u.option
		return nil
	}
}

// directories takes names below the folder that the directive is about, each maybe
// with a link to it behind a colon.
func directories(field func(u *lowering) *[]string) setter {
	return func(u *lowering, value string) error {
		err := list(field)(u, value)
		for _, dir := range slices.Clone(*field(u)) {
			if dir == "" || path.IsAbs(dir) || slices.Contains(strings.Split(dir, "/"), "..") {
				*field(u) = slices.DeleteFunc(*field(u), func(d string) bool { return d == dir })
				err = errors.Join(err, fmt.Errorf("%s is not a relative path without \"..\"", quoted(dir)))
			}
		}
		return err
	}
}

func preserve(u *lowering, value string) error {
	if value != "" && value != "restart" {
		yes, err := boolean(value)
		if err != nil {
			return fmt.Errorf("%s is none of no, yes, restart", quoted(value))
		}
		value = map[bool]string{false: "no", true: "yes"}[yes]
	}
	u.svc.RuntimeDirectoryPreserve = value
	return nil
}

// loadCredential: one without a path is looked up in the machine's own, which a
// container does not have.
func loadCredential(u *lowering, value string) error {
	if value == "" {
		u.svc.LoadCredential = nil
		return nil
	}
	if value = u.expanded(value); !strings.Contains(value, ":/") {
		u.unapplied("LoadCredential=" + value)
		return nil
	}
	u.svc.LoadCredential = append(u.svc.LoadCredential, value)
	return nil
}

func standardInput(u *lowering, value string) error {
	switch value = u.expanded(value); {
	case value == "" || value == "null" || strings.HasPrefix(value, "file:/"):
		u.svc.StandardInput = value
	case has("tty tty-force tty-fail data socket", value) || strings.HasPrefix(value, "fd:"):
		u.unapplied("StandardInput=" + value)
	default:
		return fmt.Errorf("%s is neither null nor file:/PATH", quoted(value))
	}
	return nil
}

func standardOutput(field func(u *lowering) *string) setter {
	return func(u *lowering, value string) error {
		how, file, isFile := strings.Cut(u.expanded(value), ":")
		switch {
		case isFile && path.IsAbs(file) && has("file append truncate", how):
			*field(u) = how + ":" + file
		case has("null journal", value):
			*field(u) = value
		case value == "inherit" && u.option.Name == "StandardError":
			*field(u) = value
		case value == "" || value == "inherit": // of StandardInput, which is /dev/null: as if it were not given
			*field(u) = ""
		case has("tty kmsg syslog journal+console kmsg+console syslog+console", value):
			*field(u) = "journal"
		case value == "socket" || how == "fd" && isFile:
			*field(u) = "journal"
			u.unapplied(u.option.Name + "=" + value)
		default:
			return fmt.Errorf("%s is none of journal, null, inherit, file:/PATH, append:/PATH, truncate:/PATH", quoted(value))
		}
		return nil
	}
}

func listen(kind string) setter {
	return func(u *lowering, value string) error {
		if value == "" {
			u.sockets = nil
			return nil
		}
		value = u.expanded(value)
		if strings.HasPrefix(value, "@") || strings.HasPrefix(value, "vsock") {
			u.unapplied(u.option.Name + "=" + value)
			return nil
		}
		u.sockets = append(u.sockets, services.Socket{Listen: value, Type: kind})
		return nil
	}
}
