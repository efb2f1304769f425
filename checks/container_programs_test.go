package checks

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// transparentDir has the programs that connect to 100.64.0.2:80 in the ways of their languages.
const transparentDir = "init/tailnet/transparent"

// A shelf is a folder of this machine that boxes see as /debian/shelf, beside Debian's own programs:
// what the image has not, such as PyTorch, runs in it by chroot.
type shelf struct {
	t   *testing.T
	dir string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t, t.TempDir()}
	if err := os.Chmod(s.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return s
}

// options of a box that sees the shelf.
func (s *shelf) options() []string {
	return []string{"-v", "/usr:/debian/usr:ro", "-v", "/etc/alternatives:/debian/etc/alternatives:ro",
		"-v", "/dev/null:/debian/dev/null", "-v", "/dev/urandom:/debian/dev/urandom", "-v", s.dir + ":/debian/shelf"}
}

// build makes a program on the shelf.
func (s *shelf) build(name string, argv ...string) {
	s.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = repository(), append(os.Environ(), "CGO_ENABLED=0", "OUT="+filepath.Join(s.dir, name))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
}

// copy puts a file of the repository on the shelf.
func (s *shelf) copy(file string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(), file))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, filepath.Base(file)), text, 0o755)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// debian makes Debian's programs work in a box.
func (c *container) debian() {
	c.t.Helper()
	c.sh(`cd /debian && mkdir -p tmp root && chmod 1777 tmp && for d in bin sbin lib lib64; do ln -sfn usr/$d $d; done`)
}

// transparently runs one of Debian's programs, which reaches the tailnet.
func (c *container) transparently(argv ...string) (string, int) {
	c.t.Helper()
	return c.exec(append([]string{"timeout", "240", "init", "run", "--", "chroot", "/debian"}, argv...)...)
}

// TestTailnetPrograms: in containers of no privilege, programs that know nothing of a tailnet
// reach each other over it, in both directions.
func TestTailnetPrograms(t *testing.T) {
	t.Parallel()
	n, s := newTailnet(t), newShelf(t)
	s.build("client", "sh", "-c", `exec go test -c -o "$OUT" ./`+transparentDir)
	s.build("static", "sh", "-c", `exec cc -O2 -static -pthread -o "$OUT" `+transparentDir+`/testdata/client.c`)
	s.copy(transparentDir + "/testdata/client.py")
	s.copy(transparentDir + "/testdata/client.mjs")
	// The first to join has the address 100.64.0.1, the second that of the programs.
	box, ours := n.join(t, "first", s.options()...)
	peer, theirs := n.join(t, "second", s.options()...)
	if ours.Mode != "userspace" || theirs.Addresses[0] != "100.64.0.2" {
		t.Fatalf("%+v %+v", ours, theirs)
	}
	box.debian()
	peer.debian()
	for _, c := range []*container{box, peer} {
		c.sh("chroot /debian redis-server --port 6379 --bind 0.0.0.0 --protected-mode no --daemonize yes --dir /tmp >/dev/null")
	}
	peer.sh("setsid /debian/shelf/client client serve 80 </dev/null >/dev/null 2>&1 &")
	peer.sh(`chroot /debian /bin/sh -ec 'export HOME=/root; cd /tmp && git init -q repo && cd repo && seq 300000 >file
git add file && git -c user.name=n -c user.email=n@example.org commit -qm one && git daemon --export-all --base-path=/tmp --detach /tmp'`)
	for _, c := range []struct {
		name string
		argv []string
		want string // the beginning
	}{
		{"Go, static", []string{"/shelf/client", "client", "echo", "100.64.0.2:80"}, "ok 100.64.0.1 100.64.0.2:80\n"},
		{"C, static", []string{"/shelf/static"}, "once: 0\ntwice: 0\nthreads: 0\nchild: 0\n"},
		{"Python, 200 at once", []string{"/usr/bin/python3", "/shelf/client.py"}, "refused\nblocking ECONNREFUSED\nunix ENOENT\n"},
		{"Node, 200 at once", []string{"/usr/bin/node", "/shelf/client.mjs"}, "ECONNREFUSED\n"},
		{"redis", []string{"/usr/bin/redis-cli", "-h", "100.64.0.2", "set", "greeting", "hello"}, "OK\n"},
		{"git", []string{"/bin/sh", "-c", "HOME=/root git clone -q git://100.64.0.2/repo /tmp/clone && git --git-dir=/tmp/clone/.git log --format=%s"}, "one\n"},
		{"nc", []string{"/bin/sh", "-c", "echo hello | nc -N 100.64.0.2 80"}, "hello\n"},
		{"curl", []string{"/usr/bin/curl", "-sS", "--retry", "3", "http://100.64.0.2:9400/healthz"}, "ready\n"},
		{"Go, 200 at once", []string{"/shelf/client", "client", "many", "100.64.0.2:80", "5000", "200"}, "ok\n"},
	} {
		began := time.Now()
		if out, code := box.transparently(c.argv...); code != 0 || !strings.HasPrefix(out, c.want) {
			t.Errorf("%s ends with %d: %q, want %q", c.name, code, out, c.want)
		}
		t.Logf("%s: %v", c.name, time.Since(began).Round(time.Millisecond))
	}
	if out, code := peer.transparently("/usr/bin/redis-cli", "-h", "100.64.0.1", "ping"); code != 0 || out != "PONG\n" {
		t.Errorf("redis the other way ends with %d: %q", code, out)
	}
	box.logsInTransparently(theirs.Addresses[0])
	box.servesTransparently(theirs.Addresses[0])
	box.killed()
}

// logsInTransparently has ssh and scp of the image go to a peer as to any host.
func (c *container) logsInTransparently(peer string) {
	c.t.Helper()
	c.givesKey()
	options, _ := place{Mode: "tun"}.options() // without a proxy
	out, code := c.exec("timeout", "120", "/bin/sh", "-c", `set -e
peer=`+peer+` options="`+options+`"
init run -- ssh $options root@$peer 'printenv TS_HOSTNAME; tty'  || [ $? = 1 ] # there is none
head -c 3000000 /dev/urandom >/tmp/there
init run -- scp $options -q /tmp/there root@$peer:/tmp/came
init run -- scp $options -q root@$peer:/tmp/came /tmp/back
test "$(sha256sum </tmp/there)" = "$(sha256sum </tmp/back)"`)
	if code != 0 || out != "second\nnot a tty\n" {
		c.t.Errorf("ssh and scp under init run end with %d: %q", code, out)
	}
}

// servesTransparently enables two units that fetch a page from a peer, of which one is
// transparent: the other one's packets go out by the box's own network, which has no such machine.
func (c *container) servesTransparently(peer string) {
	c.t.Helper()
	fetch := "curl -sS -m %d http://" + peer + ":9400/healthz"
	out, code := c.exec("timeout", "120", "/bin/sh", "-c", `cd /tmp
printf '[Service]\nType=oneshot\nX-Nix2vast-Tailnet=transparent\nExecStart=`+fmt.Sprintf(fetch, 60)+`\n' >inside.service
printf '[Service]\nType=oneshot\nExecStart=`+fmt.Sprintf(fetch, 3)+`\n' >outside.service
init enable --now=false ./inside.service ./outside.service >/dev/null
for s in inside outside; do init start $s >/dev/null 2>&1; echo $s $?; init logs $s | grep -c ready; done`)
	if want := "inside 0\n1\noutside 1\n0\n"; out != want {
		c.t.Errorf("services that fetch a page of a peer end with %d: %q, want %q\n%s", code, out, want, c.logs())
	}
}

// killed kills the tailnet's program three times under a client that connects all the time.
func (c *container) killed() {
	c.t.Helper()
	out, code := c.exec("timeout", "240", "/bin/sh", "-c", `mkfifo /tmp/in
init run -- /debian/shelf/client client reset 100.64.0.2:80 </tmp/in >/tmp/out 2>&1 &
exec 3>/tmp/in
for i in 1 2 3; do
	old=$(pgrep -x tailnet)
	kill -9 $old
	until new=$(pgrep -x tailnet) && [ "$new" != "$old" ] && init tailnet >/dev/null; do :; done
done
exec 3>&-
wait; cat /tmp/out`)
	if code != 0 || out != "ok\n" {
		c.t.Errorf("killing the tailnet's program under a client: %d %q", code, out)
	}
}

// TestTailnetGloo: PyTorch reduces over gloo between two containers of no privilege, on networks
// that have no route to each other: through the relay, and by a UDP port that the host publishes.
func TestTailnetGloo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, path, size string }{{"relayed", "relay", "2"}, {"direct", "direct", "16"}} {
		t.Run(c.name, func(t *testing.T) {
			n, s := newTailnet(t), newShelf(t)
			s.copy("init/tailnet/testdata/gloo.py")
			options := s.options()
			var port *published
			if c.path == "direct" {
				port = publish(t, n.gateway)
				options = append(options, "-e", "PUBLIC_IPADDR="+n.gateway, "-e", "VAST_UDP_PORT_41641="+port.number())
			}
			a, ours := n.join(t, "a", options...)
			port.to(a)
			b := n.abroad(t, "b", s.options()...)
			if out, code := b.exec("timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/"+a.address()+"/22"); code == 0 {
				t.Fatalf("the networks route to each other: %s", out)
			}
			outs := make(chan string, 2)
			for rank, box := range []*container{a, b} {
				box.debian()
				box := box.in(t)
				go func() {
					out, code := box.transparently("/usr/bin/env", "MASTER_ADDR="+ours.Addresses[0], "GLOO_SOCKET_IFNAME=eth0",
						fmt.Sprint("RANK=", rank), "MEBIBYTES="+c.size, "OMP_NUM_THREADS=1", "/usr/bin/python3", "/shelf/gloo.py")
					outs <- fmt.Sprintf("%s%d", out, code)
				}()
			}
			for range 2 {
				out := <-outs
				t.Log(out)
				if !strings.Contains(out, "ok, 4 times ") || !strings.HasSuffix(out, "\n0") { // it has no /proc, and says so
					t.Error("it does not work")
				}
			}
			if out := b.sh("init tailnet peers --json"); !strings.Contains(out, `"path": "`+c.path+`"`) {
				t.Errorf("the path is not %s:\n%s", c.path, out)
			}
		})
	}
}

// abroad runs a box of the tailnet on a network of its own, which has a route to the control server
// and to nothing else.
func (n *tailnet) abroad(t *testing.T, name string, more ...string) *container {
	t.Helper()
	far := &tailnet{t: n.t, control: n.control}
	far.open()
	c := run(t, far.options(name, append([]string{"-e", "TAILSCALE_AUTHKEY=" + tailnetKey}, more...)...))
	route := exec.Command("nsenter", "-t", fmt.Sprint(c.pid()), "-n", "ip", "route", "add", n.gateway, "via", far.gateway)
	if out, err := route.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.ready()
	c.joined()
	return c
}

// published is a UDP port of a host that leads to the port of a box, as docker's proxy makes one.
type published struct {
	t    *testing.T
	conn *net.UDPConn
	box  chan string
}

func publish(t *testing.T, host string) *published {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), 0)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &published{t, conn, make(chan string, 1)}
	go p.forward()
	return p
}

func (p *published) number() string {
	_, port, _ := net.SplitHostPort(p.conn.LocalAddr().String())
	return port
}

func (p *published) to(c *container) {
	if p != nil {
		p.box <- c.address()
	}
}

// back carries answers.
func (p *published) back(flow net.Conn, to netip.AddrPort) {
	b := make([]byte, 1<<16)
	for {
		k, err := flow.Read(b)
		if err == nil {
			_, err = p.conn.WriteToUDPAddrPort(b[:k], to)
		}
		if errors.Is(err, net.ErrClosed) { // another may pass, as a box that does not listen yet
			return
		}
	}
}

func (p *published) forward() {
	box, flows := <-p.box, map[netip.AddrPort]net.Conn{}
	var all sync.WaitGroup
	defer all.Wait()
	b := make([]byte, 1<<16)
	for {
		k, from, err := p.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			for _, flow := range flows {
				flow.Close()
			}
			return
		}
		flow := flows[from]
		if flow == nil {
			if flow, err = net.Dial("udp", net.JoinHostPort(box, "41641")); err != nil {
				continue
			}
			flows[from] = flow
			all.Go(func() { p.back(flow, from) })
		}
		_, _ = flow.Write(b[:k]) // what is lost is sent again
	}
}
