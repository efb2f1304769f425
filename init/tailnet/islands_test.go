package tailnet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/tailtest"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services/intercept"
)

// becomeTransparent executes a program under a filter whose listener it gives to the
// program of the tailnet that listens on socket.
func becomeTransparent(socket string, argv []string) error {
	c, err := net.Dial("unixpacket", socket)
	if err != nil {
		return err
	}
	err = intercept.Install(func(listener int) error {
		if _, _, err := c.(*net.UnixConn).WriteMsgUnix([]byte{0}, unix.UnixRights(listener), nil); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 1))
		return err
	})
	if err != nil {
		return err
	}
	return syscall.Exec(argv[0], argv, os.Environ())
}

// island is a network with one neighbour, the test's own, which forwards nothing unless it is
// told to: what is there sees the control server and the relay, and no other island. It has
// the machine's files, less those that a tailnet writes.
type island struct {
	t       testing.TB
	holder  *exec.Cmd // keeps the network
	run     string
	remove  func()
	address string // of the box
	hub     string // of the test
}

func newIsland(t testing.TB, n int) *island {
	t.Helper()
	i := &island{t: t, address: fmt.Sprintf("10.77.%d.2", n), hub: fmt.Sprintf("10.77.%d.1", n), run: t.TempDir()}
	i.holder = exec.Command("cat") // ends with the test
	i.holder.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	stdin, err := i.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := i.holder.Start(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("isle", n)
	i.remove = sync.OnceFunc(func() {
		stdin.Close()
		_ = i.holder.Wait()
		_ = exec.Command("ip", "link", "del", name).Run() // it went with the network
	})
	t.Cleanup(i.remove)
	pid := fmt.Sprint(i.holder.Process.Pid)
	for _, args := range []string{
		"link add " + name + " type veth peer name eth0 netns " + pid,
		"addr add " + i.hub + "/24 dev " + name, "link set " + name + " up",
	} {
		i.command("ip", strings.Fields(args)...)
	}
	script := fmt.Sprintf(`ip link set lo up && ip addr add %s/24 dev eth0 && ip link set eth0 up && ip route add default via %s
for f in hosts resolv.conf; do cp /etc/$f %[3]s/$f && mount --bind %[3]s/$f /etc/$f; done
mount -t tmpfs tmpfs /run && mkdir /run/nix2vast`, i.address, i.hub, i.run)
	if out, err := i.inside("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("furnishing an island: %v\n%s", err, out)
	}
	return i
}

func (i *island) command(name string, args ...string) {
	i.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		i.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// enter is how a command gets to the island.
func (i *island) enter(argv ...string) []string {
	return append([]string{"-t", fmt.Sprint(i.holder.Process.Pid), "-n", "-m", "--wd=."}, argv...)
}

// inside makes a command run on the island.
func (i *island) inside(argv ...string) *exec.Cmd {
	return exec.Command("nsenter", i.enter(argv...)...)
}

// join starts the tailnet's program on the island and waits until it is in the tailnet.
func (i *island) join(program string, c wire.Config) wire.Status {
	i.t.Helper()
	i.start(i.ours(program, c))
	return (&box{t: i.t, run: i.run}).running()
}

// ours makes a command that is the tailnet's program, started as init does it.
func (i *island) ours(program string, c wire.Config) *exec.Cmd {
	i.t.Helper()
	if c.Userspace == nil {
		c.Userspace = new(true)
	}
	c.StateDir = i.t.TempDir()
	b, err := json.Marshal(c)
	if err != nil {
		i.t.Fatal(err)
	}
	file := filepath.Join(i.t.TempDir(), "config")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		i.t.Fatal(err)
	}
	cmd := i.inside("sh", "-c", "LISTEN_FDS=1 LISTEN_FDNAMES=config LISTEN_PID=$$ exec "+program+" 3< "+file)
	cmd.Env = append(os.Environ(), "TS_NO_LOGS_NO_SUPPORT=true", "GOMEMLIMIT=256MiB")
	return cmd
}

// start starts a command that ends with the test at the latest.
func (i *island) start(cmd *exec.Cmd) (end func()) {
	i.t.Helper()
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if i.t.Failed() {
			i.t.Logf("%s", log)
		}
	})
	i.t.Cleanup(end)
	return end
}

// transparent makes a command that runs on the island under the filter.
func (i *island) transparent(ctx context.Context, argv ...string) *exec.Cmd {
	i.t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		i.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		i.t.Fatal(err)
	}
	args := append([]string{self, "transparent", filepath.Join(i.run, wire.FilterSocket), path}, argv[1:]...)
	return exec.CommandContext(ctx, "nsenter", i.enter(args...)...)
}

// twoIslands are two boxes of one tailnet. Unless the test's network forwards, they cannot
// route to each other, and all goes through the relay.
func twoIslands(t *testing.T, forward bool) (a, b *island, atA, atB string) {
	t.Helper()
	value := map[bool]string{true: "1", false: "0"}[forward]
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
	program := buildProgram(t)
	a, b = newIsland(t, 1), newIsland(t, 2)
	url := controlForIslands(t).HTTPTestServer.URL
	sa := a.join(program+" --run "+a.run, wire.Config{AuthKey: goodKey, Hostname: "a", ControlURL: url})
	sb := b.join(program+" --run "+b.run, wire.Config{AuthKey: goodKey, Hostname: "b", ControlURL: url})
	return a, b, sa.Addresses[0], sb.Addresses[0]
}

// buildProgram builds what runs on islands.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tailnet")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/tailnet").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// controlForIslands is a control server and a relay at an address that every island reaches.
func controlForIslands(t testing.TB) *testcontrol.Server {
	t.Helper()
	const hub = "10.77.0.1"
	(&island{t: t}).command("ip", "addr", "replace", hub+"/32", "dev", "lo")
	return tailtest.Control(t, hub, func(s *testcontrol.Server) { s.AllOnline = true })
}
