package main

import (
	"bytes"
	"encoding/json"
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
	"tailscale.com/client/local"
	"tailscale.com/ipn"

	"github.com/fleek-platform/nix2vast/init/tailnet/tailtest"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

func TestMain(m *testing.M) { tailtest.Main(m) }

const (
	limit = 60 * time.Second
	key   = "tskey-auth-secret"
)

// build makes the program with what it leaves out when it ships.
func build(t *testing.T) string {
	t.Helper()
	tags, err := os.ReadFile("tags")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tailnet")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", strings.TrimSpace(string(tags)), "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// sealed is a memory file as init gives it to the program.
func sealed(t *testing.T, c wire.Config) *os.File {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.MemfdCreate("config", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "config")
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL); err != nil {
		t.Fatal(err)
	}
	return f
}

// box is the program, started as init does it.
type box struct {
	*exec.Cmd
	t     *testing.T
	dir   string
	notes *net.UnixConn
	out   bytes.Buffer
}

// newBox has a directory of a short name: names of sockets have 107 bytes.
func newBox(t *testing.T) *box {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	notes, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notes.Close() })
	return &box{t: t, dir: dir, notes: notes}
}

func (b *box) start(program string, config *os.File) {
	b.t.Helper()
	b.Cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, program, "--root", b.dir, "--run", b.dir)
	b.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES="+wire.ConfigName, "GOMEMLIMIT=256MiB",
		"NOTIFY_SOCKET="+filepath.Join(b.dir, "notify"))
	b.ExtraFiles = []*os.File{config}
	b.Stdout, b.Stderr = &b.out, &b.out
	if err := b.Start(); err != nil {
		b.t.Fatal(err)
	}
	process := b.Process
	b.t.Cleanup(func() { process.Kill() })
}

// heard waits for a notification.
func (b *box) heard(prefix string) string {
	b.t.Helper()
	b.notes.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 4096)
	for {
		k, err := b.notes.Read(buf)
		if err != nil {
			b.t.Fatalf("no %s: %v\n%s", prefix, err, b.out.String())
		}
		if text := string(buf[:k]); strings.HasPrefix(text, prefix) {
			return text
		}
	}
}

func (b *box) status() wire.Status {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, wire.StatusFile))
	var s wire.Status
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// kilobytes is a figure of /proc/PID/status.
func (b *box) kilobytes(name string) int {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if f := strings.Fields(l); f[0] == name+":" {
			k, _ := strconv.Atoi(f[1])
			return k
		}
	}
	b.t.Fatalf("there is no %s in\n%s", name, text)
	return 0
}

// TestProgram starts the real program, kills it, starts it again with the same descriptor,
// and stops it.
func TestProgram(t *testing.T) {
	program := build(t)
	ctl := tailtest.Control(t, "127.0.0.1")
	ctl.RequireAuthKey = key
	config := sealed(t, wire.Config{
		AuthKey: key, Hostname: "box", StateDir: "/var/lib/tailscale", ControlURL: ctl.HTTPTestServer.URL, Userspace: new(true),
	})
	b := newBox(t)
	began := time.Now()
	b.start(program, config)
	b.heard("READY=1")
	b.heard("STATUS=running")
	t.Logf("running after %v, with %d kB in memory, %d kB of it its own", time.Since(began), b.kilobytes("VmRSS"), b.kilobytes("RssAnon"))
	if k := b.kilobytes("VmRSS"); k > 48<<10 {
		t.Errorf("%d kB in memory", k)
	}
	first := b.status()
	for _, file := range []string{"environ", "cmdline"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.Process.Pid, file))
		if err != nil || bytes.Contains(text, []byte(key)) {
			t.Errorf("the key is in %s (%v)", file, err)
		}
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", b.Process.Pid)); err != nil || string(name) != "tailnet\n" {
		t.Errorf("its name is %q (%v)", name, err)
	}

	if err := b.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	b.Wait()
	b.start(program, config)
	b.heard("READY=1")
	b.heard("STATUS=running")
	if s := b.status(); s.Addresses[0] != first.Addresses[0] {
		t.Errorf("after the kill the address is %v, and was %v", s.Addresses, first.Addresses)
	}

	began = time.Now()
	if err := b.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	b.heard("STOPPING=1")
	if err := b.Wait(); err != nil || time.Since(began) > 6*time.Second {
		t.Errorf("stopping took %v: %v", time.Since(began), err)
	}
	if out := b.out.String(); strings.Contains(out, key) || !strings.Contains(out, "tailnet: running") {
		t.Errorf("it said\n%s", out)
	}
}

func TestProgramWithoutInit(t *testing.T) {
	out, err := exec.Command(build(t), "--run", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "started by init") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestInitDoesNotListen fills the socket of notifications, which a stuck init leaves full:
// the status file goes on.
func TestInitDoesNotListen(t *testing.T) {
	program := build(t)
	ctl := tailtest.Control(t, "127.0.0.1")
	b := newBox(t)
	full, err := net.DialUnix("unixgram", nil, b.notes.LocalAddr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	b.start(program, sealed(t, wire.Config{
		AuthKey: key, Hostname: "box", StateDir: "/var/lib/tailscale", ControlURL: ctl.HTTPTestServer.URL, Userspace: new(true),
	}))
	b.heard("READY=1")
	for full.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
		if _, err := full.Write([]byte("STATUS=fill")); err != nil {
			break
		}
	}
	command := &local.Client{Socket: filepath.Join(b.dir, "var/run/tailscale/tailscaled.sock"), UseSocketOnly: true}
	for i := range 4 {
		on := i%2 == 1
		want := map[bool]wire.State{true: wire.Running, false: wire.Degraded}[on]
		deadline := time.Now().Add(limit)
		for tick := time.NewTicker(50 * time.Millisecond); b.status().State != want; <-tick.C {
			mp := &ipn.MaskedPrefs{Prefs: ipn.Prefs{WantRunning: on}, WantRunningSet: true}
			_, err := command.EditPrefs(t.Context(), mp) // refused as long as the node starts
			if time.Now().After(deadline) {
				t.Fatalf("the status stays %+v: %v", b.status(), err)
			}
		}
	}
}
