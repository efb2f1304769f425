package boot

import (
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/services"
)

const waitConfig = `{"version": 1, "services": {"db": {"ExecStart": ["/bin/x"]}}, "processCompose": {"processes": {
	"model": {"command": "run", "depends_on": {"gpu": {"condition": "process_completed_successfully"}}},
	"page": {"command": "run", "working_dir": "site", "depends_on": {
		"gpu": {"condition": "process_completed"}, "db": {"condition": "process_started"}, "sshd": {"condition": "process_started"}}}}}}`

// definedIn is one service of the box with that config.
func definedIn(t *testing.T, c *Container, name string) services.Service {
	t.Helper()
	_, d, problems := c.mustDefine(t)
	at := slices.IndexFunc(d.list, func(svc services.Service) bool { return svc.Name == name })
	if at < 0 || len(problems) > 0 {
		t.Fatalf("%s is not there, or there are problems: %q", name, problems)
	}
	return d.list[at]
}

// Processes wait for what is no process: the driver's step, sshd, services of the config.
func TestProcessesWaitForOthers(t *testing.T) {
	c := rootWith(t, map[string]string{"etc/nix2vast/config.json": waitConfig})
	if model := definedIn(t, c, "model"); !slices.Equal(model.Requires, []string{"gpu"}) {
		t.Errorf("model requires %q", model.Requires)
	}
	page := definedIn(t, c, "page")
	if !slices.Equal(page.After, []string{"gpu"}) || !slices.Equal(page.AfterStart, []string{"db", "sshd"}) {
		t.Errorf("page is after %q, and after the start of %q", page.After, page.AfterStart)
	}
	good, text := checkFile("c.json", []byte(waitConfig))
	if want := "c.json: good: 3 services\n"; !good || text != want {
		t.Errorf("init check says %q, not %q", text, want)
	}
	alone := "processes:\n  a:\n    command: run\n    depends_on: {gpu: {condition: process_completed}}\n"
	if good, text = checkFile("c.yaml", []byte(alone)); !good {
		t.Errorf("init check says of a file of process-compose %q", text)
	}
}

// A box without the driver's step keeps nobody waitConfig for it.
func TestNobodyWaitsForADriverThatIsOff(t *testing.T) {
	c := rootWith(t, map[string]string{"etc/nix2vast/config.json": waitConfig})
	c.Settings.GPU = GPUOff
	model, page := definedIn(t, c, "model"), definedIn(t, c, "page")
	if len(model.Requires) != 0 || len(page.After) != 0 || slices.Contains(page.Wants, "gpu") || !slices.Contains(page.Wants, "db") {
		t.Errorf("model requires %q, page is after %q and wants %q", model.Requires, page.After, page.Wants)
	}
}

// A name that is twice there is reported once, with both places.
func TestAProcessWithTheNameOfTheDriver(t *testing.T) {
	c := rootWith(t, map[string]string{"etc/nix2vast/config.json": strings.Replace(waitConfig, `"model"`, `"sshd"`, 1)})
	_, _, problems := c.mustDefine(t)
	if len(problems) != 1 || !strings.Contains(problems[0], "there is a service sshd already, by this init itself") {
		t.Errorf("the problems are %q", problems)
	}
}

// Relative paths of processes begin in the workspace.
func TestProcessesRunInTheWorkspace(t *testing.T) {
	c := rootWith(t, map[string]string{"etc/nix2vast/config.json": waitConfig})
	for environ, want := range map[string][2]string{
		"":                       {"/", "/site"},
		"WORKSPACE=/data":        {"/data", "/data/site"},
		"WORKSPACE=relative":     {"/", "/site"},
		"X=1 WORKSPACE=/a/b Y=2": {"/a/b", "/a/b/site"},
	} {
		c.Environ = strings.Fields(environ)
		got := [2]string{definedIn(t, c, "model").WorkingDirectory, definedIn(t, c, "page").WorkingDirectory}
		if got != want {
			t.Errorf("with %q they run in %q, not %q", environ, got, want)
		}
	}
}
