package transparent

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// call is one that waits for an answer.
type call struct {
	*listener
	thread
	id   uint64
	op   intercept.Op
	args [6]uint64
	wide bool // pointers have 64 bits
}

// later answers a call, and returns false where it is to be left to the next run of this program.
type later func() bool

// judge decides what becomes of a call, at once or later.
func (l *listener) judge(n *intercept.Notification) (intercept.Answer, later) {
	op, abi, ok := intercept.Of(n)
	state := l.Tailnet.State()
	if !ok || op == intercept.None || state.Device {
		return intercept.Go, nil
	}
	c := &call{listener: l, id: n.ID, op: op, args: n.Args, wide: abi.Wide,
		thread: thread{id: int(n.Pid), memory: -1, open: l.Memory}}
	answer, wait, err := c.judge(state)
	if wait == nil {
		c.close()
	}
	switch {
	case err == nil:
		return answer, wait
	case errors.Is(err, unix.EFAULT) || errors.Is(err, unix.EIO): // EIO: nothing is mapped there
		return intercept.Fail(unix.EFAULT), nil
	case !intercept.Valid(l.fd, n.ID):
		return intercept.Go, nil // nobody waits any more
	}
	// What cannot be read must not go on: it might be an address of the tailnet.
	if _, said := l.denied.LoadOrStore(c.thread.id, true); !said {
		l.Log.Warn("a process hides what it connects to, and may not", zap.Int("pid", c.thread.id), zap.Error(err))
	}
	return intercept.Fail(unix.EACCES), nil
}

func (c *call) judge(state State) (intercept.Answer, later, error) {
	if c.op == intercept.Socketcall {
		if err := c.unpack(); err != nil {
			return 0, nil, err
		}
	}
	switch c.op {
	case intercept.Connect:
		return c.connect(state)
	case intercept.Bind:
		answer, err := c.bind(state)
		return answer, nil, err
	case intercept.Getsockname, intercept.Getpeername:
		return c.name(state)
	default:
		answer, err := c.send(state)
		return answer, nil, err
	}
}

// unpack reads the arguments of socketcall(2).
func (c *call) unpack() error {
	c.op = intercept.Socketcalls[uint32(c.args[0])]
	var words [6 * 4]byte
	count := map[intercept.Op]int{intercept.Sendto: 6, intercept.Sendmmsg: 4}[c.op]
	if count == 0 {
		count = 3
	}
	if err := c.read(words[:4*count], uint64(uint32(c.args[1]))); err != nil {
		return err
	}
	for i := range c.args {
		c.args[i] = uint64(binary.LittleEndian.Uint32(words[4*i:]))
	}
	return nil
}

// address reads a struct sockaddr; ok is false for what is none of the internet's.
func (c *call) address(at, length uint64) (a address, ok bool, err error) {
	size := int(int32(uint32(length)))
	if size < size4 || size > longest || at == 0 {
		return a, false, nil
	}
	var b [size6]byte
	size = min(size, size6)
	if err := c.read(b[:size], at); err != nil {
		return a, false, err
	}
	a, ok = parse(b[:size])
	return a, ok, nil
}

// replace writes an address over that which the call names.
func (c *call) replace(a address, at netip.AddrPort, where uint64) error {
	if at == a.AddrPort {
		return nil
	}
	a.AddrPort = at
	b := a.sockaddr()
	if !intercept.Valid(c.fd, c.id) { // the number may be another process's by now
		return unix.EFAULT
	}
	// The family, and IPv6's flow, stay; so does its scope, behind the address.
	if err := c.write(b[2:4], where+2); err != nil {
		return err
	}
	if a.wide {
		return c.write(b[8:24], where+8)
	}
	return c.write(b[4:8], where+4)
}

// connect answers connect(2).
func (c *call) connect(state State) (intercept.Answer, later, error) {
	fd, where := int(int32(uint32(c.args[0]))), c.args[1]
	a, ok, err := c.address(where, c.args[2])
	if err != nil || !ok {
		return intercept.Go, nil, err
	}
	x := c.targets.behind(a.Addr())
	if x == nil && !inTailnet(a.Addr()) {
		c.sockets.forget(&c.thread, fd)
		return intercept.Go, nil, nil
	}
	to := a.AddrPort
	if x != nil {
		to = x.to
	}
	if state.own(to.Addr()) {
		err := c.replace(a, c.sockets.inside(to), where)
		if err == nil {
			c.sockets.connected(&c.thread, fd, address{to, a.wide}, false)
		}
		return intercept.Go, nil, err
	}
	if !c.streams(fd) || state.Err != nil {
		return intercept.Fail(unix.ENETUNREACH), nil, nil
	}
	if x, err = c.targets.of(to); err != nil {
		c.Log.Warn("a service cannot be connected", zap.Error(err))
		return intercept.Fail(unix.EADDRNOTAVAIL), nil, nil
	}
	return 0, c.connectTo(x, a, fd, where), nil
}

// connectTo answers once the destination has. A socket that does not block is connected before
// that, should it take longer than patience.
func (c *call) connectTo(x *target, a address, fd int, where uint64) later {
	var late <-chan time.Time
	switch {
	case c.waiting.Load() > slotCount/2: // calls that need no dial must not wait for room
		late = time.After(0)
	case !c.blocking(fd):
		late = time.After(patience)
	}
	return func() bool {
		defer c.thread.close()
		d, err := c.reach(x, late)
		if c.ctx.Err() != nil {
			return false
		}
		answer := intercept.Go
		switch {
		case err != nil:
			answer = errnoOf(err)
		default:
			if err := c.replace(a, x.at, where); err != nil {
				answer = intercept.Fail(unix.ENETUNREACH)
			}
		}
		if answer == intercept.Go {
			c.sockets.connected(&c.thread, fd, address{x.to, a.wide}, true)
		}
		if err := intercept.Send(c.fd, c.id, answer); (err != nil || answer != intercept.Go) && d != nil {
			c.targets.release(d)
		}
		return true
	}
}

// reach dials, and offers the dial to the relay once it has succeeded or it is late.
func (c *call) reach(x *target, late <-chan time.Time) (*dial, error) {
	d := c.targets.spare(x)
	fresh := d == nil
	if fresh {
		d = c.Server.dial(x.to)
	}
	select {
	case <-d.done:
		if d.err != nil {
			c.targets.drop(x, d)
			return nil, d.err
		}
	case <-late:
	}
	if fresh {
		c.targets.offer(x, d)
	}
	return d, nil
}
