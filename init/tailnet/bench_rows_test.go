package tailnet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// BenchmarkTailnet has ours and Tailscale's own programs take turns between two islands that
// route to each other, both ends on this machine: only the ratios mean something elsewhere.
// It prints a table. -benchtime 5x is five rounds; -short
// leaves out what takes minutes.
func BenchmarkTailnet(b *testing.B) {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		b.Fatal(err)
	}
	t := &bench{b: b, url: controlForIslands(b).HTTPTestServer.URL}
	neutral := t.theirs("neutral", "tailscale0")
	ours, theirs := t.ours("ours", true), t.theirs("theirs", "userspace-networking")
	ourTUN, theirTUN := t.ours("ourtun", false), t.theirs("theirtun", "tailscale0")
	for _, s := range []*subject{ours, theirs, ourTUN, theirTUN} {
		t.direct(neutral, s)
	}
	idle := pair{ours: []float64{ours.megabytes("VmRSS")}, theirs: []float64{theirs.megabytes("VmRSS")}}
	var in, out, tunIn, tunOut, plain, dialed, carried, running pair
	for b.Loop() {
		in.streams(neutral, ours, theirs, "")
		out.streamsOut(neutral, ours, theirs, socksAddress)
		tunIn.streams(neutral, ourTUN, theirTUN, "")
		tunOut.streamsOut(neutral, ourTUN, theirTUN, "")
		t.connects(&plain, &dialed, ours, neutral)
		carried.transparent(ours, neutral)
		t.joins(&running)
	}
	if !testing.Short() { // minutes each
		t.row("100,000 connections, 200 at once, transparent; peer: 20,000 by SOCKS5", "/s", t.hundredThousand(neutral, ours, theirs), "none fails")
		t.row("RSS, the most, after 5 GB in", "MB", t.fiveGigabytes(neutral, ours, theirs), "≤ 260 MB")
	}
	b.ReportMetric(0, "ns/op")
	t.row("userspace TCP, one stream, in", "Gbit/s", in, "≥ 1.0 ×")
	t.row("userspace TCP, one stream, out by SOCKS5", "Gbit/s", out, "≥ 1.0 ×")
	t.row("transparent, one stream, out; peer: ours by SOCKS5", "Gbit/s", carried, "≥ 1.0 ×")
	t.row("connect(2) elsewhere, under the filter; peer: without", "µs", plain, "≤ 60 µs more")
	t.row("connect(2) into the tailnet; peer: SOCKS5, ours", "µs", dialed, "≤ 60 µs more")
	t.row("TUN TCP, one stream, in", "Gbit/s", tunIn, "≥ 1.0 ×")
	t.row("TUN TCP, one stream, out", "Gbit/s", tunOut, "≥ 1.0 ×")
	t.row("exec → Running; peer: containerboot", "ms", running, "≤ 100 ms")
	t.row("RSS idle", "MB", idle, "≤ 35 MB")
	t.table()
}

// streams measures what comes from a neutral node into either.
func (p *pair) streams(neutral, ours, theirs *subject, via string) {
	size := strconv.Itoa(streamSize)
	speed, cpu := ours.gigabits(neutral.traffic("send", ours.address+":"+sinkPort, size, via), streamSize)
	p.ours, p.ourCPU = append(p.ours, speed), append(p.ourCPU, cpu)
	speed, cpu = theirs.gigabits(neutral.traffic("send", theirs.address+":"+sinkPort, size, via), streamSize)
	p.theirs, p.theirCPU = append(p.theirs, speed), append(p.theirCPU, cpu)
}

// streamsOut measures what goes from either to a neutral node.
func (p *pair) streamsOut(neutral, ours, theirs *subject, via string) {
	size, to := strconv.Itoa(streamSize), neutral.address+":"+sinkPort
	speed, cpu := ours.gigabits(ours.traffic("send", to, size, via), streamSize)
	p.ours, p.ourCPU = append(p.ours, speed), append(p.ourCPU, cpu)
	speed, cpu = theirs.gigabits(theirs.traffic("send", to, size, via), streamSize)
	p.theirs, p.theirCPU = append(p.theirs, speed), append(p.theirCPU, cpu)
}

// underFilter makes a command of the traffic program that is transparent.
func (s *subject) underFilter(args ...string) *exec.Cmd {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.island.transparent(s.t.Context(), append([]string{self, "traffic"}, args...)...)
}

// transparent measures the same stream under the filter and by the proxy.
func (p *pair) transparent(s, neutral *subject) {
	size, to := strconv.Itoa(streamSize), neutral.address+":"+sinkPort
	speed, cpu := s.gigabits(s.underFilter("send", to, size, ""), streamSize)
	p.ours, p.ourCPU = append(p.ours, speed), append(p.ourCPU, cpu)
	speed, cpu = s.gigabits(s.traffic("send", to, size, socksAddress), streamSize)
	p.theirs, p.theirCPU = append(p.theirs, speed), append(p.theirCPU, cpu)
}

// connects measures single connections: to the island itself with and without the filter, into the
// tailnet under the filter and by the proxy.
func (t *bench) connects(plain, dialed *pair, s, neutral *subject) {
	t.b.Helper()
	const count = "300"
	near := s.island.address + ":" + sinkPort
	plain.ours = append(plain.ours, figure(t.b, s.underFilter("connect", near, count, "")))
	plain.theirs = append(plain.theirs, figure(t.b, s.traffic("connect", near, count, "")))
	to := neutral.address + ":" + sinkPort
	dialed.ours = append(dialed.ours, figure(t.b, s.underFilter("connect", to, count, "")))
	dialed.theirs = append(dialed.theirs, figure(t.b, s.traffic("connect", to, count, socksAddress)))
}

// joins measures a new node from exec to Running.
func (t *bench) joins(p *pair) {
	t.b.Helper()
	i := newIsland(t.b, 200+len(p.ours))
	defer i.remove()
	cmd := i.ours(absolute(t.b, ourProgram)+" --run "+i.run, wire.Config{AuthKey: goodKey, Hostname: "new", ControlURL: t.url})
	p.ours = append(p.ours, t.untilRunning(i, cmd, "/run/tailscale/tailscaled.sock"))
	// Its daemon outlives it where it is killed.
	cmd = i.inside("unshare", "--fork", "--pid", "--kill-child", absolute(t.b, peers+"/containerboot"))
	cmd.Env = []string{
		"PATH=" + filepath.Dir(absolute(t.b, peers+"/tailscale")) + ":/usr/sbin:/usr/bin:/sbin:/bin", "TS_AUTHKEY=" + goodKey, "TS_HOSTNAME=new",
		"TS_USERSPACE=true", "TS_STATE_DIR=" + t.b.TempDir(), "TS_SOCKET=/run/peer.sock", "TS_ACCEPT_DNS=false",
		"TS_EXTRA_ARGS=--login-server=" + t.url, "TS_TAILSCALED_EXTRA_ARGS=--no-logs-no-support --port=0",
	}
	p.theirs = append(p.theirs, t.untilRunning(i, cmd, "/run/peer.sock"))
}

// hundredThousand is how many connections a second either makes, none of which may fail.
func (t *bench) hundredThousand(neutral, ours, theirs *subject) pair {
	t.b.Helper()
	to := neutral.address + ":" + sinkPort
	p := pair{
		theirs: []float64{figure(t.b, theirs.traffic("many", to, "20000", "200", socksAddress))},
		ours:   []float64{figure(t.b, ours.underFilter("many", to, "100000", "200", ""))},
	}
	fmt.Fprintf(os.Stderr, "after 100,000 connections: VmRSS %.0f MB, VmHWM %.0f MB\n", ours.megabytes("VmRSS"), ours.megabytes("VmHWM"))
	return p
}

// fiveGigabytes is the most memory that either has had, when so much has come in.
func (t *bench) fiveGigabytes(neutral, ours, theirs *subject) (p pair) {
	t.b.Helper()
	const size = 5000
	for _, s := range []*subject{ours, theirs} {
		began := time.Now()
		speed, _ := s.gigabits(neutral.traffic("send", s.address+":"+sinkPort, fmt.Sprint(size), ""), size)
		fmt.Fprintf(os.Stderr, "%s: 5 GB in %v, %.2f Gbit/s, VmRSS %.0f MB, VmHWM %.0f MB\n", s.island.address,
			time.Since(began).Round(time.Second), speed, s.megabytes("VmRSS"), s.megabytes("VmHWM"))
	}
	p.ours, p.theirs = []float64{ours.megabytes("VmHWM")}, []float64{theirs.megabytes("VmHWM")}
	return p
}
