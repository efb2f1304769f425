package tailnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tailscale.com/client/local"
	"tailscale.com/ipn"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// What `make bench-tailnet` builds, seen from here.
const (
	ourProgram = "../../build/programs/tailnet"
	peers      = "../../build/peers"

	socksAddress = "127.0.0.1:1055"
	sinkPort     = "5001"
	streamSize   = 192 // MiB
)

// subject is a node on an island of its own, in one of the two implementations.
type subject struct {
	*island
	cmd     *exec.Cmd
	socket  string // of its LocalAPI, from outside
	address string
}

// outside is a file of the island, seen from here.
func (i *island) outside(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", i.holder.Process.Pid, path)
}

// bench is a tailnet of ours and Tailscale's own, and a neutral node that they talk to.
type bench struct {
	b       *testing.B
	url     string
	islands int
	rows    [][]string
}

func (t *bench) island() *island {
	t.islands++
	i := newIsland(t.b, t.islands)
	self, err := os.Executable()
	if err != nil {
		t.b.Fatal(err)
	}
	i.start(i.inside(self, "traffic", "sink", sinkPort))
	return i
}

func absolute(b *testing.B, path string) string {
	b.Helper()
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		b.Fatalf("make bench-tailnet builds what this measures: %v", err)
	}
	return path
}

// ours is the program that ships.
func (t *bench) ours(name string, userspace bool) *subject {
	t.b.Helper()
	i := t.island()
	c := wire.Config{AuthKey: goodKey, Hostname: name, ControlURL: t.url, Userspace: &userspace, AcceptDNS: new(bool)}
	if userspace {
		c.SOCKS5, c.HTTP = socksAddress, socksAddress
	}
	s := &subject{island: i, socket: i.outside("/" + strings.Replace(localAPI, "var/", "", 1))}
	s.cmd = i.ours(absolute(t.b, ourProgram)+" --run "+i.run, c)
	i.start(s.cmd)
	t.up(s)
	return s
}

// theirs is tailscaled, told by its command-line tool to join.
func (t *bench) theirs(name, tun string) *subject {
	t.b.Helper()
	i := t.island()
	s := &subject{island: i, socket: i.outside("/run/tailscaled.sock")}
	args := []string{absolute(t.b, peers+"/tailscaled"), "--tun=" + tun, "--statedir=" + t.b.TempDir(), "--socket=/run/tailscaled.sock", "--port=0", "--no-logs-no-support"}
	if tun == "userspace-networking" {
		args = append(args, "--socks5-server="+socksAddress)
	}
	s.cmd = i.inside(args...)
	i.start(s.cmd)
	eventually(t.b, func() error { _, err := os.Stat(s.socket); return err })
	up := i.inside(absolute(t.b, peers+"/tailscale"), "--socket=/run/tailscaled.sock", "up", "--login-server="+t.url,
		"--auth-key="+goodKey, "--hostname="+name, "--accept-dns=false", "--netfilter-mode=off")
	if out, err := up.CombinedOutput(); err != nil {
		t.b.Fatalf("tailscale up: %v\n%s", err, out)
	}
	t.up(s)
	return s
}

// up waits for a node to be in the tailnet.
func (t *bench) up(s *subject) {
	t.b.Helper()
	eventually(t.b, func() error {
		st, err := s.client().Status(t.b.Context())
		if err == nil && (st.BackendState != ipn.Running.String() || len(st.TailscaleIPs) == 0) {
			err = errNo("it is " + st.BackendState)
		}
		if err == nil {
			s.address = st.TailscaleIPs[0].String()
		}
		return err
	})
}

func (s *subject) client() *local.Client { return &local.Client{Socket: s.socket, UseSocketOnly: true} }

// direct waits until two nodes have a path of their own.
func (t *bench) direct(from, to *subject) {
	t.b.Helper()
	eventually(t.b, func() error {
		ctx, cancel := context.WithTimeout(t.b.Context(), limit)
		defer cancel()
		out, err := from.inside(absolute(t.b, peers+"/tailscale"), "--socket="+strings.TrimPrefix(from.socket, from.outside("")), "ping", "--timeout=2s", to.address).CombinedOutput()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// run runs the traffic program on an island.
func (i *island) traffic(args ...string) *exec.Cmd {
	i.t.Helper()
	self, err := os.Executable()
	if err != nil {
		i.t.Fatal(err)
	}
	return i.inside(append([]string{self, "traffic"}, args...)...)
}

// gigabits is the speed of one stream, and what it cost a node in seconds of CPU for each gigabyte.
func (s *subject) gigabits(cmd *exec.Cmd, mebibytes int) (speed, cpu float64) {
	s.t.Helper()
	before := s.cpu()
	seconds := figure(s.t, cmd)
	return float64(mebibytes) * 8 * 1.048576 / 1000 / seconds, (s.cpu() - before) / (float64(mebibytes) * 1.048576 / 1000)
}

// cpu are the seconds of the processor that a node has used.
func (s *subject) cpu() float64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndex(string(text), ")"):]))
	user, _ := strconv.ParseFloat(f[12], 64)
	system, _ := strconv.ParseFloat(f[13], 64)
	return (user + system) / 100
}

// megabytes is a figure of /proc/PID/status.
func (s *subject) megabytes(name string) float64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+name+":")
	kB, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return kB / 1024
}

// pair are the figures of both sides of one row.
type pair struct{ ours, theirs, ourCPU, theirCPU []float64 }

// row notes the medians; goal is that of ours or of the ratio, as text.
func (t *bench) row(what, unit string, p pair, goal string) {
	ours, theirs := median(p.ours), median(p.theirs)
	cpu := ""
	if len(p.ourCPU) > 0 {
		cpu = fmt.Sprintf("%.1f, %.1f", median(p.ourCPU), median(p.theirCPU))
	}
	t.rows = append(t.rows, []string{what, fmt.Sprintf("%.4g %s", ours, unit), fmt.Sprintf("%.4g %s", theirs, unit), fmt.Sprintf("%.2f", ours/theirs), cpu, goal})
}

func (t *bench) table() {
	fmt.Printf("\n| measure | ours | peer | ratio | CPU-s/GB, ours, peer | goal |\n|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Println("| " + strings.Join(r, " | ") + " |")
	}
	fmt.Println()
}

// untilRunning starts a node and waits until it says that it is in the tailnet.
func (t *bench) untilRunning(i *island, cmd *exec.Cmd, socket string) float64 {
	t.b.Helper()
	began := time.Now()
	end := i.start(cmd)
	defer end()
	ctx, cancel := context.WithTimeout(t.b.Context(), limit)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	lc := &local.Client{Socket: i.outside(socket), UseSocketOnly: true}
	for ; ; <-tick.C {
		if ctx.Err() != nil {
			t.b.Fatal("the node does not join")
		}
		// The client would sleep for 250 ms where nobody listens yet.
		c, err := net.Dial("unix", lc.Socket)
		if err != nil {
			continue
		}
		c.Close()
		w, err := lc.WatchIPNBus(ctx, ipn.NotifyInitialState)
		if err != nil {
			continue
		}
		for {
			note, err := w.Next()
			if err != nil {
				break
			}
			if note.State != nil && *note.State == ipn.Running {
				w.Close()
				return time.Since(began).Seconds() * 1e3
			}
		}
		w.Close()
	}
}
