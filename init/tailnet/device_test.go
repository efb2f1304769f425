package tailnet

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// routes are those of the device, as text.
func routes(t *testing.T) string {
	t.Helper()
	l, err := netlink.LinkByName(linkName)
	if err != nil {
		return err.Error()
	}
	list, err := netlink.RouteList(l, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, r := range list {
		text += r.Dst.String() + "\n"
	}
	return text
}

func TestDevice(t *testing.T) {
	needRoot(t)
	ctl := newControl(t)
	b := newBox(t, t.TempDir(), wire.Config{
		AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Userspace: new(false), AcceptRoutes: true,
	})
	s := b.running()
	if s.Mode != modeTUN {
		t.Fatalf("the status is %+v", s)
	}
	peer := newPeer(t, ctl, "peer")
	eventually(t, func() error {
		if text := routes(t); !strings.Contains(text, "100.64.0.0/10") || !strings.Contains(text, "fd7a:115c:a1e0::/48") {
			return errNo("the routes are\n" + text)
		}
		return nil
	})
	l, err := netlink.LinkByName(linkName)
	if err != nil || l.Attrs().MTU != 1280 {
		t.Errorf("the device is %+v (%v)", l, err)
	}

	// From a program of the box to a peer, from a peer to a listener of the box, each with
	// the other's own address.
	pl, err := peer.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go http.Serve(pl, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }))
	v4, v6 := peer.TailscaleIPs()
	eventually(t, func() error {
		for i, a := range []netip.Addr{v4, v6} {
			got, err := fetch(&http.Client{Timeout: limit}, "http://"+netip.AddrPortFrom(a, 80).String())
			if err != nil {
				return err
			}
			if host, _, _ := net.SplitHostPort(got); host != s.Addresses[i] {
				return fmt.Errorf("the peer sees %s, not %v", got, s.Addresses)
			}
		}
		return nil
	})
	c, err := dialPeer(t, peer, "tcp", net.JoinHostPort(s.Addresses[0], echo(t, "tcp", s.Addresses[0]+":0")))
	if err == nil {
		err = says(c)
	}
	if err != nil {
		t.Error(err)
	}
	if c, err := dialPeer(t, peer, "tcp", s.Addresses[0]+":18101"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a closed port is %v (%v)", c, err)
	}

	// A subnet behind the peer, while it is there.
	const subnet = "10.55.0.0/16"
	lc, err := peer.LocalClient()
	if err != nil {
		t.Fatal(err)
	}
	st, err := lc.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		var list []netip.Prefix
		if want {
			list = append(list, netip.MustParsePrefix(subnet))
		}
		ctl.SetSubnetRoutes(st.Self.PublicKey, list)
		eventually(t, func() error {
			if text := routes(t); strings.Contains(text, subnet) != want {
				return fmt.Errorf("the subnet is %v, the routes are\n%s", want, text)
			}
			return nil
		})
	}
	b.stop()
	if _, err := netlink.LinkByName(linkName); err == nil {
		t.Error("the device is still there")
	}
}

func TestDeviceWithoutIPv6(t *testing.T) {
	needRoot(t)
	const off = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	if err := os.WriteFile(off, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(off, []byte("0"), 0) })
	ctl := newControl(t)
	b := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Userspace: new(false)})
	s := b.running()
	if len(s.Warnings) > 0 {
		t.Errorf("the status is %+v", s)
	}
	eventually(t, func() error {
		if text := routes(t); !strings.Contains(text, "100.64.0.0/10") {
			return errNo("the routes are\n" + text)
		}
		return nil
	})
}

// foreign makes a device with an address, as a provider's network or a second Tailscale has.
func foreign(t *testing.T, name, address string) {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "other"}); err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(l) })
	addr, err := netlink.ParseAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(l, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceTaken(t *testing.T) {
	for name, want := range map[string]string{"tailscale9": "another Tailscale", "eth9": "the box's network uses"} {
		t.Run(name, func(t *testing.T) {
			foreign(t, name, "100.65.1.2/16")
			ctl := newControl(t)
			c := wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, Userspace: new(false)}
			forced := newBox(t, t.TempDir(), c)
			s := forced.wait("failed", func(s wire.Status) bool { return s.State == wire.Failed })
			if !strings.Contains(s.Text, want) || s.Cure == "" {
				t.Errorf("the status is %+v", s)
			}
			c.Userspace = nil
			auto := startBox(t, t.TempDir(), c)
			if s := auto.running(); s.Mode != modeUserspace || !strings.Contains(s.ModeText, want) {
				t.Errorf("the status is %+v", s)
			}
			if k := strings.Count(auto.log.text(), want); k != 1 {
				t.Errorf("it was said %d times", k)
			}
		})
	}
}

func TestDeviceWithoutCapability(t *testing.T) {
	errs := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread, and what it lacks, ends with the goroutine
		head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(head, &data[0]); err != nil {
			errs <- err
			return
		}
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(head, &data[0]); err != nil {
			errs <- err
			return
		}
		_, err := openTUN(t.TempDir(), (&logLines{}).logger())
		errs <- err
	}()
	if err := <-errs; err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Error(err)
	}
}

func TestDeviceNode(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "dev/net/tun")
	for range 2 {
		if err := makeTUN(path); err != nil {
			t.Fatal(err)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode != unix.S_IFCHR|0o666 || st.Rdev != unix.Mkdev(10, 200) {
		t.Errorf("it is %+v (%v)", st, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeTUN(filepath.Join(file, "tun")); err == nil {
		t.Error("a device below a file")
	}
}
