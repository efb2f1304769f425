package boot

import (
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/gpu"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
)

func TestPhase(t *testing.T) {
	ok := StepStatus{Name: "accounts", OK: true}
	service := func(state services.State, restarts int) []services.Status {
		return []services.Status{{Name: "sshd", State: services.Ready}, {Name: "web", State: state, Restarts: restarts}}
	}
	hook := func(state services.State) []services.Status {
		return []services.Status{{Name: "web", State: services.Ready}, {Name: hookPostReady, State: state, Disabled: true}}
	}
	for _, c := range []struct {
		name         string
		st           Status
		over, ending bool
		mode         string
		want         Phase
		code         int
		faults       string
	}{
		{"all is well", Status{Steps: []StepStatus{ok}, Services: service(services.Ready, 3)}, true, false, GPUAuto, Ready, 0, ""},
		{"a oneshot that is done", Status{Services: service(services.Done, 0)}, true, false, GPUAuto, Ready, 0, ""},
		{"somebody stopped it", Status{Services: service(services.Stopped, 0)}, true, false, GPUAuto, Ready, 0, ""},
		{"steps to come", Status{Steps: []StepStatus{ok}}, false, false, GPUAuto, Booting, 2, ""},
		{"a first start", Status{Services: service(services.Starting, 0)}, true, false, GPUAuto, Booting, 2, ""},
		{"a start again", Status{Services: service(services.Starting, 1)}, true, false, GPUAuto, Degraded, 1, "service web is in starting"},
		{"it crashes", Status{Services: service(services.Backoff, 1)}, true, false, GPUAuto, Degraded, 1, "service web is in backoff"},
		{"it failed", Status{Services: service(services.Failed, 0)}, true, false, GPUAuto, Degraded, 1, "service web is in failed"},
		{"a step failed", Status{Steps: []StepStatus{ok, {Name: "sshkeys"}}}, true, false, GPUAuto, Degraded, 1, "step sshkeys failed"},
		{"no GPU", Status{GPU: &gpu.Report{State: gpu.Absent}}, true, false, GPUAuto, Ready, 0, ""},
		{"no GPU where one has to be", Status{GPU: &gpu.Report{State: gpu.Absent}}, true, false, GPURequire, Degraded, 1, "gpu: absent"},
		{"a GPU without its driver", Status{GPU: &gpu.Report{State: gpu.NoDriver}}, true, false, GPUAuto, Degraded, 1, "gpu: no-driver"},
		{"one that nobody wants", Status{GPU: &gpu.Report{State: gpu.NoDriver}}, true, false, GPUOff, Ready, 0, ""},
		{"a GPU", Status{GPU: &gpu.Report{State: gpu.Ready}}, true, false, GPURequire, Ready, 0, ""},
		{"it fails, and nobody waits for it", Status{Services: service(services.Failed, 0), background: []string{"web"}}, true, false, GPUAuto, Ready, 0, ""},
		{"it starts, and nobody waits for it", Status{Services: service(services.Starting, 0), background: []string{"web"}}, true, false, GPUAuto, Ready, 0, ""},
		{"the hook that waits for the box", Status{Services: hook(services.Starting)}, true, false, GPUAuto, Ready, 0, ""},
		{"that hook, which failed", Status{Services: hook(services.Failed)}, true, false, GPUAuto, Degraded, 1, "service hook-post-ready is in failed"},
		{"no login, and nobody waits for one", Status{Tailnet: &wire.Status{State: wire.NeedsLogin}}, true, false, GPUAuto, Ready, 0, ""},
		{"a tailnet that is required and comes", Status{Tailnet: &wire.Status{State: wire.Starting}, required: TailnetRequire}, true, false, GPUAuto, Booting, 2, "tailnet: starting"},
		{"one whose server does not answer", Status{Tailnet: &wire.Status{State: wire.Starting, Reason: wire.ControlUnreachable}, required: TailnetRequire}, true, false, GPUAuto, Degraded, 1, "tailnet: starting, control-unreachable"},
		{"one that is required", Status{Tailnet: &wire.Status{State: wire.Running}, required: TailnetRequire}, true, false, GPUAuto, Ready, 0, ""},
		{"one that is required and absent", Status{required: TailnetRequire}, true, false, GPUAuto, Degraded, 1, "tailnet: absent"},
		{"the end", Status{Services: service(services.Starting, 0)}, true, true, GPUAuto, Stopping, 1, ""},
	} {
		got := phase(c.st, c.over, c.ending, c.mode)
		if got != c.want || got.ExitCode() != c.code {
			t.Errorf("%s: %s with exit code %d, want %s with %d", c.name, got, got.ExitCode(), c.want, c.code)
		}
		if faults := strings.Join(c.st.faults(c.mode), "; "); !c.ending && faults != c.faults {
			t.Errorf("%s: faults %q, want %q", c.name, faults, c.faults)
		}
	}
}

func TestStatusText(t *testing.T) {
	st := Status{
		Phase: Ready, Host: "vast", Since: time.Now().Add(-90 * time.Second), Took: 59 * time.Millisecond,
		Steps:    []StepStatus{{Name: "mounts", OK: true, Took: 600 * time.Microsecond}, {Name: "accounts", Error: "no room"}},
		Services: []services.Status{{Name: "sshd", State: services.Ready, Pid: 37, Since: time.Now().Add(-89 * time.Second)}},
		SSH:      SSHStatus{State: "ready", Keys: 2, Password: true, Login: "ssh -p 41022 root@203.0.113.7"},
		GPU:      &gpu.Report{State: gpu.Absent, Reason: "none is here"},
		Tailnet:  &wire.Status{State: wire.NeedsLogin, Reason: wire.NoKey, Text: "there is no key", Cure: "set one", LoginURL: "https://login.example.org/a/1"},
		Problems: []string{"one thing"},
	}
	var b strings.Builder
	if err := st.WriteText(&b, 0); err != nil {
		t.Fatal(err)
	}
	want := `ready, started 1m30s ago on vast, ready after 59ms

STEP      TOOK   NOTE
mounts    600µs
accounts  0s     failed: no room

SERVICE  STATE  SINCE  PID  RESTARTS  NOTE
sshd     ready  1m29s  37   0

ssh:      ready, 2 key(s), password: ssh -p 41022 root@203.0.113.7
gpu:      absent: none is here
tailnet:  needs-login (no-key): there is no key, to let this box in, open https://login.example.org/a/1
problem:  one thing
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}
