package boot

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"
)

// What the options of an image set in its environment, see config/*.nix, is what init reads: all of it,
// as it was meant.
func TestSettingsOfSample(t *testing.T) {
	b, err := os.ReadFile("../image/testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		Image struct{ Config struct{ Env []string } }
	}
	if err := json.Unmarshal(b, &sample); err != nil {
		t.Fatal(err)
	}
	s, problems := ParseSettings(sample.Image.Config.Env)
	if len(problems) > 0 {
		t.Errorf("init says of the image's environment %q", problems)
	}
	tailnet, no := s.Tailnet, false
	if tailnet.Mode != TailnetRequire || !tailnet.Asked || tailnet.Key.File != "/run/secrets/tailscale" {
		t.Errorf("the tailnet's settings are %+v", tailnet)
	}
	want := defaultTailnet().Config
	want.Hostname, want.ControlURL = "trainer", "https://headscale.example.org"
	want.Tags, want.Expose = []string{"tag:gpu", "tag:train"}, "22,8000-9000,loopback"
	want.Ephemeral, want.SSH, want.AcceptDNS = true, true, &no
	want.ServeConfig = "/etc/nix2vast/serve.json"
	want.Private = tailnet.Config.Private // of the proxies
	if !reflect.DeepEqual(tailnet.Config, want) {
		t.Errorf("the tailnet is told\n%+v, want\n%+v", tailnet.Config, want)
	}
	if s.SSHPort != 2222 || s.GPU != GPURequire || s.GPUWait != 30*time.Second || s.StopTimeout != time.Minute ||
		s.LogFormat != LogJSON || s.MetricsAddr != ":9400" || s.Workspace != "/data" || len(s.PublicKeyFiles) != 1 ||
		s.LogDir != "/data/logs" || s.Socket != "/shared/init.sock" || s.OnExit != OnExitExit ||
		!reflect.DeepEqual(s.GPUDirs, []string{"/opt/driver/lib", "/opt/driver/lib64"}) {
		t.Errorf("the settings are %+v", s)
	}
}
