package boot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
)

func TestKindOf(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"x.service", "", "unit"},
		{"x.socket", "", "unit"},
		{"x.yaml", "", "process-compose"},
		{"x.yml", "{}", "process-compose"},
		{"x", "[Unit]\n", "unit"},
		{"x.json", `{"version": 1, "services": {}}`, "config"},
		{"x.json", ` {"version": 1, "services": `, "config"},
		{"x.json", `{"version": "0.5", "processes": {}}`, "process-compose"},
		{"x.json", `{"processes": {,}}`, "process-compose"},
		{"x.json", `{"services": {}}`, "modular"},
		{"x.json", `{"web": {"process": {}}}`, "modular"},
		{"x.txt", "words", ""},
		{"x.txt", "", ""},
	} {
		if got, err := KindOf(c.file, []byte(c.text)); string(got) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s with %q is %q, %v, want %q", c.file, c.text, got, err, c.want)
		}
	}
}

// box is a container without a supervisor whose root has the files given.
func rootWith(t *testing.T, files map[string]string) *Container {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		target, isLink := strings.CutPrefix(text, "-> ")
		var err error
		if isLink {
			err = os.Symlink(target, full)
		} else {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return &Container{Root: root, defined: &defined{builtin: []services.Service{
		{Name: "sshd"}, {Name: "main", Foreground: true},
	}}}
}

func (c *Container) mustDefine(t *testing.T) (names []string, d definitions, problems []string) {
	t.Helper()
	config, err := image.Load(c.Root)
	if err != nil {
		t.Fatal(err)
	}
	d, err = c.definitions(config)
	for _, svc := range d.list {
		names = append(names, svc.Name)
	}
	return names, d, sentences(err)
}

const unit = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=multi-user.target\n"

// All the ways in, together.
func TestDefinitions(t *testing.T) {
	const wants = "etc/systemd/system/multi-user.target.wants/"
	c := rootWith(t, map[string]string{
		"etc/nix2vast/config.json": `{"version": 1,
			"services": {"own": {"ExecStart": ["/bin/x"]}, "bad": {"ExecStart": []}, "main": {"ExecStart": ["/bin/x"]}},
			"processCompose": "/etc/pc.yaml",
			"modularServices": {"cache": {"process": {"argv": ["/bin/x"]}, "configData": {"a.conf": {"text": "hello\n"}}}}}`,
		"etc/pc.yaml":                       "processes:\n  page:\n    command: run\n  own:\n    command: run\n",
		"etc/systemd/system/unit.service":   "[Unit]\nAfter=ssh.service own.service absent.service\nWants=ssh.service\n" + unit,
		"etc/systemd/system/ssh.service":    unit,
		"etc/systemd/system/held.service":   "[Unit]\nWants=pulled.service\n" + unit,
		"etc/systemd/system/pulled.service": unit,
		wants + "unit.service":              "-> ../unit.service",
		wants + "ssh.service":               "-> ../ssh.service",
		wants + "removed.service":           "-> ../removed.service",
	})
	c.defined.loaded = []string{"held", "unit", "gone"}
	names, d, problems := c.mustDefine(t)
	if got := strings.Join(names, " "); got != "sshd own page cache unit held pulled main" {
		t.Errorf("the services are %s", got)
	}
	for _, svc := range d.list {
		if want := svc.Name == "held" || svc.Name == "pulled"; svc.Disabled != want {
			t.Errorf("%s: disabled is %v", svc.Name, svc.Disabled)
		}
		if svc.Name == "unit" && (!slices.Equal(svc.After, []string{"sshd", "own"}) && !slices.Equal(svc.After, []string{"own", "sshd"}) || !slices.Equal(svc.Wants, []string{"sshd"})) {
			t.Errorf("unit is after %v and wants %v", svc.After, svc.Wants)
		}
	}
	for i, want := range []string{
		"/etc/nix2vast/config.json:2: service bad: ExecStart is empty",
		"/etc/nix2vast/config.json:2: there is a service main already, by this init itself: this one is left out",
		"/etc/pc.yaml:4: there is a service own already, by /etc/nix2vast/config.json:2: this one is left out",
	} {
		if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, want) }) || len(problems) != 3 {
			t.Errorf("problem %d is not among\n%s", i, strings.Join(problems, "\n"))
		}
	}
	if len(d.notes) != 1 || !strings.Contains(d.notes[0], "runs sshd itself") {
		t.Errorf("the notes are %q", d.notes)
	}
	note, err := writeFiles(c.Root, d.files)
	if err != nil || len(d.files) != 1 || note != "wrote "+d.files[0].Path {
		t.Fatalf("%v, %q, %v", d.files, note, err)
	}
	if b, _ := os.ReadFile(filepath.Join(c.Root, d.files[0].Path)); string(b) != "hello\n" {
		t.Errorf("%s holds %q", d.files[0].Path, b)
	}
	if note, err := writeFiles(c.Root, d.files); note != "" || err != nil {
		t.Errorf("the second time: %q, %v", note, err)
	}
}

func TestConfigNamesAFileThatIsNotThere(t *testing.T) {
	c := rootWith(t, map[string]string{"etc/nix2vast/config.json": "{\"version\": 1,\n\"processCompose\": \"/no.yaml\"}"})
	names, _, problems := c.mustDefine(t)
	if len(names) != 2 || len(problems) != 1 || !strings.HasPrefix(problems[0], "/etc/nix2vast/config.json:2: reading the definitions: ") {
		t.Errorf("%q, %q", names, problems)
	}
}

// What is wrong in a process-compose or modular part of the config has the line of the config.
func TestCheckConfigTellsLines(t *testing.T) {
	good, text := checkFile("c.json", []byte(`{"version": 1,
 "services": {"a": {"ExecStart": ["/bin/a"]}},
 "processCompose": {
  "processes": {
   "b": {"comand": "x"}}}
}`))
	if good || !strings.HasPrefix(text, "c.json:5: ") {
		t.Errorf("%v, %q", good, text)
	}
}

// checkFile is CheckFiles of one, whose kind is told by its text.
func checkFile(file string, b []byte) (good bool, text string) {
	CheckFiles("/", []Checked{{File: file, Text: b}}, func(ok bool, said string) { good, text = ok, said })
	return good, text
}

func TestCheckFile(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		good             bool
		want             string
	}{
		{"a unit", "x.service", unit, true, "x.service: good: 1 service\n"},
		{"of no effect", "x.service", strings.Replace(unit, "[Install]", "ProtectSystem=yes\n[Install]", 1), true,
			"x.service: good: 1 service\nx.service: service x: without effect in a container: ProtectSystem\n"},
		{"a typing error", "x.service", strings.Replace(unit, "[Install]", "Restrat=yes\n[Install]", 1), false, "x.service:3: "},
		{"a project", "x.yaml", "processes:\n  a:\n    command: x\n  b:\n    command: x\n", true, "x.yaml: good: 2 services\n"},
		{"a bad project", "x.yaml", "processes:\n  a:\n    comand: x\n", false, "x.yaml:3: "},
		{"modular", "x.json", `{"a": {"process": {"argv": ["/bin/x"]}, "warnings": ["mind the gap"]}}`, true, "x.json:1: warning: "},
		{"every problem", "x.json", "{\"version\": 1, \"services\": {\n\"a\": {\"ExecStart\": [\"/bin/x\"], \"KillSignal\": \"FOO\", \"Requires\": [\"b\"]},\n\"c\": {\"ExecStart\": 1, \"After\": [\"a\"]},\n\"d\": {\"ExecStart\": [\"x\"], \"After\": [\"c\", \"a\"]}}}", false,
			"x.json:2: service a: KillSignal \"FOO\" is not a signal; use a name such as SIGTERM\nx.json:3: service c: "},
		{"every problem of one", "x.json", "{\"version\": 1, \"services\": {\n\"a\": {\"ExecStart\": [\"/bin/x\"], \"KillSignal\": \"FOO\", \"Requires\": [\"b\"]}}}", false,
			"x.json:2: service a: KillSignal \"FOO\" is not a signal; use a name such as SIGTERM\nx.json:2: service a: Requires: there is no service b\n"},
		{"syntax", "x.json", "{\"version\": 1,\n\n \"services\": {,}}", false, "x.json:3: invalid character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, text := checkFile(c.file, []byte(c.text))
			if good != c.good || !strings.HasPrefix(text, c.want) || c.good && !strings.Contains(text, ": good: ") {
				t.Errorf("%v, %q, want %v, %q", good, text, c.good, c.want)
			}
		})
	}
}

func TestSystemdState(t *testing.T) {
	for state, want := range map[services.State]string{
		services.Stopped: "inactive dead", services.Starting: "activating start", services.Ready: "active running",
		services.Stopping: "deactivating stop-sigterm", services.Backoff: "activating auto-restart",
		services.Failed: "failed failed", services.Done: "inactive dead",
	} {
		if active, sub := systemdState(state, services.Service{}); active+" "+sub != want {
			t.Errorf("%v is %s %s, want %s", state, active, sub, want)
		}
	}
	if active, sub := systemdState(services.Done, services.Service{RemainAfterExit: true}); active+" "+sub != "active exited" {
		t.Errorf("done for good is %s %s", active, sub)
	}
}

func TestSourcePath(t *testing.T) {
	for source, want := range map[string]string{"/a/x.service": "/a/x.service", "/a.json:12": "/a.json", "/a@1:2:3": "/a@1:2", "": "", "/a:b": "/a:b", ":1": ":1"} {
		if got := sourcePath(source); got != want {
			t.Errorf("%q: %q, want %q", source, got, want)
		}
	}
}

func TestStatusChanged(t *testing.T) {
	web := services.Status{Name: "web", State: services.Ready}
	first := Status{Phase: Booting, Services: []services.Status{web, {Name: "db", State: services.Starting}}}
	crashed := web
	crashed.State, crashed.Note = services.Backoff, "exit code 1"
	second := Status{Phase: Degraded, Services: []services.Status{crashed}}
	for i, c := range []struct {
		got  []string
		want string
	}{
		{first.Changed(Status{}), "init: booting|web: ready|db: starting"},
		{first.Changed(first), ""},
		{second.Changed(first), "init: degraded|web: backoff: exit code 1|db: removed"},
	} {
		if got := strings.Join(c.got, "|"); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}
