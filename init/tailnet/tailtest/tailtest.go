// Package tailtest is what tests of the tailnet share: a network without a way out, and
// Tailscale's own control server for tests in it.
package tailtest

import (
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"tailscale.com/net/netns"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"
)

// inside marks a process that is in the network of the tests.
const inside = "NIX2VAST_TAILTEST_INSIDE"

// Main runs the tests of a package in a network of their own: they make devices and
// routes, and nothing of it is to leave the machine. Who is not root becomes root of it,
// which does for most of them.
func Main(m *testing.M) {
	var err error
	if os.Getenv(inside) == "" {
		err = again()
	} else {
		err = network()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "a network for the tests:", err)
		os.Exit(1)
	}
	netns.SetEnabled(false) // sockets that go to loopback
	os.Exit(m.Run())
}

// again runs this program in a new network, and exits as it does.
func again() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// network gives the network loopback and one device, that leads nowhere: Tailscale waits
// where there is none at all.
func network() error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "nowhere"}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("making a device: %w", err)
	}
	addr, err := netlink.ParseAddr("192.0.2.77/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(veth, addr); err != nil {
		return fmt.Errorf("giving a device its address: %w", err)
	}
	for _, name := range []string{"lo", "eth0", "nowhere"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			return fmt.Errorf("switching %s on: %w", name, err)
		}
	}
	return nil
}

// Control is a control server of Tailscale's own tests, with a relay and STUN, at an
// address of this machine.
func Control(t testing.TB, ip string, change ...func(*testcontrol.Server)) *testcontrol.Server {
	t.Helper()
	ctl := &testcontrol.Server{
		DERPMap: Relay(t, ip), DNSConfig: &tailcfg.DNSConfig{Proxied: true}, MagicDNSDomain: "tail.test",
		Logf: logger.Discard, AllNodesSameUser: true,
	}
	for _, f := range change {
		f(ctl)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	ctl.HTTPTestServer = httptest.NewUnstartedServer(ctl)
	ctl.HTTPTestServer.Listener.Close()
	ctl.HTTPTestServer.Listener = l
	ctl.HTTPTestServer.Start()
	t.Cleanup(ctl.HTTPTestServer.Close)
	return ctl
}
