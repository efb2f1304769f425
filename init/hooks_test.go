package boot

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
)

// hookUnit is a service of the image that the config does not have.
var hookUnit = map[string]string{
	"etc/systemd/system/unit.service":                         "[Service]\nExecStart=/bin/x\n",
	"etc/systemd/system/multi-user.target.wants/unit.service": "-> ../unit.service",
}

// hooked is a box of that config and the unit, with the driver's step.
func hooked(t *testing.T, config string) *Container {
	t.Helper()
	files := map[string]string{"etc/nix2vast/config.json": config}
	for path, text := range hookUnit {
		files[path] = text
	}
	c := rootWith(t, files)
	c.defined.builtin = append(c.defined.builtin, services.Service{Name: gpuName}, services.Service{Name: nixName})
	return c
}

// What config/hooks.nix makes of the options is what init knows as hooks: each is there,
// and those wait that are to.
func TestHooksOfSample(t *testing.T) {
	b, err := os.ReadFile("../image/testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		Rootfs struct{ Config json.RawMessage }
	}
	if err := json.Unmarshal(b, &sample); err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(sample.Rootfs.Config), `"depends_on":{"cache":{"condition":"process_started"}}`, `"namespace":"x"`, 1)
	c := hooked(t, config)
	names, d, problems := c.mustDefine(t)
	if len(problems) > 0 {
		t.Errorf("there are problems: %q", problems)
	}
	for _, name := range settingUp {
		if !slices.Contains(names, name) {
			t.Errorf("there is no %s", name)
		}
	}
	var wait []string
	for _, svc := range d.list {
		if slices.Contains(svc.After, hookPreServices) {
			wait = append(wait, svc.Name)
		}
		if svc.Disabled != (svc.Name == hookPostReady) {
			t.Errorf("%s is disabled: %v", svc.Name, svc.Disabled)
		}
	}
	if want := []string{"other", "unit", "web", "worker"}; !slices.Equal(slices.Sorted(slices.Values(wait)), want) {
		t.Errorf("%s wait for the hook, not %s", wait, want)
	}
	parsed, err := image.Parse([]byte(config))
	if err != nil || !precedes(parsed, gpuName) || precedes(parsed, sshdName) {
		t.Errorf("the driver's step does not wait, or sshd does: %v", err)
	}
	c.Settings.GPU = GPUOff
	c.defined.builtin = slices.DeleteFunc(c.defined.builtin, func(svc services.Service) bool { return svc.Name == gpuName })
	if hook := definedIn(t, c, "hook-pre-gpu"); len(hook.Before) > 0 {
		t.Errorf("without a driver's step the hook is before %q", hook.Before)
	}
}

// Without hooks nobody waits for any.
func TestNoHooks(t *testing.T) {
	if unit := definedIn(t, hooked(t, `{"version": 1}`), "unit"); len(unit.After) > 0 {
		t.Errorf("it is after %q", unit.After)
	}
}

// Who waits for the end of the boot would keep that from coming.
func TestNobodyWaitsForPostReady(t *testing.T) {
	config := `{"version": 1, "services": {
"hook-post-ready": {"Type": "oneshot", "ExecStart": ["/bin/x"], "Disabled": true},
"late": {"ExecStart": ["/bin/x"], "After": ["sshd", "hook-post-ready"], "Wants": ["hook-post-ready"]}}}`
	const want = ":3: service late: starts without hook-post-ready, which runs once all services are ready"
	_, d, problems := hooked(t, config).mustDefine(t)
	if len(problems) != 1 || problems[0] != "/etc/nix2vast/config.json"+want {
		t.Errorf("the problems are %q", problems)
	}
	for _, svc := range d.list {
		if svc.Name == "late" && (!slices.Equal(svc.After, []string{"sshd"}) || len(svc.Wants) > 0) {
			t.Errorf("it is after %q and wants %q", svc.After, svc.Wants)
		}
	}
	if good, text := checkFile("c.json", []byte(config)); good || text != "c.json"+want+"\n" {
		t.Errorf("init check says %q", text)
	}
}
