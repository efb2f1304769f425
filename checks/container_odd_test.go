package checks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPort22Taken starts a container in the network of another one, whose sshd
// has the port. That one even answers as ours would.
func TestPort22Taken(t *testing.T) {
	t.Parallel()
	first := run(t, nil)
	first.ready()
	c := run(t, []string{"--network", "container:" + first.name, "-e", "SSH_PUBLIC_KEYS=" + theLab(t).public})
	s := c.degraded()
	if state, note := s.service("sshd"); state != "backoff" && state != "starting" || !strings.Contains(note, "port 22 is taken by another process") {
		t.Errorf("sshd is %s: %s", state, note)
	}
	if s.SSH.State == "ready" || !strings.Contains(s.SSH.Reason, "port 22 is taken") {
		t.Errorf("ssh is %s: %s", s.SSH.State, s.SSH.Reason)
	}
	for _, step := range s.Steps {
		if !step.OK {
			t.Errorf("the step %s failed: %s", step.Name, step.Error)
		}
	}
	if !strings.Contains(c.logs(), "port 22 is taken") {
		t.Error("the log does not say it")
	}

	first.sh("init stop sshd")
	if !within(20*time.Second, func() bool { return c.status().Phase == "ready" }) {
		t.Errorf("sshd does not take the free port:\n%s", c.sh("init status || :"))
	}
	if state, note := c.status().service("sshd"); state != "ready" || note != "" {
		t.Errorf("sshd is %s: %s", state, note)
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{
		"bare": {"--read-only"},
		"run":  {"--read-only", "--tmpfs", "/run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := run(t, keyed(t, append(options, "-e", "ROOT_PASSWORD=correct horse")...))
			s := c.degraded()
			for _, step := range s.Steps {
				// The one word is what it is, the sentence what it keeps from being done.
				const sentence = "the file system is read-only, but this would have to change: "
				switch {
				case step.Name == "control" || step.Name == "services":
					if !step.OK {
						t.Errorf("the step %s failed: %s", step.Name, step.Error)
					}
				case !strings.HasPrefix(step.Error, sentence) || strings.Contains(step.Error, "\n"):
					t.Errorf("the step %s says %q", step.Name, step.Error)
				}
			}
			s.notApplied(t)
			if text := c.logs(); strings.Contains(text, "correct horse") {
				t.Error("the log holds the password")
			}
			if out, code := c.exec("init", "gpu"); code != 0 || !strings.Contains(out, "absent") {
				t.Errorf("init gpu ends with %d and prints %s", code, out)
			}
			if code, took := c.stop(); code != 0 || took > 3*time.Second {
				t.Errorf("the container ends with %d after %v", code, took)
			}
			if out, code := attached(t, "", options, "sh", "-c", "echo works; exit 7"); out != "works\n" || code != 7 {
				t.Errorf("a main command prints %q and ends with %d", out, code)
			}
		})
	}
}

// notApplied checks that the status counts no key and no password that could not
// be written, and says why nobody gets in.
func (s status) notApplied(t *testing.T) {
	t.Helper()
	if s.SSH.Keys != 0 || s.SSH.Password || s.SSH.State != "no credentials" || !strings.Contains(s.SSH.Reason, "could not be written") {
		t.Errorf("ssh: %+v", s.SSH)
	}
}

// launcher is what hosts do that replace the image's entrypoint: their own PID 1
// waits for a script, which starts sshd by itself and runs the renter's
// commands, of which init is one.
const launcher = `
set -e
apt-get update
apt-get install -y --no-install-recommends openssh-server tmux rsync software-properties-common
set +e
init boot >/tmp/boot.log 2>&1 &
init status --wait 20s >/tmp/status
init boot >/tmp/second; echo "ends with $?" >>/tmp/second
init >/tmp/third; echo "ends with $?" >>/tmp/third
/usr/sbin/sshd
touch /tmp/launched
while :; do sleep 1; done
`

func TestPlatformLauncher(t *testing.T) {
	t.Parallel()
	const secret = "correct horse 7f3a"
	c := create(t, keyed(t, "-e", "ROOT_PASSWORD="+secret, "-e", "HARD=it's \"$HOME\"", "--entrypoint", "/bin/sh"),
		"-c", "while [ ! -e /.launch ]; do sleep 1; done; bash /.launch")
	script := filepath.Join(c.dir, "launch")
	if err := os.WriteFile(script, []byte(launcher), 0o755); err != nil {
		t.Fatal(err)
	}
	c.engine("cp", script, c.name+":/.launch")
	c.start()
	if !within(30*time.Second, func() bool { _, code := c.exec("test", "-e", "/tmp/launched"); return code == 0 }) {
		t.Fatalf("the launcher does not get through:\n%s", c.sh("tail -n 50 /tmp/*"))
	}
	if got, want := c.sh("cat /tmp/second"), "an init runs here already; see: init status\nends with 0\n"; got != want {
		t.Errorf("the second boot says %q, want %q", got, want)
	}
	if got := c.sh("cat /tmp/third"); !strings.HasPrefix(got, "ready, ") || !strings.HasSuffix(got, "ends with 0\n") {
		t.Errorf("init without arguments says %q", got)
	}
	s := c.status()
	if state, _ := s.service("sshd"); state != "absent" || s.SSH.State != "off" || !strings.Contains(s.SSH.Reason, "launcher") {
		t.Errorf("sshd is %s, ssh %+v", state, s.SSH)
	}
	if s.SSH.Keys != 1 || !s.SSH.Password || s.Phase != "ready" {
		t.Errorf("%s, ssh %+v", s.Phase, s.SSH)
	}
	if got := c.ssh("", `printf %s "$HARD"; echo " ${ROOT_PASSWORD-none}"`); got != "it's \"$HOME\" none\n" {
		t.Errorf("a session prints %q", got)
	}
	if got := c.methods(); got != "publickey,password" {
		t.Errorf("the launcher's sshd offers %s: our configuration is not its own", got)
	}
	if strings.Contains(c.sh("cat /tmp/boot.log"), secret) {
		t.Error("the log holds the password")
	}
	c.sh("kill -TERM $(pgrep -f '^init boot')")
	if !within(10*time.Second, func() bool { _, code := c.exec("pgrep", "-f", "^init boot"); return code == 1 }) {
		t.Error("init boot does not end on SIGTERM")
	}
	c.logsIn() // the launcher's sshd is not init's to end
}

// TestUnprivileged is a container whose user is nobody in particular and may do
// nothing in particular.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	options := []string{"--user", "12345", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}
	c := run(t, append(options, "-e", "SSH_PUBLIC_KEYS="+theLab(t).public))
	s := c.degraded()
	for name, want := range map[string]string{
		"mounts": "permission denied", "control": "", "environ": "permission denied",
		"accounts": "permission denied", "sshkeys": "permission denied", "services": "",
	} {
		if got := s.step(name); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("the step %s says %q, want %q", name, got, want)
		}
	}
	s.notApplied(t)
	if code, took := c.stop(); code != 0 || took > 3*time.Second {
		t.Errorf("the container ends with %d after %v", code, took)
	}
	if out, code := attached(t, "", options, "sh", "-c", "id -u; exit 7"); out != "12345\n" || code != 7 {
		t.Errorf("a main command prints %q and ends with %d", out, code)
	}
}
