package transparent

import (
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkConnect is one connect(2) of a static C program: to loopback without a filter and
// with one, and to the tailnet, where the destination is dialed as well.
func BenchmarkConnect(b *testing.B) {
	f := newFake()
	f.echo(b, netip.AddrPortFrom(peer, 80))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	s := server(b, f)
	program := compiled(b)
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		name string
		argv []string
		run  func(argv ...string) string
	}{
		{"plain", []string{program, "bench", "127.0.0.1", port}, func(argv ...string) string {
			out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
			if err != nil {
				b.Fatalf("%v %s", err, out)
			}
			return string(out)
		}},
		{"filter", []string{program, "bench", "127.0.0.1", port}, func(argv ...string) string { return run(b, s, argv...) }},
		{"tailnet", []string{program, "bench", "100.64.0.2", "80"}, func(argv ...string) string { return run(b, s, argv...) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			out := strings.TrimSpace(c.run(append(c.argv, strconv.Itoa(b.N))...))
			ns, err := strconv.ParseFloat(out, 64)
			if err != nil {
				b.Fatal(err, out)
			}
			b.ReportMetric(ns/1000, "µs/connect")
			b.ReportMetric(0, "ns/op") // with the start of the program
		})
	}
}

// BenchmarkStream sends through the relay, and straight to what the relay dials.
func BenchmarkStream(b *testing.B) {
	f := newFake()
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	go func() {
		for {
			c, err := sink.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(struct{ io.Writer }{io.Discard}, c)
				c.Close()
			}()
		}
	}()
	f.echo(b, netip.AddrPortFrom(peer, 80))
	f.to(peer, 81, sink.Addr().String())
	s := server(b, f)
	for name, to := range map[string]string{"plain": sink.Addr().String(), "tailnet": "100.64.0.2:81"} {
		b.Run(name, func(b *testing.B) {
			began := time.Now()
			argv := []string{"/proc/self/exe", "client", "stream", to, "2000"}
			if name == "plain" {
				if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
					b.Fatalf("%v %s", err, out)
				}
			} else {
				run(b, s, argv...)
			}
			b.ReportMetric(2000*8*1.048576/1000/time.Since(began).Seconds(), "Gbit/s")
		})
	}
}
