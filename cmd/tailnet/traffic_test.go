package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/proxy"

	"github.com/fleek-platform/nix2vast/init/tailnet/tailtest"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// TestTraffic sends a few hundred megabytes out of one box, by its proxy, into another,
// and looks at the memory of both: without a limit each takes what it is given.
func TestTraffic(t *testing.T) {
	const (
		proxyAddress = "127.0.0.1:18155"
		size         = 384 << 20
		most         = 280 << 10 // kB in memory
	)
	program := build(t)
	ctl := tailtest.Control(t, "127.0.0.1")
	boxes := map[string]*box{"from": newBox(t), "to": newBox(t)}
	for name, b := range boxes {
		// The tables of listeners are those of the test's network.
		if err := os.Symlink("/proc", filepath.Join(b.dir, "proc")); err != nil {
			t.Fatal(err)
		}
		c := wire.Config{AuthKey: key, Hostname: name, StateDir: "/state", ControlURL: ctl.HTTPTestServer.URL, Userspace: new(true)}
		if name == "from" {
			c.SOCKS5 = proxyAddress
		}
		b.start(program, sealed(t, c))
		b.heard("STATUS=running")
	}
	// A stream has once stood still for ever; dev/NOTES.md has what is known of that. What this test is
	// about is the memory, so another stream is sent then.
	var text string
	for try := 1; ; try++ {
		began := time.Now()
		err := traffic(t, proxyAddress, size)
		if err == nil {
			text = fmt.Sprintf("%.2f Gbit/s", size*8/time.Since(began).Seconds()/1e9)
			break
		}
		if t.Logf("stream %d: %v", try, err); try == 3 {
			t.Fatal(err)
		}
	}
	for name, b := range boxes {
		k := b.kilobytes("VmHWM")
		text += fmt.Sprintf(", %s: at most %d kB", name, k)
		if k > most {
			t.Errorf("%s had %d kB in memory", name, k)
		}
	}
	t.Log(text)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// traffic sends so many bytes to the box "to", by the proxy.
func traffic(t *testing.T, address string, size int64) error {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c) // fewer bytes are an error there
		received <- n
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	socks, err := proxy.SOCKS5("tcp", address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	defer cancel()
	var c net.Conn
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		// The name is known a moment after the box.
		if c, err = socks.(proxy.ContextDialer).DialContext(ctx, "tcp", "to:"+port); err == nil {
			break
		}
		if ctx.Err() != nil {
			return err
		}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // it may be closed by then
	defer stop()
	if n, err := io.CopyN(c, zeros{}, size); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	c.Close()
	select {
	case n := <-received:
		if n != size {
			return fmt.Errorf("of %d bytes %d arrived", size, n)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the end of the stream has not arrived: %w", ctx.Err())
	}
}
