package transparent

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// answering is the program of the tailnet as a process that a test may kill.
type answering struct {
	*exec.Cmd
	out   *bufio.Reader
	stdin io.Closer
}

func startAnswering(t *testing.T, dir, to string, listeners ...*os.File) *answering {
	t.Helper()
	args := []string{"answer", dir, to}
	for range listeners {
		args = append(args, "x")
	}
	a := &answering{Cmd: exec.Command("/proc/self/exe", args...)}
	a.ExtraFiles = listeners
	out, err := a.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if a.stdin, err = a.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	a.out = bufio.NewReader(out)
	a.says(t, "answers")
	t.Cleanup(a.kill)
	return a
}

func (a *answering) says(t *testing.T, want string) {
	t.Helper()
	if line, err := a.out.ReadString('\n'); strings.TrimSpace(line) != want {
		t.Fatalf("%q %v, want %s", line, err, want)
	}
}

func (a *answering) kill() {
	_ = a.Process.Kill()
	_ = a.Wait()
}

// localEcho is what stands for the peer.
func localEcho(t *testing.T) string {
	t.Helper()
	f := newFake()
	at := netip.AddrPortFrom(peer, 80)
	f.echo(t, at)
	c, err := f.Dial(context.Background(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.(*net.TCPConn).RemoteAddr().String()
}

// TestKilled: a call that the killed program had received, and one that was made while there was
// none, wait for the next run of it and go on.
func TestKilled(t *testing.T) {
	dir, sniff := t.TempDir(), left(t)
	var outA, outB bytes.Buffer
	b := exec.Command("/proc/self/exe", "client", "echo", "100.64.0.2:80")
	// The first is asked about while it blocks: Go's own sockets do not.
	a := exec.Command("python3", "-c", "import socket\ns = socket.socket()\ns.connect(('100.64.0.2', 80))\ns.send(b'hello')\nprint(s.recv(5))")
	a.Stdout, a.Stderr, b.Stdout, b.Stderr = &outA, &outA, &outB, &outB
	la := under(t, a)
	first := startAnswering(t, dir, "", la)
	first.says(t, "dials")
	first.kill()
	lb := under(t, b)
	startAnswering(t, dir, localEcho(t), la, lb)
	for _, c := range []*exec.Cmd{a, b} {
		if err := c.Wait(); err != nil {
			t.Errorf("%v: %s %s", err, &outA, &outB)
		}
	}
	if outA.String() != "b'hello'\n" || !strings.HasPrefix(outB.String(), "ok") {
		t.Errorf("%q %q", &outA, &outB)
	}
	if n := sniff.packets(); n != 0 {
		t.Errorf("%d packets for the tailnet have left in clear", n)
	}
}

// TestKilledOften kills the program again and again while others connect. What the relay had
// accepted is reset, as it must be; no call is lost, and none fails for another reason.
func TestKilledOften(t *testing.T) {
	dir, to, sniff := t.TempDir(), localEcho(t), left(t)
	var listeners []*os.File
	var clients []*exec.Cmd
	var stdins []io.Closer
	var outs []*bytes.Buffer
	for range 4 {
		c, out := exec.Command("/proc/self/exe", "client", "reset", "100.64.0.2:80"), new(bytes.Buffer)
		c.Stdout, c.Stderr = out, out
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, under(t, c))
		clients, stdins, outs = append(clients, c), append(stdins, stdin), append(outs, out)
	}
	for range 20 {
		startAnswering(t, dir, to, listeners...).kill()
	}
	startAnswering(t, dir, to, listeners...)
	for i, c := range clients {
		stdins[i].Close()
		if err := c.Wait(); err != nil || outs[i].String() != "ok\n" {
			t.Errorf("%v: %s", err, outs[i])
		}
	}
	if n := sniff.packets(); n != 0 {
		t.Errorf("%d packets for the tailnet have left in clear", n)
	}
}
