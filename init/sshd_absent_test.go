package boot

import (
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image"
)

// An image that is meant to have no SSH server is as it should be; one that lacks it is not.
func TestNoSSHServer(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		c := &Container{Root: t.TempDir(), Config: image.Config{NoSSH: wanted}}
		list, err := c.builtin()
		if len(names(list, sshdName)) > 0 {
			t.Errorf("there is sshd, with NoSSH %v", wanted)
		}
		if (err == nil) != wanted {
			t.Errorf("with NoSSH %v: %v", wanted, err)
		}
		st := c.sshStatus(nil, &Progress{})
		if says := strings.Contains(st.Reason, "as its author wanted"); st.State != "off" || says != wanted {
			t.Errorf("with NoSSH %v ssh is %+v", wanted, st)
		}
	}
}
