package boot

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
)

// inTailnet is a container of an environment, and the configuration that its service would be given.
func inTailnet(t *testing.T, root string, environ ...string) (*Container, services.Service, wire.Config) {
	t.Helper()
	settings, _ := ParseSettings(environ)
	c := &Container{Root: root, Settings: settings, runDir: runDirOnce(root)}
	svc, err := c.tailnetService()
	if err != nil {
		t.Fatal(err)
	}
	if len(svc.Descriptors) != 1 || svc.Descriptors[0].Name != wire.ConfigName {
		t.Fatalf("%+v", svc.Descriptors)
	}
	f := svc.Descriptors[0].File
	t.Cleanup(func() { f.Close() })
	var config wire.Config
	if err := json.NewDecoder(io.NewSectionReader(f, 0, 1<<20)).Decode(&config); err != nil {
		t.Fatal(err)
	}
	return c, svc, config
}

func TestTailnetIsWanted(t *testing.T) {
	for _, tt := range []struct {
		environ string
		enable  bool
		want    bool
	}{
		{"SSH_PORT=22", false, false},
		{"SSH_PORT=22", true, true},
		{"TS_AUTHKEY=k", false, true},
		{"TS_AUTHKEY=/a/path", false, true},
		{"TS_AUTHKEY=", false, false},
		{"TS_USERSPACE=true", false, false},
		{"TS_HOSTNAME=box", false, true},
		{"NIX2VAST_TAILNET=require", false, true},
		{"NIX2VAST_TAILNET=off", true, false},
	} {
		settings, _ := ParseSettings([]string{tt.environ})
		c := &Container{Settings: settings, Config: image.Config{Tailscale: image.Tailscale{Enable: tt.enable}}}
		if got := c.wantsTailnet(); got != tt.want {
			t.Errorf("%s, image %v: %v", tt.environ, tt.enable, got)
		}
	}
	settings, _ := ParseSettings([]string{"NIX2VAST_TAILNET=off", "TS_AUTHKEY=k"})
	if (&Container{Settings: settings}).wantsTailnet() {
		t.Error("off is not off")
	}
}

// TestTailnetServiceKeepsItsSecret: the configuration has the key, nothing else does, and nobody
// can change it.
func TestTailnetServiceKeepsItsSecret(t *testing.T) {
	_, svc, config := inTailnet(t, t.TempDir(), "TS_AUTHKEY=tskey-hunter2", "TS_HOSTNAME=box", "TS_ENABLE_METRICS=1")
	if config.AuthKey != "tskey-hunter2" || config.Hostname != "box" || config.LocalAddress != tailnetMetrics {
		t.Errorf("%+v", config)
	}
	f := svc.Descriptors[0].File
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing to the configuration: %v", err)
	}
	if err := f.Truncate(0); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncating it: %v", err)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("other children inherit it: %v", err)
	}
	svc.Descriptors = nil
	if text, err := json.Marshal(svc); err != nil || strings.Contains(string(text), "hunter2") {
		t.Errorf("%s %v", text, err)
	}
	if svc.Type != services.Notify || svc.Essential || len(svc.After)+len(svc.Requires) > 0 || svc.Restart != services.RestartAlways ||
		time.Duration(*svc.RestartSec) != time.Second || time.Duration(svc.RestartMaxDelaySec) != time.Minute {
		t.Errorf("%+v", svc)
	}
	if *svc.OOMScoreAdjust != min(ownScore()+200, 1000) || svc.Environment["GOMEMLIMIT"] != "256MiB" || svc.Environment["TS_NO_LOGS_NO_SUPPORT"] != "true" {
		t.Errorf("%+v", svc.Execution)
	}
	if !slices.Contains(svc.UnsetEnvironment, "TS_CONTROL_URL") || slices.Contains(svc.UnsetEnvironment, "TS_NO_LOGS_NO_SUPPORT") {
		t.Errorf("unset: %q", svc.UnsetEnvironment)
	}
	complete := svc.WithDefaults()
	if err := complete.Validate(); err != nil {
		t.Error(err)
	}
	_, svc, _ = inTailnet(t, t.TempDir(), "TS_AUTHKEY=k", "TS_LOGS=1")
	if _, ok := svc.Environment["TS_NO_LOGS_NO_SUPPORT"]; ok {
		t.Error("logs that are wanted are not uploaded")
	}
}

func TestTailnetSecretsFromFiles(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"key": "tskey-x\n", "empty": " \n", "two": "tskey-x\ntskey-y\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		environ []string
		key     string
		problem string
	}{
		{[]string{"TS_AUTHKEY=file:/key"}, "tskey-x", ""},
		{[]string{"TAILSCALE_AUTHKEY_FILE=/key"}, "tskey-x", ""},
		{[]string{"TS_CLIENT_SECRET=file:/key", "TS_TAGS=gpu"}, "tskey-x", ""},
		{[]string{"TS_AUTHKEY=file:/absent"}, "", `TS_AUTHKEY cannot be used: there is no file "/absent"`},
		{[]string{"TS_AUTHKEY=file:/empty"}, "", "the content of TS_AUTHKEY is empty: it is not used"},
		{[]string{"TS_AUTHKEY_FILE=/two"}, "", "the content of TS_AUTHKEY_FILE holds a line break"},
		{[]string{"TS_AUTHKEY_FILE=/"}, "", "is not a regular file"},
	} {
		c, _, config := inTailnet(t, root, tt.environ...)
		if config.AuthKey != tt.key {
			t.Errorf("%q: the key is %q", tt.environ, config.AuthKey)
		}
		var want []string
		if tt.problem != "" {
			want = []string{tt.problem}
		}
		wantProblems(t, c.Problems, want)
	}
	_, _, config := inTailnet(t, root, "TS_ID_TOKEN=token", "TS_CLIENT_ID=id", "TS_AUDIENCE=them")
	if config.IDToken != "token" || config.ClientID != "id" || config.Audience != "them" || config.AuthKey != "" {
		t.Errorf("%+v", config)
	}
}

// TestTailnetStatus: what the program wrote counts while it runs, and what the run before left
// never does.
func TestTailnetStatus(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run/nix2vast")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, wire.StatusFile)
	running := wire.Status{State: wire.Running, Name: "box.tail.test", Addresses: []string{"100.64.0.1"}, Mode: "userspace"}
	text, err := json.Marshal(running)
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write()
	c, _, _ := inTailnet(t, root, "TS_AUTHKEY=k")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the status of an earlier run is still there: %v", err)
	}
	is := func(state services.State, note string) *wire.Status {
		return c.tailnetStatus([]services.Status{{Name: tailnetName, State: state, Note: note}})
	}
	if st := is(services.Ready, ""); st.State != wire.Starting {
		t.Errorf("%+v", st)
	}
	write()
	if st := is(services.Ready, ""); !reflect.DeepEqual(*st, running) {
		t.Errorf("%+v", st)
	}
	for state, want := range map[services.State]wire.State{services.Starting: wire.Starting, services.Backoff: wire.Failed,
		services.Failed: wire.Failed, services.Stopped: wire.Stopped, services.Stopping: wire.Stopped} {
		if st := is(state, "a note"); st.State != want || st.Text != "a note" || st.Name != "" {
			t.Errorf("%s: %+v", state, st)
		}
	}
	if st := c.tailnetStatus(nil); st != nil {
		t.Errorf("%+v", st)
	}
	c.Settings.Tailnet.Mode = TailnetOff // a service of the renter's that has the name
	if st := is(services.Ready, ""); st != nil {
		t.Errorf("%+v", st)
	}
}

func TestTailnetText(t *testing.T) {
	st := wire.Status{State: wire.Degraded, Reason: wire.ControlUnreachable, Text: "no\nanswer", Cure: "wait", Name: "box.tail.test",
		Addresses: []string{"100.64.0.1", "fd7a::1"}, Mode: "tun", Proxy: "127.0.0.1:1055", SSH: true, Warnings: []string{"one"},
		KeyExpiry: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)}
	if got, want := describeTailnet(st), "degraded (control-unreachable): box.tail.test 100.64.0.1 fd7a::1, tun, no answer, wait"; got != want {
		t.Errorf("%q", got)
	}
	want := `state:       degraded (control-unreachable)
reason:      no answer
cure:        wait
name:        box.tail.test
addresses:   100.64.0.1 fd7a::1
mode:        tun
proxy:       127.0.0.1:1055
ssh:         Tailscale's own, on port 22 of the tailnet
key expires: 2027-01-02 03:04 UTC
warning:     one
`
	if got := TailnetText(st); got != want {
		t.Errorf("got\n%s", got)
	}
	peers := []wire.Peer{{Name: "a", Address: "100.64.0.2", Online: true, Path: "direct", Via: "203.0.113.7:41641", RTT: 1.25, Sent: 2048},
		{Name: "b", Address: "100.64.0.3", Online: true, Path: "relay", Via: "test"}, {Name: "c", Address: "100.64.0.4"}}
	want = `NAME  ADDRESS     PATH                      RTT    SENT      RECEIVED
a     100.64.0.2  direct 203.0.113.7:41641  1.2ms  2.00 KiB  0 B
b     100.64.0.3  relay test                -      0 B       0 B
c     100.64.0.4  offline                   -      0 B       0 B

1 of them are reached through a relay, which is slow: publish UDP port 41641 of the box, as -p 41641:41641/udp does
`
	if got := PeersText(peers); got != want {
		t.Errorf("got\n%s", got)
	}
}
