package transparent

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// TestMain runs all tests in a network of their own: its one way out is a device that leads
// nowhere and counts what would have left.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "launch":
			launch(os.Args[2:])
		case "client":
			os.Exit(client(os.Args[2:]))
		case "answer":
			os.Exit(answerUntilKilled(os.Args[2:]))
		}
	}
	if _, ok := os.LookupEnv("IN_NETWORK"); ok {
		if err := network(); err != nil {
			fmt.Fprintln(os.Stderr, "making the network of the tests:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdout, os.Stderr, append(os.Environ(), "IN_NETWORK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

// The addresses of the network of the tests.
var (
	ethAddress = netip.MustParseAddr("192.0.2.2")
	self       = netip.MustParseAddr("100.64.0.1")
	self6      = netip.MustParseAddr("fd7a:115c:a1e0::1")
	peer       = netip.MustParseAddr("100.64.0.2")
)

func network() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "far"}
	if err := netlink.LinkAdd(pair); err != nil {
		return err
	}
	for _, name := range []string{"eth0", "far"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return err
		}
	}
	address, err := netlink.ParseAddr(ethAddress.String() + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(pair, address); err != nil {
		return err
	}
	gateway := net.ParseIP("192.0.2.1")
	mac, _ := net.ParseMAC("02:00:00:00:00:01")
	// So that nobody asks for it, and what leaves is what programs send.
	if err := netlink.NeighAdd(&netlink.Neigh{LinkIndex: pair.Index, IP: gateway, HardwareAddr: mac, State: netlink.NUD_PERMANENT}); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: pair.Index, Gw: gateway})
}

// left is how many packets for the tailnet have left; it has to be asked for before and after.
func left(t *testing.T) *sniffer {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := netlink.LinkByName("far")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: l.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &sniffer{t, fd}
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

type sniffer struct {
	t  *testing.T
	fd int
}

// packets are the IPv4 packets for the tailnet that have left.
func (s *sniffer) packets() (n int) {
	s.t.Helper()
	b := make([]byte, 1<<16)
	for {
		size, _, err := unix.Recvfrom(s.fd, b, 0)
		if err == unix.EAGAIN {
			return n
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if size >= 20 && b[0]>>4 == 4 && cgnat.Contains(netip.AddrFrom4([4]byte(b[16:20]))) {
			n++
		}
	}
}

// launch puts a program under the filter, whose listener goes to descriptor 3.
func launch(argv []string) {
	runtime.LockOSThread()
	err := intercept.Install(func(listener int) error {
		return intercept.Pass(3, listener)
	})
	if err == nil {
		unix.Close(3)
		err = syscall.Exec(argv[0], argv, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "launching:", err)
	os.Exit(126)
}

// under starts a program under the filter and returns the listener, which the test owns.
func under(t testing.TB, cmd *exec.Cmd) *os.File {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	path, err := exec.LookPath(cmd.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path, cmd.Args = "/proc/self/exe", append([]string{"test", "launch", path}, cmd.Args[1:]...)
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	defer conn.Close()
	f, err := intercept.ReceiveFrom(conn.(*net.UnixConn))
	if err != nil {
		_ = cmd.Wait()
		t.Fatal(err, cmd.Stderr)
	}
	return f
}

// fake is a tailnet whose peers are listeners of the test.
type fake struct {
	mu    sync.Mutex
	state State
	peers map[string]func(ctx context.Context) (net.Conn, error)
	dials int
}

func (f *fake) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *fake) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	f.dials++
	dial := f.peers[address]
	f.mu.Unlock()
	if dial == nil {
		return nil, fmt.Errorf("dial %s %s: connection was refused", network, address)
	}
	return dial(ctx)
}

func newFake() *fake {
	return &fake{state: State{Addresses: []netip.Addr{self, self6}}, peers: map[string]func(context.Context) (net.Conn, error){}}
}

// echo is a peer that sends back what it gets.
func (f *fake) echo(t testing.TB, at netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	f.at(at, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
}

// to is a peer that a listener of the box stands for.
func (f *fake) to(peer netip.Addr, port uint16, address string) {
	f.at(netip.AddrPortFrom(peer, port), func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
}

func (f *fake) at(at netip.AddrPort, dial func(ctx context.Context) (net.Conn, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peers[at.String()] = dial
}

// server answers for a fake tailnet.
func server(t testing.TB, f *fake) *Server {
	t.Helper()
	s, err := Start(Options{Tailnet: f, Dir: t.TempDir(), Log: zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// run runs a program to its end and returns what it wrote.
func run(t testing.TB, s *Server, argv ...string) string {
	t.Helper()
	out, err := try(t, s, argv...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return out
}

func try(t testing.TB, s *Server, argv ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.Add(under(t, cmd)); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	return out.String(), err
}

// output is what a program writes, line by line.
type output struct {
	lines *bufio.Scanner
}

func (o output) next(t *testing.T) string {
	t.Helper()
	if !o.lines.Scan() {
		t.Fatalf("the output has ended: %v", o.lines.Err())
	}
	return o.lines.Text()
}

// start starts a program and returns what it writes while it runs.
func start(t *testing.T, s *Server, argv ...string) output {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := s.Add(under(t, cmd)); err != nil {
		t.Fatal(err)
	}
	return output{bufio.NewScanner(pipe)}
}
