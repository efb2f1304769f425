package transparent

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// bind answers bind(2).
func (c *call) bind(state State) (intercept.Answer, error) {
	fd, where := int(int32(uint32(c.args[0]))), c.args[1]
	a, ok, err := c.address(where, c.args[2])
	if err != nil || !ok {
		return intercept.Go, err
	}
	if state.own(a.Addr()) {
		return c.bindHome(a, fd, where)
	}
	self, joined := state.first()
	if !joined || !c.onInterface(a, where) {
		return intercept.Go, nil
	}
	if !c.streams(fd) {
		return intercept.Go, nil
	}
	at, err := c.sockets.choose(c.fd, where, a.AddrPort)
	if err != nil {
		return intercept.Go, nil // the kernel says it better
	}
	if err := c.replace(a, at, where); err != nil {
		return intercept.Go, err
	}
	c.sockets.bound(&c.thread, fd, address{netip.AddrPortFrom(self, at.Port()), a.wide})
	c.sockets.serve(at)
	return intercept.Go, nil
}

// onInterface is true for a bind of any port on an address of an interface.
func (c *call) onInterface(a address, where uint64) bool {
	ip := a.Addr()
	return ip.Is4() && !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsMulticast() &&
		(a.Port() == 0 || c.sockets.again(c.fd, where, a.AddrPort))
}

// bindHome binds where the tailnet's own address is served in the box.
func (c *call) bindHome(a address, fd int, where uint64) (intercept.Answer, error) {
	at, err := c.sockets.choose(c.fd, where, netip.AddrPortFrom(home(a.Addr()), a.Port()))
	if err != nil {
		return intercept.Fail(unix.EADDRINUSE), nil
	}
	if err := c.replace(a, at, where); err != nil {
		return intercept.Go, err
	}
	c.sockets.bound(&c.thread, fd, address{netip.AddrPortFrom(a.Addr(), at.Port()), a.wide})
	return intercept.Go, nil
}

// name answers getsockname(2) and getpeername(2).
func (c *call) name(state State) (intercept.Answer, later, error) {
	if c.sockets.empty() {
		return intercept.Go, nil, nil
	}
	inode, ok := c.inode(int(int32(uint32(c.args[0]))))
	if !ok {
		return intercept.Go, nil, nil
	}
	r := c.sockets.of(inode)
	told := r.peer
	if c.op == intercept.Getsockname {
		told = r.local
		if self, joined := state.first(); !told.IsValid() && r.peer.IsValid() && joined {
			return c.own(inode, r, self)
		}
	}
	if !told.IsValid() || told.Addr().Is6() && !told.wide {
		return intercept.Go, nil, nil
	}
	answer, err := c.tell(told)
	return answer, nil, err
}

// acceptTime is how long the relay takes at most to accept what has been connected to it.
const acceptTime = time.Second

// own answers getsockname(2) for a socket that is connected to the tailnet, once its port is known.
func (c *call) own(inode uint64, r record, self netip.Addr) (intercept.Answer, later, error) {
	told := func(port uint16) (intercept.Answer, error) {
		if port == 0 {
			return intercept.Go, nil
		}
		return c.tell(address{netip.AddrPortFrom(self, port), r.peer.wide})
	}
	select {
	case port := <-r.port:
		r.again(port)
		answer, err := told(port)
		return answer, nil, err
	default:
	}
	wait := acceptTime
	if r.port == nil { // the relay has no part in it
		wait = 0
	}
	return 0, func() bool {
		defer c.thread.close()
		var port uint16
		select {
		case port = <-r.port:
			r.again(port)
		case <-time.After(wait):
			port = c.port(inode)
		case <-c.ctx.Done():
			return false
		}
		answer, err := told(port)
		if err != nil {
			answer = intercept.Fail(unix.EFAULT)
		}
		_ = intercept.Send(c.fd, c.id, answer) // ENOENT: nobody waits any more
		return true
	}, nil
}

// tell writes an address as getsockname(2) does.
func (c *call) tell(a address) (intercept.Answer, error) {
	var length [4]byte
	if err := c.read(length[:], c.args[2]); err != nil {
		return intercept.Go, err
	}
	b := a.sockaddr()
	room := int(int32(binary.LittleEndian.Uint32(length[:])))
	if room < 0 {
		return intercept.Fail(unix.EINVAL), nil
	}
	binary.LittleEndian.PutUint32(length[:], uint32(len(b)))
	if !intercept.Valid(c.fd, c.id) {
		return intercept.Go, unix.EFAULT
	}
	if err := c.write(b[:min(room, len(b))], c.args[1]); err != nil {
		return intercept.Go, err
	}
	return intercept.Done, c.write(length[:], c.args[2])
}
