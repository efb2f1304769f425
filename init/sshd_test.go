package boot

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const realSSHD = "/usr/sbin/sshd"

func TestSSHDConfig(t *testing.T) {
	for _, tt := range []struct {
		name     string
		keys     int
		password bool
		want     []string
		not      []string
	}{
		{"no credentials", 0, false, []string{"ListenAddress 127.0.0.1\nListenAddress ::1\n", "PasswordAuthentication no\n", "PermitRootLogin prohibit-password\n"}, nil},
		{"keys", 1, false, []string{"PasswordAuthentication no\n", "PermitRootLogin prohibit-password\n"}, []string{"ListenAddress"}},
		{"a password", 0, true, []string{"PasswordAuthentication yes\n", "PermitRootLogin yes\n"}, []string{"ListenAddress"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Container{Keys: tt.keys, PasswordSet: tt.password, Settings: Settings{SSHPort: 2222}, Environ: []string{"A=1"}}
			got := sshdConfig(c, true)
			for _, want := range append(tt.want, "Port 2222\n", "PermitEmptyPasswords no\n", "UsePAM no\n", "KbdInteractiveAuthentication no\n", "StrictModes yes\n", "Subsystem sftp internal-sftp\n", "SetEnv \"A=1\"\n") {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in\n%s", want, got)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(got, not) {
					t.Errorf("%q is in\n%s", not, got)
				}
			}
		})
	}
}

func TestSSHDFiles(t *testing.T) {
	const include = "# BEGIN nix2vast\nInclude /etc/ssh/sshd_config.d/*.conf\n# END nix2vast\n"
	for _, tt := range []struct {
		name     string
		files    map[string]string
		wantMain string
		sftp     bool // in our file
	}{
		{"none", nil, include, true},
		{"no Include", map[string]string{sshdMain: "Port 2222\n"}, include + "Port 2222\n", true},
		{"an Include", map[string]string{sshdMain: "# x\n include \"/etc/ssh/sshd_config.d/*.conf\"\n"}, "# x\n include \"/etc/ssh/sshd_config.d/*.conf\"\n", true},
		{"a relative Include", map[string]string{sshdMain: "Include other sshd_config.d/*\n"}, "Include other sshd_config.d/*\n", true},
		{"an Include of others", map[string]string{sshdMain: "#Include sshd_config.d/*\nInclude /etc/other/*.conf\n"}, include + "#Include sshd_config.d/*\nInclude /etc/other/*.conf\n", true},
		{"sftp in the main file", map[string]string{sshdMain: "subsystem\tsftp /usr/lib/sftp\n"}, include + "subsystem\tsftp /usr/lib/sftp\n", false},
		{"sftp in a neighbour", map[string]string{sshdDir + "/50-x.conf": "Subsystem=sftp internal-sftp\n"}, include, false},
		{"another subsystem", map[string]string{sshdDir + "/50-x.conf": "#Subsystem sftp x\nSubsystem netconf x\n"}, include, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Container{Root: newRoot(t, tt.files), Settings: Settings{SSHPort: 22}}
			step(t, c, SSHKeys)
			if got := get(t, c.Root, sshdMain); got != tt.wantMain {
				t.Errorf("the main file is\n%s", got)
			}
			if got := strings.Contains(get(t, c.Root, sshdOurs), "Subsystem sftp"); got != tt.sftp {
				t.Errorf("sftp in our file: %v", got)
			}
			wantMode(t, c.Root, sshdOurs, 0o600)
		})
	}
}

// A box that a real sshd serves, in this namespace's copies of /etc and /root.
type box struct {
	c    *Container
	dir  string // of the client
	port int
}

// newBox takes the steps on the root that this process sees, which has to be
// private, starts sshd, and waits until it answers. KEY in a variable stands for
// the renter's public key.
func newBox(t *testing.T, environ ...string) *box {
	t.Helper()
	b := &box{dir: t.TempDir(), port: freePort(t)}
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "renter", "-f", filepath.Join(b.dir, "key")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	environ = append(environ, fmt.Sprintf("SSH_PORT=%d", b.port))
	b.c = &Container{Root: "/", Settings: settingsOf(t, environ...)}
	for i, v := range b.c.Settings.PublicKeys {
		b.c.Settings.PublicKeys[i].Value = strings.ReplaceAll(v.Value, "KEY", strings.TrimSpace(get(t, b.dir, "key.pub")))
	}
	for _, s := range []Step{Environment, Accounts, SSHKeys} {
		if note, err := s.Run(t.Context(), b.c); err != nil {
			t.Fatalf("%s: %s, %v", s.Name, note, err)
		}
	}
	b.start(t)
	return b
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (b *box) start(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(realSSHD, "-t").CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("sshd -t: %v: %s", err, out)
	}
	var log bytes.Buffer
	cmd := exec.Command(realSSHD, "-D", "-e")
	cmd.Stderr = &log
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd said\n%s", log.String())
		}
	})
	until(t, "sshd answers", func() bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)), time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		banner, err := bufio.NewReader(conn).ReadString('\n')
		return err == nil && strings.HasPrefix(banner, "SSH-2.0-")
	})
}

// until waits for a condition, at most 10 s.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited 10 s until %s", what)
		}
	}
}

// options are those of ssh, scp and sftp alike.
func (b *box) options() []string {
	return []string{"-F", "none", "-i", filepath.Join(b.dir, "key"), "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=" + filepath.Join(b.dir, "known_hosts"), "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", fmt.Sprintf("Port=%d", b.port)}
}

// run runs a client's program and returns its standard output.
func (b *box) run(t *testing.T, stdin string, argv ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%.200q: %v\n%s%s", argv, err, out, stderr.String())
	}
	return out
}

func (b *box) ssh(args ...string) []string {
	return append(append([]string{"ssh"}, b.options()...), args...)
}

func TestSessionsGetTheEnvironment(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	private(t)
	b := newBox(t, append(hardEnviron(), "ROOT_PASSWORD=hunter2", "TS_AUTHKEY=hunter2", "HOME=/nowhere", "SSH_PUBLIC_KEYS=garbage\nKEY")...)
	wantProblems(t, b.c.Problems, []string{"entry 1"})
	if b.c.Keys != 1 || !b.c.PasswordSet {
		t.Errorf("%d keys, password set: %v", b.c.Keys, b.c.PasswordSet)
	}

	sessions := map[string][]byte{
		"a command": b.run(t, "", b.ssh("root@127.0.0.1", "cat /proc/self/environ")...),
	}
	b.run(t, "", b.ssh("-tt", "root@127.0.0.1", "cat /proc/self/environ >/root/a")...)
	sessions["a command on a terminal"] = []byte(get(t, "/", "root/a"))
	b.run(t, "cat /proc/self/environ >/root/b\nexit\n", b.ssh("-tt", "root@127.0.0.1")...)
	sessions["a login shell"] = []byte(get(t, "/", "root/b"))
	b.run(t, "sh -c 'cat /proc/$$/environ >/root/c'\nexit\n", b.ssh("root@127.0.0.1")...)
	sessions["a script behind a login shell without a terminal"] = []byte(get(t, "/", "root/c"))

	for name, environ := range sessions {
		t.Run(name, func(t *testing.T) {
			wantEnviron(t, environ, true)
			text := "\x00" + string(environ)
			if strings.Contains(text, "hunter2") || !strings.Contains(text, "\x00HOME=/root\x00") || !strings.Contains(text, "\x00PATH="+binDir+":") {
				t.Error("a secret is there, or HOME or PATH are wrong")
			}
		})
	}
}

func TestFileTransfers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	private(t)
	b := newBox(t, `AUTHORIZED_KEYS="KEY\n`+keyA+`"`)
	content := strings.Repeat("\x00\xff data\n", 100_000)
	put(t, b.dir, "file", content, 0o644)
	file := filepath.Join(b.dir, "file")

	b.run(t, "", append(append([]string{"scp", "-q"}, b.options()...), file, "root@127.0.0.1:/root/scp")...)
	b.run(t, "", append(append([]string{"scp", "-q", "-O"}, b.options()...), file, "root@127.0.0.1:/root/scp-old")...)
	b.run(t, "put "+file+" /root/sftp\n", append(append([]string{"sftp", "-q", "-b", "-"}, b.options()...), "root@127.0.0.1")...)
	b.run(t, "", "rsync", "-a", "-e", strings.Join(b.ssh(), " "), file, "root@127.0.0.1:/root/rsync")
	for _, name := range []string{"scp", "scp-old", "sftp", "rsync"} {
		if get(t, "/root", name) != content {
			t.Errorf("%s brought something else", name)
		}
	}
}

// login says whether a password lets one in.
func (b *box) login(t *testing.T, password string) bool {
	t.Helper()
	put(t, b.dir, "password", password, 0o600)
	put(t, b.dir, "askpass", "#!/bin/sh\ncat "+filepath.Join(b.dir, "password")+"\n", 0o755)
	cmd := exec.CommandContext(t.Context(), "ssh", append(b.options(), "-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", "root@127.0.0.1", "echo in")...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "SSH_ASKPASS=" + filepath.Join(b.dir, "askpass"), "SSH_ASKPASS_REQUIRE=force"}
	out, err := cmd.Output()
	return err == nil && string(out) == "in\n"
}

func TestPasswordLogin(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	private(t)
	const password = `a:b "c" $d \e пароль`
	b := newBox(t, "ROOT_PASSWORD="+password)
	for try, want := range map[string]bool{password: true, "": false, "a": false, password + "x": false} {
		if got := b.login(t, try); got != want {
			t.Errorf("login with %q: %v", try, got)
		}
	}
}

// An image's odd accounts must not keep a key out.
func TestKeyLoginInAnOddImage(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	private(t)
	put(t, "/etc", "passwd", "root::0:0:root:/:/usr/sbin/nologin\n", 0o666)
	put(t, "/etc", "shadow", "root:!:0:0:1:7:1:1:\n", 0o644)
	put(t, "/etc", "profile", "", 0o644)
	put(t, "/etc", "bash.bashrc", "return\n", 0o644)
	for _, name := range []string{"group", "ssh/ssh_host_ed25519_key", "ssh/ssh_host_ecdsa_key"} {
		put(t, "/etc", name, "", 0o644)
	}
	put(t, "/root", ".ssh/authorized_keys", "", 0o666)
	if err := os.Chmod("/root", 0o777); err != nil {
		t.Fatal(err)
	}
	b := newBox(t, append(hardEnviron(), "SSH_PUBKEY='KEY'")...)
	wantEnviron(t, b.run(t, "", b.ssh("root@127.0.0.1", "cat /proc/self/environ")...), true)
	if b.login(t, "") {
		t.Error("anybody gets in")
	}
}

func TestNoCredentialsNoListener(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	private(t)
	b := newBox(t)
	listening := string(b.run(t, "", "ss", "-Hltn", fmt.Sprintf("sport = :%d", b.port)))
	if !strings.Contains(listening, "127.0.0.1:") || strings.Contains(listening, "0.0.0.0:"+strconv.Itoa(b.port)) || strings.Contains(listening, "*:"+strconv.Itoa(b.port)) {
		t.Errorf("listening on\n%s", listening)
	}
	if b.login(t, "") {
		t.Error("anybody gets in")
	}
}
