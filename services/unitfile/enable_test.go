package unitfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// links lists what is in the administrator's folder, links with their targets.
func content(t *testing.T, r root) []string {
	t.Helper()
	list := []string{}
	top := r.at(administrator)
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && file == top {
			return err
		}
		rel, _ := filepath.Rel(top, file)
		switch {
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(file)
			list = append(list, rel+" -> "+target)
			return err
		case d.IsDir():
			rel += "/"
		}
		list = append(list, rel)
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func TestEnable(t *testing.T) {
	const usr = "/usr/lib/systemd/system/"
	units := map[string]string{
		"web.service":      start + "web\n[Install]\nWantedBy=multi-user.target graphical.target\nRequiredBy=db.service\nUpheldBy=up.target\nAlias=www.service\nAlso=web.socket\n",
		"web.socket":       "[Socket]\nListenStream=80\n[Install]\nWantedBy=sockets.target\nAlso=web.service",
		"static.service":   start + "static",
		"also.service":     start + "also\n[Install]\nAlso=web.socket",
		"t@.service":       start + "t\n[Install]\nWantedBy=multi-user.target\nDefaultInstance=main",
		"bare@.service":    start + "t\n[Install]\nWantedBy=%i.target",
		"clash.service":    start + "clash\n[Install]\nAlias=static.service",
		"broken.service":   "nonsense\n" + start + "x\n[Install]\nWantedBy=multi-user.target",
		"masked.service":   "",
		"escape.service":   start + "x\n[Install]\nWantedBy=../../../tmp/x.target",
		"/opt/lnk.service": start + "lnk\n[Install]\nWantedBy=multi-user.target",
	}
	r := tree(t, units)
	write(t, r, administrator+"/static.service", start+"mine")
	write(t, r, administrator+"/lnk.service", "-> /opt/lnk.service")
	before := content(t, r)

	changes, err := Enable(string(r), "web")
	want := []string{
		"Created symlink /etc/systemd/system/multi-user.target.wants/web.service → /usr/lib/systemd/system/web.service.",
		"Created symlink /etc/systemd/system/graphical.target.wants/web.service → /usr/lib/systemd/system/web.service.",
		"Created symlink /etc/systemd/system/db.service.requires/web.service → /usr/lib/systemd/system/web.service.",
		"Created symlink /etc/systemd/system/up.target.upholds/web.service → /usr/lib/systemd/system/web.service.",
		"Created symlink /etc/systemd/system/www.service → /usr/lib/systemd/system/web.service.",
		"Created symlink /etc/systemd/system/sockets.target.wants/web.socket → /usr/lib/systemd/system/web.socket.",
	}
	if err != nil || !reflect.DeepEqual(changes, want) {
		t.Errorf("%v\n%s", err, strings.Join(changes, "\n"))
	}
	for _, link := range []string{"multi-user.target.wants/web.service -> " + usr + "web.service", "sockets.target.wants/web.socket -> " + usr + "web.socket",
		"www.service -> " + usr + "web.service", "db.service.requires/web.service -> " + usr + "web.service"} {
		if !slices.Contains(content(t, r), link) {
			t.Errorf("%q lacks %q", content(t, r), link)
		}
	}
	for _, name := range []string{"web", "www.service", "web.socket"} {
		if changes, err := Enable(string(r), name); err != nil || len(changes) > 0 {
			t.Errorf("%s again: %q, %v", name, changes, err)
		}
	}
	if list, err := Enabled(string(r)); err != nil || !reflect.DeepEqual(list, []string{"web", "web.socket"}) {
		t.Errorf("%q, %v", list, err)
	}
	for name, want := range map[string]string{"web": "enabled", "web.socket": "enabled", "www": "alias", "static": "static", "also": "indirect", "t@": "disabled",
		"t@x": "disabled", "masked": "masked", "none": "not-found", "a/b": "not-found", "clash.service": "disabled", "lnk": "linked"} {
		if got := State(string(r), name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}

	changes, err = Disable(string(r), "web")
	if err != nil || len(changes) != 6 || !slices.Contains(changes, "Removed /etc/systemd/system/www.service.") {
		t.Errorf("%v\n%s", err, strings.Join(changes, "\n"))
	}
	if after := content(t, r); !reflect.DeepEqual(after, before) {
		t.Errorf("left behind: %q, want %q", after, before)
	}
	if changes, err := Disable(string(r), "web"); err != nil || len(changes) > 0 {
		t.Errorf("again: %q, %v", changes, err)
	}
	if got := State(string(r), "web"); got != "disabled" {
		t.Errorf("web is %s", got)
	}
}

func TestEnableTemplates(t *testing.T) {
	r := tree(t, map[string]string{
		"t@.service":    start + "t\n[Install]\nWantedBy=multi-user.target %i.target\nDefaultInstance=main",
		"bare@.service": start + "t\n[Install]\nWantedBy=multi-user.target",
	})
	for _, name := range []string{"t@", "t@x"} {
		if changes, err := Enable(string(r), name); err != nil || len(changes) != 2 {
			t.Errorf("%s: %q, %v", name, changes, err)
		}
	}
	if list, _ := Enabled(string(r)); !reflect.DeepEqual(list, []string{"t@main", "t@x"}) {
		t.Errorf("%q", list)
	}
	if got := content(t, r); !slices.Contains(got, "x.target.wants/t@x.service -> /usr/lib/systemd/system/t@.service") {
		t.Errorf("%q", got)
	}
	if _, err := Enable(string(r), "bare@"); err == nil || !strings.Contains(err.Error(), "bare@.service is a template; enable an instance, such as bare@1") {
		t.Error(err)
	}
	if got := State(string(r), "t@x"); got != "enabled" {
		t.Errorf("t@x is %s", got)
	}
	if changes, err := Disable(string(r), "t@x"); err != nil || len(changes) != 2 {
		t.Errorf("%q, %v", changes, err)
	}
	if changes, err := Disable(string(r), "t@"); err != nil || len(changes) != 2 {
		t.Errorf("a template stands for its instances: %q, %v", changes, err)
	}
	if got := content(t, r); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

func TestEnableRefuses(t *testing.T) {
	r := tree(t, map[string]string{
		"static.service": start + "static",
		"clash.service":  start + "clash\n[Install]\nAlias=static.service",
		"masked.service": "",
		"escape.service": start + "x\n[Install]\nWantedBy=../../../tmp/x.target a/b.target\nAlias=../x.service",
	})
	write(t, r, administrator+"/static.service", start+"mine")
	for name, want := range map[string]string{"masked": "it is masked", "none": "there is no such unit", "../../x": "is not the name of a unit",
		"clash": "there is another file of that name", "static": "it has no [Install] section"} {
		changes, err := Enable(string(r), name)
		if err == nil || !strings.Contains(err.Error(), want) || len(changes) > 0 {
			t.Errorf("%s: %q, %v, want %q", name, changes, err, want)
		}
		if isWarning(err) != (name == "static") {
			t.Errorf("%s: a warning: %v", name, isWarning(err))
		}
	}
	if changes, err := Enable(string(r), "escape"); err != nil || len(changes) > 0 {
		t.Errorf("%q, %v", changes, err)
	}
	if got := content(t, r); !reflect.DeepEqual(got, []string{"static.service"}) {
		t.Errorf("changed: %q", got)
	}
	for _, name := range []string{"none", "../x"} {
		if _, err := Disable(string(r), name); err == nil {
			t.Errorf("disabling %s is no error", name)
		}
	}
}

func TestEnabled(t *testing.T) {
	r := tree(t, map[string]string{
		"b.service": start + "b", "a.service": start + "a", "c.service": start + "c", "m.service": start + "m", "r.service": start + "r", "x.timer": "[Timer]",
		"t@.service": start + "t", "systemd-udevd.service": start + "udevd", "getty@.service": start + "getty", "v.service": start + "v", "old.service": "-> a.service",
		"multi-user.target.wants/v.service":                         "-> ../v.service",
		"sysinit.target.wants/systemd-udevd.service":                "-> ../systemd-udevd.service",
		"/etc/systemd/system/getty.target.wants/getty@tty1.service": "-> /usr/lib/systemd/system/getty@.service",
		"/etc/systemd/system/multi-user.target.wants/b.service":     "-> /nowhere/b.service",
		"/etc/systemd/system/multi-user.target.wants/old.service":   "-> /usr/lib/systemd/system/a.service",
		"/etc/systemd/system/multi-user.target.wants/m.service":     "-> /usr/lib/systemd/system/m.service",
		"/etc/systemd/system/multi-user.target.wants/gone.service":  "-> /usr/lib/systemd/system/gone.service",
		"/etc/systemd/system/multi-user.target.wants/t@1.service":   "-> /usr/lib/systemd/system/t@.service",
		"/etc/systemd/system/timers.target.wants/x.timer":           "-> /usr/lib/systemd/system/x.timer",
		"/etc/systemd/system/reboot.target.wants/r.service":         "-> /usr/lib/systemd/system/r.service",
		"/etc/systemd/system/other.service.wants/r.service":         "-> /usr/lib/systemd/system/r.service",
		"/run/systemd/system/graphical.target.requires/c.service":   "-> /usr/lib/systemd/system/c.service",
		"/etc/systemd/system/m.service":                             "-> /dev/null",
	})
	list, err := Enabled(string(r))
	if want := []string{"a", "b", "c", "t@1", "v"}; err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("%q, %v, want %q", list, err, want)
	}
	if list, err := Enabled(t.TempDir()); err != nil || len(list) > 0 {
		t.Errorf("of an empty root: %q, %v", list, err)
	}
	if got := State(string(r), "c"); got != "enabled-runtime" {
		t.Errorf("c is %s", got)
	}
}

func TestInstall(t *testing.T) {
	r, dir := root(t.TempDir()), t.TempDir()
	file := filepath.Join(dir, "web.service")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", start + "x\nRestart=alway", start + "x\nRestrat=always", "[Service]\nExecStart=x/y"} {
		put(text)
		if _, changes, err := Install(string(r), file); err == nil || len(changes) > 0 {
			t.Errorf("%q: %q and no error", text, changes)
		}
	}
	if got := content(t, r); len(got) != 0 {
		t.Errorf("a bad file left %q", got)
	}
	put(start + "one")
	name, changes, err := Install(string(r), file)
	if err != nil || name != "web.service" || !reflect.DeepEqual(changes, []string{"Created /etc/systemd/system/web.service."}) {
		t.Errorf("%s, %q, %v", name, changes, err)
	}
	if _, changes, err := Install(string(r), file); err != nil || len(changes) > 0 {
		t.Errorf("again: %q, %v", changes, err)
	}
	put(start + "two")
	if _, changes, err := Install(string(r), file); err != nil || !reflect.DeepEqual(changes, []string{"Replaced /etc/systemd/system/web.service."}) {
		t.Errorf("%q, %v", changes, err)
	}
	put("[Service]\nnonsense")
	if _, _, err := Install(string(r), file); err == nil {
		t.Error("nonsense was installed")
	}
	info, err := os.Stat(r.at(administrator + "/web.service"))
	if err != nil || info.Mode() != 0o644 || !reflect.DeepEqual(content(t, r), []string{"web.service"}) {
		t.Errorf("%v, %v, %q", info, err, content(t, r))
	}
	list, err := Load(string(r), "web")
	if err != nil || words(list[0].ExecStart) != "/bin/two" {
		t.Errorf("%+v, %v", list, err)
	}
	put(start + "three")
	if err := os.Remove(r.at(administrator + "/web.service")); err != nil {
		t.Fatal(err)
	}
	write(t, r, administrator+"/web.service", "-> /dev/null")
	if _, _, err := Install(string(r), file); err == nil || !strings.Contains(err.Error(), "masked") {
		t.Errorf("over a mask: %v", err)
	}
	if _, _, err := Install(string(r), filepath.Join(dir, "none.service")); err == nil {
		t.Error("a file that is not there was installed")
	}
}
