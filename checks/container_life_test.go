package checks

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kept are the files that have to survive a stop and a start byte for byte.
const kept = "/etc/environment /etc/profile /etc/profile.d/nix2vast.sh /etc/bashrc /etc/bash.bashrc " +
	"/etc/passwd /etc/group /etc/shadow /root/.ssh/authorized_keys " +
	"/etc/ssh/sshd_config /etc/ssh/sshd_config.d/10-nix2vast.conf " +
	"/etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key /etc/ssh/ssh_host_ecdsa_key.pub"

// digests are the kept files' modes, owners and checksums.
func (c *container) digests() string {
	c.t.Helper()
	return c.sh("stat -c '%n %a %u:%g' " + kept + "; sha256sum " + kept)
}

func TestStopStart(t *testing.T) {
	t.Parallel()
	c := run(t, keyed(t, "-e", "ROOT_PASSWORD=correct horse", "-e", "FOO=it's"))
	c.ready()
	const theirs = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQRQ4LmkKnrMYIlYGmtNqfgUfVLWgYtVQj6oHWpJMzy somebody"
	c.sh("echo '" + theirs + "' >>/root/.ssh/authorized_keys")
	want := c.digests()
	check := func(when string) {
		t.Helper()
		c.ready()
		if got := c.digests(); got != want {
			t.Errorf("%s, the files are\n%s, and were\n%s", when, got, want)
		}
		if got := c.sh("pgrep -c -f '[[]listener'; ls /run/nix2vast"); got != "1\ncontrol.sock\nfilters.sock\ngpu.json\n" {
			t.Errorf("%s, the number of sshd and what is in /run/nix2vast: %s", when, got)
		}
		if n := c.status().SSH.Keys; n != 2 {
			t.Errorf("%s, %d keys", when, n)
		}
		c.logsIn()
	}
	for i := range 3 {
		if code, took := c.stop(); code != 0 || took > 3*time.Second {
			t.Errorf("stop %d took %v, exit code %d", i+1, took, code)
		}
		c.start()
		check(fmt.Sprintf("after stop and start %d", i+1))
	}
	c.engine("kill", c.name) // by SIGKILL: nothing can tidy up
	c.wait()
	c.start()
	check("after kill and start")
}

// attached runs a container in the foreground, as docker run without -d does.
func attached(t *testing.T, stdin string, options []string, command ...string) (out string, code int) {
	t.Helper()
	c := create(t, append(options, "-i"), command...)
	cmd := exec.Command(c.lab.engine, "start", "-a", "-i", c.name)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

func TestMainCommand(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script, stdin, want string
		code                int
	}{
		"good":       {script: "echo out; echo err >&2", want: "out\n"},
		"fails":      {script: "exit 42", code: 42},
		"killed":     {script: "kill -TERM $$", code: 143},
		"reads":      {script: "tr a-z A-Z", stdin: "hello\n", want: "HELLO\n"},
		"leaves all": {script: "setsid sleep 300 & echo left", want: "left\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := attached(t, tt.stdin, nil, "sh", "-c", tt.script)
			if out != tt.want || code != tt.code {
				t.Errorf("prints %q and ends with %d, want %q and %d", out, code, tt.want, tt.code)
			}
		})
	}
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		c := run(t, nil, "sh", "-c", `trap "exit 9" TERM; echo armed; while :; do sleep 0.1; done`)
		c.ready()
		if !within(30*time.Second, func() bool { return strings.Contains(c.logs(), "armed") }) {
			t.Fatal("the main command does not begin")
		}
		if code, took := c.stop(); code != 9 || took > 3*time.Second {
			t.Errorf("ends with %d after %v, want 9", code, took)
		}
	})
}

// A terminal is a real one, with a program that runs on it.
type terminal struct {
	t      *testing.T
	master *os.File
	seen   chan []byte // what was printed, closed at the end
	all    []byte
}

// onTerminal starts a program on a terminal of its own, as a shell would.
func onTerminal(t *testing.T, cmd *exec.Cmd) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, seen: make(chan []byte)}
	go func() {
		defer close(term.seen)
		for {
			b := make([]byte, 4096)
			n, err := master.Read(b)
			term.seen <- b[:n]
			if err != nil {
				return
			}
		}
	}()
	return term
}

func (term *terminal) types(text string) {
	term.t.Helper()
	if _, err := term.master.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

// shows waits until the program has printed a text, after what it printed before.
func (term *terminal) shows(text string) {
	term.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		if i := bytes.Index(term.all, []byte(text)); i >= 0 {
			term.all = term.all[i+len(text):]
			return
		}
		select {
		case b, ok := <-term.seen:
			if !ok {
				term.t.Fatalf("the terminal ends without %q, with %q", text, term.all)
			}
			term.all = append(term.all, b...)
		case <-deadline.C:
			term.t.Fatalf("the terminal does not show %q, but %q", text, term.all)
		}
	}
}

// ends waits until the program has closed the terminal.
func (term *terminal) ends() {
	term.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		select {
		case b, ok := <-term.seen:
			if !ok {
				return
			}
			term.all = append(term.all, b...)
		case <-deadline.C:
			term.t.Fatalf("the terminal is still open, with %q", term.all)
		}
	}
}

// TestTerminal is docker run -it bash: job control is the shell's, and Ctrl-C
// ends what is in the foreground and nothing else.
func TestTerminal(t *testing.T) {
	t.Parallel()
	c := create(t, []string{"-i", "-t"}, "bash", "--norc")
	cmd := exec.Command(c.lab.engine, "start", "-a", "-i", c.name)
	term := onTerminal(t, cmd)
	term.types("set -o | grep monitor; tty\n")
	term.shows("monitor        \ton")
	term.shows("/dev/pts/0")
	c.ready()

	term.types("sleep 301\n")
	if !within(10*time.Second, func() bool { _, code := c.exec("pgrep", "-f", "^sleep 301"); return code == 0 }) {
		t.Fatal("sleep does not run")
	}
	term.types("\x03") // Ctrl-C
	term.shows("^C")
	term.types("echo status=$?\n")
	term.shows("status=130")
	if s := c.status(); s.Phase != "ready" {
		t.Errorf("after Ctrl-C the container is %s", s.Phase)
	}

	term.types("sleep 302\n")
	if !within(10*time.Second, func() bool { _, code := c.exec("pgrep", "-f", "^sleep 302"); return code == 0 }) {
		t.Fatal("sleep does not run")
	}
	term.types("\x1a") // Ctrl-Z
	term.shows("Stopped")
	term.types("kill -KILL %1; fg; exit 7\n")
	term.ends()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v, want exit code 7", err)
	}
}

// TestTermDuringBoot sends SIGTERM as each thing that boot makes appears.
func TestTermDuringBoot(t *testing.T) {
	t.Parallel()
	options := keyed(t, "-e", "ROOT_PASSWORD=correct horse", "-e", "FOO=bar")
	// A boot that nobody disturbed. The keys and the salt differ from box to box.
	same := "sha256sum $(ls " + kept + " | grep -v -e ssh_host -e shadow); sed 's/^root:[^:]*/root:/' /etc/shadow"
	reference := run(t, options)
	reference.ready()
	want := reference.sh(same)

	for _, made := range []string{
		"/run/nix2vast", "/var/log/nix2vast", "/run/nix2vast/control.sock",
		"/etc/environment", "/etc/profile.d/nix2vast.sh", "/etc/bash.bashrc", "/etc/bashrc",
		"/root/.ssh/authorized_keys", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/sshd_config.d/10-nix2vast.conf",
		"/lib64/ld-linux-x86-64.so.2", "/etc/ld.so.cache", "/run/nix2vast/gpu.json",
	} {
		t.Run(strings.ReplaceAll(made[1:], "/", "-"), func(t *testing.T) {
			c := create(t, options)
			signalled := make(chan error, 1)
			go func() { signalled <- termWhen(c.id, made) }()
			c.start()
			if err := <-signalled; err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if code := c.wait(); code != 0 && code != 143 {
				t.Errorf("ends with %d, want 0 or 143", code)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("ends after %v", took)
			}
			if text := c.logs(); !strings.Contains(text, "stopping: got SIGTERM") {
				t.Error("the end was not one by SIGTERM")
			}
			c.start()
			c.ready()
			if got := c.sh(same); got != want {
				t.Errorf("the next start leaves\n%s, an undisturbed one\n%s", got, want)
			}
			if halves := c.sh("find /etc /root /run /var /dev -name '*.nix2vast'"); halves != "" {
				t.Errorf("half-written files are left:\n%s", halves)
			}
			c.logsIn()
		})
	}
}

// termWhen sends SIGTERM to the init of a container, which is about to be
// started, at the moment when it has made a file.
func termWhen(id, made string) error {
	var pid int
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if pid == 0 {
			pid = initOf(id)
			continue
		}
		if _, err := os.Lstat(fmt.Sprintf("/proc/%d/root%s", pid, made)); err == nil {
			return unix.Kill(pid, unix.SIGTERM)
		}
	}
	return fmt.Errorf("%s has not appeared", made)
}

// initOf is the process that runs /init in the cgroup of a container and is PID 1
// there, or 0: a child of it that has not yet become another program looks the
// same. The engine would take longer to say it than the boot takes.
func initOf(id string) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for i := len(entries) - 1; i >= 0; i-- {
		var pid int
		if _, err := fmt.Sscan(entries[i].Name(), &pid); err != nil {
			continue
		}
		args, err := os.ReadFile("/proc/" + entries[i].Name() + "/cmdline")
		if err != nil || string(args) != "/init\x00" {
			continue
		}
		cgroup, err1 := os.ReadFile("/proc/" + entries[i].Name() + "/cgroup")
		status, err2 := os.ReadFile("/proc/" + entries[i].Name() + "/status")
		if err1 == nil && err2 == nil && strings.Contains(string(cgroup), id) && pidOne.Match(status) {
			return pid
		}
	}
	return 0
}

// pidOne matches the status of a process that is PID 1 of its namespace.
var pidOne = regexp.MustCompile(`(?m)^NSpid:.*\t1$`)
