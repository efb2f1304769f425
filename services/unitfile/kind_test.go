package unitfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/services"
)

// A unit of a kind that init does not carry out is refused everywhere with one
// sentence, which says the way to get there without.
func TestUnsupportedKinds(t *testing.T) {
	for file, want := range map[string]string{
		"/root/x.timer":     "timers are not supported: run a cron daemon as a service, or give the service itself Restart=always, and RestartSec=",
		"/root/x.path":      "paths are not supported: run a service that waits for the file itself",
		"/root/x.mount":     "mounts are not supported: what a container has mounted is given to it from outside",
		"/root/x.automount": "automounts are not supported: what a container has mounted",
		"/root/x.swap":      "swaps are not supported: ",
		"/root/x.target":    "targets are not supported: init counts each as reached",
		"/root/x.slice":     "slices are not supported: a container has one control group",
		"/root/x.scope":     "scopes are not supported: a container has one control group",
		"/root/x.device":    "devices are not supported: they are given to a container from outside",
		"/root/x.socket":    "Accept=yes, a service for each connection, is not supported; the socket is not opened: run a server that accepts by itself",
	} {
		text := "[Unit]\nDescription=x\n[Socket]\nListenStream=7\nAccept=yes\n[Install]\nWantedBy=multi-user.target\n"
		name := strings.TrimPrefix(file, "/root/")
		list, err := Check(file, []byte(text))
		one := services.Split(err)
		if len(list) != 0 || len(one) != 1 || !strings.HasPrefix(one[0].Error(), file+":") || !strings.Contains(one[0].Error(), want) {
			t.Errorf("%s: %d services, %q, want %q", file, len(list), one, want)
		}
		r := tree(t, map[string]string{name: text})
		if _, err := Load(string(r), name); !strings.Contains(err.Error(), want) {
			t.Errorf("loading %s: %v", name, err)
		}
		write(t, r, file, text)
		if _, changes, err := Install("/", r.at(file)); err == nil || len(changes) > 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("installing %s: %q, %v", name, changes, err)
		}
		if name == "x.target" || name == "x.socket" {
			continue
		}
		changes, err := Enable(string(r), name)
		if len(changes) > 0 || err == nil || isWarning(err) || !strings.HasPrefix(err.Error(), name+": "+want) {
			t.Errorf("enabling %s: %q, %v", name, changes, err)
		}
		if got := content(t, r); len(got) != 0 {
			t.Errorf("enabling %s left %q", name, got)
		}
	}
}

// A service whose timer is enabled with it is enabled, and the sentence is said; a
// target is enabled as it is in systemd, and changes nothing.
func TestEnableBesideUnsupported(t *testing.T) {
	r := tree(t, map[string]string{
		"backup.service": start + "backup\n[Install]\nWantedBy=multi-user.target\nAlso=backup.timer",
		"backup.timer":   "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target",
		"all.target":     "[Install]\nWantedBy=multi-user.target",
	})
	changes, err := Enable(string(r), "backup")
	if err != nil || len(changes) != 2 || !strings.HasPrefix(changes[1], "backup.timer: timers are not supported: ") {
		t.Errorf("%q, %v", changes, err)
	}
	if changes, err := Enable(string(r), "all.target"); err != nil || len(changes) != 1 {
		t.Errorf("%q, %v", changes, err)
	}
	want := []string{"multi-user.target.wants/", "multi-user.target.wants/all.target -> /usr/lib/systemd/system/all.target",
		"multi-user.target.wants/backup.service -> /usr/lib/systemd/system/backup.service"}
	if got := content(t, r); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
