package unitfile

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	r := tree(t, map[string]string{
		"web.service":                  start + "web\n[Install]\nWantedBy=multi-user.target",
		"t@.service":                   start + "t",
		"other.service":                "-> /dev/null",
		"systemd-x.service":            start + "x",
		"x.timer":                      "[Timer]",
		administrator + "/own.service": start + "own",
	})
	if _, err := Enable(string(r), "web"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web": "Created symlink /etc/systemd/system/web.service → /dev/null.",
		"none": "Unit none.service does not exist, proceeding anyway.\nCreated symlink /etc/systemd/system/none.service → /dev/null.",
		"t@":   "Created symlink /etc/systemd/system/t@.service → /dev/null."} {
		changes, err := Mask(string(r), name)
		if err != nil || strings.Join(changes, "\n") != want {
			t.Errorf("%s: %q, %v", name, changes, err)
		}
		if changes, err := Mask(string(r), name); err != nil || len(changes) > 0 {
			t.Errorf("%s again: %q, %v", name, changes, err)
		}
		if got := State(string(r), strings.Replace(name, "@", "@1", 1)); got != "masked" {
			t.Errorf("%s is %s", name, got)
		}
	}
	if list, err := Enabled(string(r)); err != nil || len(list) > 0 {
		t.Errorf("masked, and enabled: %q, %v", list, err)
	}
	if _, err := Load(string(r), "web"); err == nil || !strings.Contains(err.Error(), "it is masked") {
		t.Errorf("masked, and loaded: %v", err)
	}
	if _, err := Mask(string(r), "own"); err == nil || !strings.Contains(err.Error(), "/etc/systemd/system/own.service already exists") {
		t.Errorf("a file was masked: %v", err)
	}
	if _, err := Mask(string(r), "../x"); err == nil {
		t.Error("../x is masked")
	}
	if got := Files(string(r)); !slices.Equal(got, []string{"none", "other", "own", "web"}) {
		t.Errorf("the units: %q", got)
	}

	write(t, r, "/run/systemd/system/web.service", "-> /dev/null")
	want := []string{"Removed /etc/systemd/system/web.service.", "Removed /run/systemd/system/web.service."}
	if changes, err := Unmask(string(r), "web"); err != nil || !slices.Equal(changes, want) {
		t.Errorf("%q, %v", changes, err)
	}
	if got := State(string(r), "web"); got != "enabled" {
		t.Errorf("web is %s", got)
	}
	for name, want := range map[string]int{"web": 0, "own": 0, "nobody": 0, "other": 1} {
		if changes, err := Unmask(string(r), name); err != nil || len(changes) != want {
			t.Errorf("%s: %q, %v", name, changes, err)
		}
	}
	if _, err := r.find(unitName{prefix: "own", kind: ".service"}); errors.Is(err, errNotFound) {
		t.Error("unmasking removed a unit's own file")
	}
}
