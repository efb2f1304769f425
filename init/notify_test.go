package boot

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/services"
)

// TestNotifyUp: a manager that asked for it, as podman does, is told.
func TestNotifyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	c := &Container{Log: zap.NewNop()}
	c.notifyUp("READY=1")
	c.sayEnding()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Errorf("it was told %q, %v, want %q", b[:n], err, want)
		}
	}
}

func TestPhaseOfWhatIsStuck(t *testing.T) {
	st := Status{Services: []services.Status{
		{Name: "db", State: services.Backoff, Restarts: 3},
		{Name: "app", State: services.Starting, WaitsFor: "db"},
	}}
	if p := phase(st, true, false, GPUOff); p != Degraded {
		t.Errorf("behind a service that does not work the box is %s", p)
	}
	st.Services[0].State = services.Starting
	st.Services[0].Restarts = 0
	if p := phase(st, true, false, GPUOff); p != Booting {
		t.Errorf("it is %s", p)
	}
}
