package tailnet

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/tailscale/wireguard-go/tun"
	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"tailscale.com/net/tsaddr"
	"tailscale.com/net/tstun"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// linkName is the name of the device, which programs such as NCCL are told.
const linkName = "tailscale0"

// The modes of a node.
const (
	modeTUN       = "tun"
	modeUserspace = "userspace"
)

// openDevice decides between a device of the kernel and a network stack of our own, by
// trying. Where nobody asked for the one or the other, a box without a device says once
// what it lacks.
func (n *node) openDevice() error {
	wanted := n.Config.Userspace
	if wanted != nil && *wanted {
		n.status.amend(func(s *wire.Status) { s.Mode, s.ModeText = modeUserspace, "" })
		return nil
	}
	dev, err := openTUN(n.Root, n.Log)
	if err == nil {
		n.device = dev
		n.status.amend(func(s *wire.Status) { s.Mode, s.ModeText = modeTUN, "" })
		return nil
	}
	if wanted != nil {
		return &failure{
			text: "TS_USERSPACE=false asks for a device of the kernel", err: err,
			cure: "give the container what is missing, or leave TS_USERSPACE out",
		}
	}
	n.status.amend(func(s *wire.Status) {
		if s.ModeText != err.Error() {
			n.Log.Warn("no network device for the tailnet: programs reach it by the proxy, or where they are transparent", zap.Error(err))
		}
		s.Mode, s.ModeText = modeUserspace, err.Error()
	})
	return nil
}

// openTUN makes the device. The error names what is missing.
func openTUN(root string, log *zap.Logger) (tun.Device, error) {
	if err := tailnetTaken(); err != nil {
		return nil, err
	}
	if !capable(unix.CAP_NET_ADMIN) {
		return nil, errors.New("the container lacks CAP_NET_ADMIN (docker run --cap-add NET_ADMIN)")
	}
	path := filepath.Join(root, "dev/net/tun")
	if err := makeTUN(path); err != nil {
		return nil, fmt.Errorf("the container lacks %s, and it cannot be made (docker run --device /dev/net/tun): %w", "/dev/net/tun", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, fmt.Errorf("the container's device rules forbid /dev/net/tun (docker run --device /dev/net/tun; runc 1.2.0 to 1.2.3 lack a rule): %w", err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("the host's kernel has no TUN (modprobe tun, on the host): %w", err)
	case err != nil:
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	f.Close()
	dev, _, err := tstun.New(log.Named("tun").Sugar().Debugf, linkName)
	if err != nil {
		return nil, fmt.Errorf("making the device %s: %w", linkName, err)
	}
	return dev, nil
}

// makeTUN makes the device's node where the image has none: Docker's default rules for
// devices let a container use it.
func makeTUN(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("mknod: %w", err)
	}
	return os.Chmod(path, 0o666) // whatever the umask is
}

// capable says whether this process has a capability.
func capable(number int) bool {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return false
	}
	return data[number/32].Effective&(1<<(number%32)) != 0
}

// tailnetTaken looks for somebody else who uses the tailnet's addresses: a Tailscale on
// the same network, or a provider whose own network has them.
func tailnetTaken() error {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil // what matters is then said by the attempt to make a route
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		// The halves of the Internet, as VPNs have them, are no claim.
		dst, err := netip.ParsePrefix(r.Dst.String())
		if err != nil || dst.Bits() < 8 || !tsaddr.CGNATRange().Overlaps(dst) {
			continue
		}
		name := "a device"
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			name = l.Attrs().Name
		}
		if strings.HasPrefix(name, "tailscale") {
			return fmt.Errorf("another Tailscale is on this network already: %s has the route %s", name, r.Dst)
		}
		return fmt.Errorf("the box's network uses addresses of the tailnet: %s has the route %s", name, r.Dst)
	}
	return nil
}
