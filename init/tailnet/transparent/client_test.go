package transparent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// client is the static Go program that runs under the filter.
func client(args []string) int {
	var err error
	switch args[0] {
	case "echo": // ADDRESS: what comes back, and both ends' addresses
		err = echoOnce(args[1])
	case "many": // ADDRESS COUNT AT-ONCE
		err = echoMany(args[1], args[2], args[3])
	case "reset": // ADDRESS: connects until its input ends, through a relay that is killed now and then
		err = connectOn(args[1])
	case "serve": // PORT: sends back what it gets
		err = serve(args[1])
	case "stream": // ADDRESS MEBIBYTES
		err = stream(args[1], args[2])
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func exchange(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && len(b) < len(text) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && string(b) != text {
		err = fmt.Errorf("%q came back for %q", b, text)
	}
	return err
}

func echoOnce(to string) error {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	text := strings.Repeat("hello ", 100_000)
	if err := exchange(c, text); err != nil {
		return err
	}
	local, _, _ := net.SplitHostPort(c.LocalAddr().String())
	fmt.Println("ok", local, c.RemoteAddr())
	return nil
}

func echoMany(to, count, atOnce string) error {
	n, _ := strconv.Atoi(count)
	m, _ := strconv.Atoi(atOnce)
	var all sync.WaitGroup
	errs := make(chan error, m)
	work := make(chan int)
	for range m {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range work {
				c, err := net.Dial("tcp", to)
				if err == nil {
					err = exchange(c, fmt.Sprint("text ", i))
					c.Close()
				}
				if err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	fmt.Println("ok")
	return nil
}

func connectOn(to string) error {
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(over)
	}()
	for {
		select {
		case <-over:
			if err := connectOnce(to); err != nil {
				return err
			}
			fmt.Println("ok")
			return nil
		default:
		}
		err := connectOnce(to)
		cut := false // with the relay that had accepted it
		for _, e := range []error{unix.ECONNRESET, unix.ECONNREFUSED, unix.EPIPE, unix.ENOTCONN, io.EOF, io.ErrUnexpectedEOF} {
			cut = cut || errors.Is(err, e)
		}
		if err != nil && !cut {
			return err
		}
	}
}

func connectOnce(to string) error {
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	return exchange(c, "text")
}

func serve(port string) error {
	l, err := net.Listen("tcp", "0.0.0.0:"+port)
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}
	return err
}

func stream(to, size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", to)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 1<<20)
	for range n {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = c.Read(b)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// answerUntilKilled is the program of the tailnet as a process of its own: DIR, and the address
// of what stands for the peer's port 80. Its listeners are the descriptors from 3 on.
func answerUntilKilled(args []string) int {
	f := newFake()
	f.at(netip.AddrPortFrom(peer, 80), func(ctx context.Context) (net.Conn, error) {
		if args[1] == "" { // a destination that does not answer
			fmt.Println("dials")
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", args[1])
	})
	s, err := Start(Options{Tailnet: f, Dir: args[0], Log: zap.NewNop()})
	for fd := 3; err == nil && fd < 3+len(args[2:]); fd++ {
		err = s.Add(os.NewFile(uintptr(fd), "listener"))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("answers")
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or its parent is
	return 0
}
