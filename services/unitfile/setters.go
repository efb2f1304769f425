package unitfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

// The setters below share one rule: an empty value takes back what was set.

func text[T ~string](field func(u *lowering) *T) setter {
	return func(u *lowering, value string) error {
		*field(u) = T(u.expanded(value))
		return nil
	}
}

func list(field func(u *lowering) *[]string) setter {
	return func(u *lowering, value string) error {
		words, err := u.words(value)
		if value == "" {
			*field(u) = nil
		}
		*field(u) = append(*field(u), words...)
		return err
	}
}

func flag(field func(u *lowering) *bool) setter {
	return func(u *lowering, value string) (err error) {
		*field(u) = false
		if value != "" {
			*field(u), err = boolean(value)
		}
		return err
	}
}

func sendSIGKILL(u *lowering, value string) error {
	kill := true
	err := flag(func(*lowering) *bool { return &kill })(u, value)
	u.svc.KeepAlive = value != "" && !kill
	return err
}

func integer(value string, to *int) (err error) {
	if *to, err = strconv.Atoi(value); err != nil {
		return fmt.Errorf("%s is not a whole number", quoted(value))
	}
	return nil
}

func count(field func(u *lowering) *int) setter {
	return func(u *lowering, value string) error {
		*field(u) = 0
		if value == "" {
			return nil
		}
		return integer(value, field(u))
	}
}

func number(field func(u *lowering) **int) setter {
	return func(u *lowering, value string) error {
		*field(u) = nil
		if value == "" {
			return nil
		}
		*field(u) = new(int)
		return integer(value, *field(u))
	}
}

// nice as the kernel has it, -20 to 19.
func nice(u *lowering, value string) error {
	return count(func(u *lowering) *int { return &u.svc.Nice })(u, strings.TrimPrefix(value, "+"))
}

func mode(field func(u *lowering) *services.Mode) setter {
	return func(u *lowering, value string) (err error) {
		*field(u) = services.Mode{}
		if value != "" {
			*field(u), err = services.ParseMode(value)
		}
		return err
	}
}

func timeSpan(field func(u *lowering) *services.Duration) setter {
	return func(u *lowering, value string) (err error) {
		*field(u) = 0
		if value != "" {
			*field(u), err = span(value, time.Second)
		}
		return err
	}
}

// timeout: 0 is no limit, as infinity is.
func timeout(field func(u *lowering) *services.Duration) setter {
	return func(u *lowering, value string) error {
		err := timeSpan(field)(u, value)
		if err == nil && value != "" && *field(u) == 0 {
			*field(u) = infinity
		}
		return err
	}
}

func timeoutSec(u *lowering, value string) error {
	if err := timeout(func(u *lowering) *services.Duration { return &u.svc.TimeoutStartSec })(u, value); err != nil {
		return err
	}
	u.svc.TimeoutStopSec = u.svc.TimeoutStartSec
	return nil
}

func watchdogSec(u *lowering, value string) error {
	err := timeSpan(func(u *lowering) *services.Duration { return &u.svc.WatchdogSec })(u, value)
	if u.svc.WatchdogSec == infinity {
		u.svc.WatchdogSec = 0
	}
	return err
}

func restartSec(u *lowering, value string) (err error) {
	u.svc.RestartSec = nil
	if value != "" {
		var d services.Duration
		d, err = span(value, time.Second)
		u.svc.RestartSec = &d
	}
	return err
}

func startLimitInterval(u *lowering, value string) (err error) {
	u.startInterval = nil
	if value != "" {
		var d services.Duration
		d, err = span(value, time.Second)
		u.startInterval = &d
	}
	return err
}

func startLimitBurst(u *lowering, value string) error {
	return number(func(u *lowering) **int { return &u.startBurst })(u, value)
}

func startLimitAction(u *lowering, value string) error {
	if value != "" && value != "none" {
		u.unapplied("StartLimitAction")
	}
	return nil
}

// action: whatever would end the machine ends the container.
func action(field func(u *lowering) *services.Action) setter {
	return func(u *lowering, value string) error {
		switch {
		case value == "" || value == "none":
			*field(u) = services.Action(value)
		case has("exit exit-force reboot reboot-force reboot-immediate poweroff poweroff-force poweroff-immediate "+
			"halt halt-force halt-immediate kexec kexec-force soft-reboot soft-reboot-force", value):
			*field(u) = services.ActionExit
		default:
			return fmt.Errorf("%s is none of none, exit, reboot, poweroff", quoted(value))
		}
		return nil
	}
}

func signalName(field func(u *lowering) *services.Signal) setter {
	return func(u *lowering, value string) (err error) {
		*field(u) = ""
		if value != "" {
			*field(u), err = signal(value)
		}
		return err
	}
}

func statuses(field func(u *lowering) *services.ExitStatuses) setter {
	return func(u *lowering, value string) error {
		words, err := u.words(value)
		if value == "" {
			*field(u) = nil
		}
		for _, word := range words {
			status, wrong := exitStatus(word)
			if wrong != nil {
				err = errors.Join(err, wrong)
				continue
			}
			*field(u) = append(*field(u), status)
		}
		return err
	}
}

// condition keeps the line for the start; an empty one takes back all of its kind.
func condition(kind, key string) setter {
	return func(u *lowering, value string) error {
		if value == "" {
			u.svc.Conditions = slices.DeleteFunc(u.svc.Conditions, func(c string) bool { return strings.HasPrefix(c, kind) })
			return nil
		}
		u.svc.Conditions = append(u.svc.Conditions, key+"="+u.expanded(value))
		return nil
	}
}

// dependency keeps the full names; reduce makes services of them. An empty value
// takes nothing back here, as in systemd.
func dependency(field func(u *lowering) *[]string) setter {
	return func(u *lowering, value string) error {
		words, err := u.words(value)
		for _, word := range words {
			name, wrong := parseName(word)
			if wrong == nil && !strings.HasSuffix(word, name.kind) {
				wrong = fmt.Errorf("%s lacks the type, such as .service", quoted(word))
			}
			if wrong != nil {
				u.problems.warn(u.option, "%s: %v; it is ignored", u.option.Name, wrong)
				continue
			}
			if full := name.String(); !slices.Contains(*field(u), full) {
				*field(u) = append(*field(u), full)
			}
		}
		return err
	}
}

func socketsOf(u *lowering, value string) error {
	return dependency(func(u *lowering) *[]string { return &u.wantedSockets })(u, value)
}
