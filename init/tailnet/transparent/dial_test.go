package transparent

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// nonBlocking connects without waiting, says so, and then says what it hears of its greeting.
const nonBlocking = `
import select, socket
s = socket.socket()
s.setblocking(False)
s.connect_ex(("100.64.0.2", 80)) # EINPROGRESS
select.select([], [s], [])
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), flush=True)
s.setblocking(True)
s.sendall(b'hello')
print(s.recv(5).decode())
`

// TestDialOnce: of a destination that is slow, a program that does not wait for it is connected
// by the dial that was begun for it. The destination sees no second one.
func TestDialOnce(t *testing.T) {
	f, echo := newFake(), newFake()
	at := netip.AddrPortFrom(peer, 80)
	echo.echo(t, at)
	answer := make(chan struct{})
	f.at(at, func(ctx context.Context) (net.Conn, error) {
		select {
		case <-answer:
			return echo.Dial(ctx, "tcp", at.String())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	s := server(t, f)
	out := start(t, s, "python3", "-c", nonBlocking)
	if line := out.next(t); line != "0" {
		t.Errorf("connect ends with %s", line)
	}
	close(answer)
	if line := out.next(t); line != "hello" {
		t.Errorf("got %q", line)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dials != 1 {
		t.Errorf("%d dials", f.dials)
	}
}

// TestDialSpare: of the dials whose calls were given up, one under way or done is taken by the next call,
// and one that has failed is not.
func TestDialSpare(t *testing.T) {
	f := newFake()
	s := server(t, f)
	at := netip.AddrPortFrom(peer, 80)
	x, err := s.targets.of(at)
	if err != nil {
		t.Fatal(err)
	}
	refused := s.dial(at) // nobody listens
	<-refused.done
	s.targets.offer(x, refused)
	s.targets.release(refused)
	if s.targets.spare(x) != nil {
		t.Error("a call is told of an old failure")
	}
	f.echo(t, at)
	good := s.dial(at)
	s.targets.offer(x, good)
	s.targets.release(good)
	if s.targets.spare(x) != good {
		t.Error("a dial under way is not taken")
	}
}

// TestDialAgain: where a dial is not answered, another one is made while it is still worth it, for
// programs that block and for such that do not.
func TestDialAgain(t *testing.T) {
	for _, argv := range [][]string{
		{"/proc/self/exe", "client", "echo", "100.64.0.2:80"}, // Go's sockets do not block
		{"python3", "-c", "import socket\ns = socket.socket()\ns.connect(('100.64.0.2', 80))\ns.sendall(b'ok')\nprint(s.recv(5).decode())"},
	} {
		t.Run(argv[0], func(t *testing.T) {
			t.Parallel()
			f, echo := newFake(), newFake()
			at := netip.AddrPortFrom(peer, 80)
			echo.echo(t, at)
			lost := make(chan struct{}, 1)
			lost <- struct{}{}
			f.at(at, func(ctx context.Context) (net.Conn, error) {
				select {
				case <-lost:
					<-ctx.Done()
					return nil, ctx.Err()
				default:
					return echo.Dial(ctx, "tcp", at.String())
				}
			})
			if out := run(t, server(t, f), argv...); !strings.HasPrefix(out, "ok") {
				t.Errorf("%q", out)
			}
		})
	}
}
