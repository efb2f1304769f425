package checks

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// notifiedConfig is a service that is ready once its gate is there.
const notifiedConfig = `{"version": 1, "services": {"gated": {"ReadyLine": "the gate is open", "ExecStart": ["/bin/busybox", "sh", "-c",
	"echo \"NOTIFY_SOCKET is [$NOTIFY_SOCKET]\"; until [ -e /gate ]; do /bin/busybox sleep 0.05; done; echo the gate is open; exec /bin/busybox sleep 600"]}}}`

// TestPodmanIsNotified has podman tell systemd's socket that the container is ready, as
// a unit with podman run --sdnotify=container does: when its services are, and not before.
// The services themselves know nothing of that socket.
func TestPodmanIsNotified(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	put(t, filepath.Join(root, "etc/nix2vast/config.json"), notifiedConfig)
	for from, to := range map[string]string{"build/init": "init", "build/debs/busybox/bin/busybox": "bin/busybox"} {
		b, err := os.ReadFile(filepath.Join(repository(), from))
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(root, to), string(b))
	}
	socket := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	name := fmt.Sprintf("nix2vast-notify-%d", os.Getpid())
	podman := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("podman", args...)
		cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("podman %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { _ = exec.Command("podman", "rm", "-f", "-t", "1", name).Run() }) // it may not be there
	podman("run", "-d", "--name", name, "--network", "none", "--sdnotify=container", "--ulimit", "nofile=1024:4096",
		"--ulimit", "nproc=4096:4096", "--env", "NIX2VAST_GPU=off", "--rootfs", root, "/init")
	if !within(time.Minute, func() bool { return strings.Contains(podman("logs", name), "NOTIFY_SOCKET is []") }) {
		t.Fatalf("the service has the socket, or does not run:\n%s", podman("logs", name))
	}
	told := func(wait time.Duration) (texts []string) {
		for {
			b := make([]byte, 4096)
			if err := l.SetReadDeadline(time.Now().Add(wait)); err != nil {
				t.Fatal(err)
			}
			n, err := l.Read(b)
			if err != nil {
				return texts
			}
			texts = append(texts, string(b[:n]))
			if strings.Contains(texts[len(texts)-1], "READY=1") {
				return texts
			}
		}
	}
	if texts := strings.Join(told(500*time.Millisecond), "\n"); strings.Contains(texts, "READY=1") {
		t.Errorf("before the service is ready systemd is told %q", texts)
	}
	put(t, filepath.Join(root, "gate"), "")
	if texts := strings.Join(told(time.Minute), "\n"); !strings.Contains(texts, "READY=1") {
		t.Errorf("once the service is ready systemd is told %q; the container says\n%s", texts, podman("logs", name))
	}
	podman("stop", "-t", "30", name)
	if code := strings.TrimSpace(podman("inspect", "-f", "{{.State.ExitCode}}", name)); code != "0" {
		t.Errorf("the container ended with %s:\n%s", code, podman("logs", name))
	}
}
