package services

import (
	"net"
	"strings"
	"testing"
	"time"
)

// speaker listens on a loopback port and says text to whoever connects.
func speaker(t *testing.T, text string) (address string) {
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
			_, _ = c.Write([]byte(text))
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestProbeExpects(t *testing.T) {
	for text, good := range map[string]bool{"SSH-2.0-x\r\n": true, "HTTP/1.1 400\r\n": false, "": false, "SSH": false} {
		p := Probe{TCP: speaker(t, text), Expect: "SSH-2.0-"}
		if err := p.ask(t.Context()); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	p := Probe{TCP: speaker(t, "")}
	if err := p.ask(t.Context()); err != nil {
		t.Errorf("nothing expected: %v", err)
	}
}

func TestPortFree(t *testing.T) {
	taken := speaker(t, "")
	_, port, _ := net.SplitHostPort(taken)
	if err := portFree(taken); err == nil || err.Error() != "port "+port+" is taken by another process" {
		t.Errorf("a taken port: %v", err)
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	if err := portFree("127.0.0.1:" + port); err == nil {
		t.Error("a port taken on all addresses passed")
	}
	l.Close()
	if err := portFree("127.0.0.1:" + port); err != nil {
		t.Errorf("a free port: %v", err)
	}
}

// TestTakenPortIsWaitedFor: the other's answer is not the service's readiness,
// and once the other has gone the service takes over by itself.
func TestTakenPortIsWaitedFor(t *testing.T) {
	b := run(t, Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	server := Service{
		Name: "server", Probe: &Probe{TCP: l.Addr().String(), Expect: "hi"},
		ExecStart: Argv("perl", "-MIO::Socket", "-e", "$s = IO::Socket::INET->new(LocalAddr=>'127.0.0.1:"+port+"', Listen=>5, ReuseAddr=>1) or die; while ($c = $s->accept) { print $c \"hi\\n\"; close $c }"),
	}
	b.add(server)
	if s := b.untilState("server", Backoff); !strings.Contains(s.Note, "port "+port+" is taken by another process") {
		t.Errorf("%+v", s)
	}
	l.Close()
	b.untilState("server", Ready)
}

func TestNotReadyInTime(t *testing.T) {
	b := run(t, Options{})
	late := sh("late", "exec sleep 60")
	late.Probe = &Probe{TCP: "127.0.0.1:1"}
	late.TimeoutStartSec = Duration(100 * time.Millisecond)
	b.add(late)
	if s := b.untilState("late", Backoff); !strings.HasPrefix(s.Note, "killed by SIGTERM, was not ready in time") {
		t.Errorf("%+v", s)
	}
}
