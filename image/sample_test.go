package image

import (
	"encoding/json"
	"os"
	"testing"
)

// testdata/sample.json is what every option of config/ comes to: the config that a box with
// all of them would boot with is one that init reads.
func TestSampleIsConfig(t *testing.T) {
	b, err := os.ReadFile("testdata/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var sample struct {
		Rootfs struct{ Config json.RawMessage }
	}
	if err := json.Unmarshal(b, &sample); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(sample.Rootfs.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"home", "hook-boot", "hook-gpu", "hook-pre-gpu", "hook-pre-services", "hook-post-ready"} {
		if len(c.Services[name]) == 0 {
			t.Errorf("there is no service %s", name)
		}
	}
	if len(c.ProcessCompose) == 0 || len(c.ModularServices) == 0 || !c.Tailscale.Enable {
		t.Errorf("there are no processes, no modular services or no tailnet: %+v", c)
	}
}
