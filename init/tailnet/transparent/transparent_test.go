package transparent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"
)

// TestConnect is a static Go program that connects to a peer.
func TestConnect(t *testing.T) {
	f := newFake()
	s := server(t, f)
	sniff := left(t)
	for _, c := range []struct{ to, want string }{
		{"100.64.0.2:80", "ok 100.64.0.1 100.64.0.2:80"},
		{"[::ffff:100.64.0.2]:81", "ok 100.64.0.1 100.64.0.2:81"},
		{"[fd7a:115c:a1e0::2]:80", "ok 100.64.0.1 [fd7a:115c:a1e0::2]:80"},
	} {
		at := netip.MustParseAddrPort(c.to)
		f.echo(t, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
		if out := run(t, s, "/proc/self/exe", "client", "echo", c.to); strings.TrimSpace(out) != c.want {
			t.Errorf("%s: %q, want %q", c.to, out, c.want)
		}
	}
	if n := sniff.packets(); n != 0 {
		t.Errorf("%d packets for the tailnet have left in clear", n)
	}
}

// compiled is the static C program.
func compiled(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("cc", "-O2", "-Wall", "-Werror", "-static", "-pthread", "-o", file, "testdata/client.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// TestPrograms connects from programs of several languages, many connections at once.
func TestPrograms(t *testing.T) {
	f := newFake()
	f.echo(t, netip.AddrPortFrom(peer, 80))
	s := server(t, f)
	sniff := left(t)
	c := compiled(t)
	for _, p := range []struct {
		name string
		argv []string
		want string
	}{
		{"static C", []string{c}, "once: 0\ntwice: 0\nthreads: 0\nchild: 0\n"},
		{"static C, datagrams", []string{c, "datagrams"}, "sendto: Network is unreachable\nsendmsg: Network is unreachable\n" +
			"sendmmsg: Network is unreachable\nconnect: Network is unreachable\nother sendmmsg: ok\nfastopen: Operation not supported\n" +
			"io_uring: Function not " + "implemented\nunmapped: Bad address\n"},
		{"static C, binds", []string{c, "binds"}, "bind: ok\nbind: ok\nbind: ok\n"},
		{"Python", []string{"python3", "testdata/client.py"}, "refused\nblocking ECONNREFUSED\nunix ENOENT\n"},
		{"Node", []string{"node", "testdata/client.mjs"}, "ECONNREFUSED\n"},
		{"Go", []string{"/proc/self/exe", "client", "many", "100.64.0.2:80", "2000", "200"}, "ok\n"},
		{"a script", []string{"sh", "-c", "for i in 1 2 3; do (" + c + " | head -1) & done; wait"}, "once: 0\nonce: 0\nonce: 0\n"},
	} {
		if out := run(t, s, p.argv...); out != p.want {
			t.Errorf("%s: %q, want %q", p.name, out, p.want)
		}
	}
	if n := sniff.packets(); n != 0 {
		t.Errorf("%d packets for the tailnet have left in clear", n)
	}
}

// TestBind is what programs see that listen for the tailnet.
func TestBind(t *testing.T) {
	s, sniff := server(t, newFake()), left(t)
	if out := run(t, s, "python3", "testdata/bind.py"); out != "refused\nok\n" {
		t.Error(out)
	}
	if n := sniff.packets(); n != 0 {
		t.Errorf("%d packets for the tailnet have left in clear", n)
	}
}

// TestOtherABI runs a program of 32 bits, whose calls have other numbers and arguments.
func TestOtherABI(t *testing.T) {
	f := newFake()
	f.echo(t, netip.AddrPortFrom(peer, 80))
	s, sniff := server(t, f), left(t)
	program := filepath.Join(t.TempDir(), "client")
	build := exec.Command("go", "build", "-o", program, "testdata/client32.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+map[string]string{"amd64": "386", "arm64": "arm"}[runtime.GOARCH])
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A kernel such as that of a PVM guest executes no program of 32 bits: then nobody makes these calls.
	if err := exec.Command(program, "nothing").Run(); errors.Is(err, unix.ENOEXEC) {
		t.Logf("this kernel has no other ABI: %v", err)
		return
	}
	want := "echo: hello, peer: 100.64.0.2:80\nsendto: network is unreachable\nsendmsg: network is unreachable\nelsewhere: <nil>\n"
	if out := run(t, s, program); out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if n := sniff.packets(); n != 0 {
		t.Errorf("%d packets for the tailnet have left in clear", n)
	}
}

// TestState: the addresses that stand for destinations are the same in the next run.
func TestState(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	order := []string{"100.64.0.9:1", "100.64.0.8:2", "[fd7a:115c:a1e0::9]:1"}
	first := map[string]netip.AddrPort{}
	for range 3 {
		s, err := Start(Options{Tailnet: f, Dir: dir, Log: zaptest.NewLogger(t)})
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range order {
			x, err := s.targets.of(netip.MustParseAddrPort(to))
			if err != nil {
				t.Fatal(err)
			}
			if first[to] == (netip.AddrPort{}) {
				first[to] = x.at
			}
			if y := s.targets.behind(x.at.Addr()); y != x || x.at != first[to] {
				t.Errorf("%v stands for %v, and not for %v; at first that was %v", x.at, y, x, first[to])
			}
		}
		s.Close()
		slices.Reverse(order) // which address was the first to be asked for does not matter
	}
}

// TestSlow: a destination that does not answer holds up nobody else, and a program that does not
// wait for it is told in a moment.
func TestSlow(t *testing.T) {
	f := newFake()
	f.echo(t, netip.AddrPortFrom(peer, 80))
	asked := make(chan struct{}, 10)
	f.at(netip.AddrPortFrom(peer, 81), func(ctx context.Context) (net.Conn, error) {
		asked <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	s := server(t, f)
	cmd := exec.Command("python3", "-c", "import socket; socket.socket().connect(('100.64.0.2', 81))")
	if err := s.Add(under(t, cmd)); err != nil {
		t.Fatal(err)
	}
	<-asked
	run(t, s, "/proc/self/exe", "client", "echo", "100.64.0.2:80")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	out, err := try(t, s, "python3", "-c", "import socket\ns = socket.socket()\ns.settimeout(5)\ns.connect(('100.64.0.2', 81))\nprint('connected', flush=True)\ns.recv(1)")
	if err == nil || !strings.HasPrefix(out, "connected") || !strings.Contains(out, "timed out") {
		t.Errorf("%v %s", err, out)
	}
}

// TestNotJoined: without a tailnet there is no network.
func TestNotJoined(t *testing.T) {
	f := newFake()
	f.state = State{Err: context.Canceled}
	s := server(t, f)
	if out, err := try(t, s, "/proc/self/exe", "client", "echo", "100.64.0.2:80"); err == nil || !strings.Contains(out, "network is unreachable") {
		t.Errorf("%v %s", err, out)
	}
}
