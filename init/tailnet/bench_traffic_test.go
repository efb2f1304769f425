package tailnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// traffic is what the benchmarks run on islands: programs that know nothing of a tailnet.
func traffic(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "sink": // PORT
		return sink(args[1])
	case len(args) == 4 && args[0] == "send": // ADDRESS MEBIBYTES PROXY
		return send(args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "connect": // ADDRESS COUNT PROXY
		return connectOften(args[1], args[2], args[3])
	case len(args) == 5 && args[0] == "many": // ADDRESS COUNT AT-ONCE PROXY
		return connectMany(args[1], args[2], args[3], args[4])
	}
	return fmt.Errorf("traffic %q", args)
}

// sink takes so much as it is told first, and confirms the end of it: the SOCKS5 server of
// tailscaled passes no end of one direction on.
func sink(port string) error {
	l, err := net.Listen("tcp", "0.0.0.0:"+port)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			var size [8]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return // one that only connects
			}
			b := make([]byte, 1<<20)
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(c, int64(binary.BigEndian.Uint64(size[:]))), b); err == nil {
				_, _ = c.Write(size[:1])
			}
		}()
	}
}

// dialVia connects, by a SOCKS5 proxy where one is named.
func dialVia(to, via string) (net.Conn, error) {
	if via == "" {
		return net.Dial("tcp", to)
	}
	c, err := net.Dial("tcp", via)
	if err != nil {
		return nil, err
	}
	at := netip.MustParseAddrPort(to)
	request := append([]byte{5, 1, 0, 1}, at.Addr().AsSlice()...)
	request = append(request, byte(at.Port()>>8), byte(at.Port()))
	answer := make([]byte, 10)
	if _, err = c.Write([]byte{5, 1, 0}); err == nil {
		_, err = io.ReadFull(c, answer[:2])
	}
	if err == nil {
		_, err = c.Write(request)
	}
	if err == nil {
		_, err = io.ReadFull(c, answer)
	}
	if err == nil && answer[1] != 0 {
		err = fmt.Errorf("the proxy answers %d", answer[1])
	}
	return c, err
}

// send prints the seconds that so much took, up to the other end's confirmation.
func send(to, size, via string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	c, err := dialVia(to, via)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 1<<20)
	began := time.Now()
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(n)<<20)); err != nil {
		return err
	}
	for range n {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	if _, err := io.ReadFull(c, b[:1]); err != nil {
		return err
	}
	fmt.Println(time.Since(began).Seconds())
	return nil
}

// connectOften prints the median of the microseconds of a connection: those of connect(2)
// itself, or of all that SOCKS5 needs before the first byte may be sent.
func connectOften(to, count, via string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	at := netip.MustParseAddrPort(to)
	once := func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	}
	if via != "" {
		once = func() error {
			c, err := dialVia(to, via)
			if err == nil {
				c.Close()
			}
			return err
		}
	}
	runtime.LockOSThread()
	var took []float64
	for range n {
		began := time.Now()
		if err := once(); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds()*1e6)
	}
	fmt.Println(median(took))
	return nil
}

// connectMany prints how many connections a second there were, each with a byte there and back.
func connectMany(to, count, atOnce, via string) error {
	n, err1 := strconv.Atoi(count)
	m, err2 := strconv.Atoi(atOnce)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	work, errs := make(chan struct{}, m), make(chan error, m)
	began := time.Now()
	for range m {
		go func() {
			for range work {
				if err := exchange(to, via); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range n {
		select {
		case work <- struct{}{}:
		case err := <-errs:
			return err
		}
	}
	close(work)
	for range m {
		if err := <-errs; err != nil {
			return err
		}
	}
	fmt.Println(float64(n) / time.Since(began).Seconds())
	return nil
}

// exchange sends a sink nothing, and hears that it got that.
func exchange(to, via string) error {
	c, err := dialVia(to, via)
	if err != nil {
		return err
	}
	defer c.Close()
	var b [8]byte
	if _, err := c.Write(b[:]); err != nil {
		return err
	}
	_, err = io.ReadFull(c, b[:1])
	return err
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// figure runs a program that prints one number.
func figure(t testing.TB, cmd *exec.Cmd) float64 {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v %s", cmd.Args, err, stderr.String())
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
