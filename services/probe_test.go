package services

import (
	"context"
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
		if err := p.ask(t.Context(), asker{}); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	p := Probe{TCP: speaker(t, "SSH-2.0-x\n"), Expect: "HTTP"}
	if err := p.ask(t.Context(), asker{}); err == nil || !strings.HasSuffix(err.Error(), `another service answers there: it says "SSH-2.0-x\n" and not "HTTP"`) {
		t.Errorf("another's answer: %v", err)
	}
	p = Probe{TCP: speaker(t, "")}
	if err := p.ask(t.Context(), asker{}); err != nil {
		t.Errorf("nothing expected: %v", err)
	}
}

// silent accepts connections and says nothing.
func silent(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String() // the kernel accepts
}

func TestProbeTimeout(t *testing.T) {
	address := silent(t)
	const most = Duration(50 * time.Millisecond)
	for _, p := range []Probe{{TCP: address, Expect: "SSH"}, {HTTP: "http://" + address}, {Exec: []string{"sh", "-c", "sleep 60 & sleep 60"}}} {
		p.TimeoutSec = most
		began := time.Now()
		err := p.ask(t.Context(), newAsker("/", nil, nil))
		if err == nil || !strings.Contains(err.Error(), "within 50ms") || time.Since(began) > 5*time.Second {
			t.Errorf("%+v: after %v: %v", p, time.Since(began), err)
		}
	}
}

// TestProbeCancelled: a stop does not wait for an answer.
func TestProbeCancelled(t *testing.T) {
	address := silent(t)
	for _, p := range []Probe{{TCP: address, Expect: "SSH"}, {HTTP: "http://" + address}, {Exec: []string{"sleep", "60"}}} {
		p.TimeoutSec = Duration(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		if err := p.wait(ctx, newAsker("/", nil, nil)); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("%+v: after %v: %v", p, time.Since(began), err)
		}
		cancel()
	}
}

func TestProbeRefused(t *testing.T) {
	p := Probe{TCP: "127.0.0.1:1"}
	if err := p.ask(t.Context(), asker{}); err == nil || err.Error() != "127.0.0.1:1: connect: connection refused" {
		t.Error(err)
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
