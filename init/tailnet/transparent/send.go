package transparent

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// Sizes of struct msghdr and struct mmsghdr, and the most of the latter that the kernel takes.
const (
	wideMessage, wideMessages     = 56, 64
	narrowMessage, narrowMessages = 28, 32
	mostMessages                  = 1024
)

// send answers what sends to an address, without a connection or while it makes one
// (MSG_FASTOPEN, in place of which programs know connect).
func (c *call) send(state State) (intercept.Answer, error) {
	var list []address
	var err error
	flags := c.args[2]
	switch c.op {
	case intercept.Sendto:
		flags = c.args[3]
		list, err = c.addresses(list, c.args[4], c.args[5])
	case intercept.Sendmsg:
		list, err = c.messages(c.args[1], 1)
	default:
		flags = c.args[3]
		list, err = c.messages(c.args[1], min(int(uint32(c.args[2])), mostMessages))
	}
	if err != nil {
		return intercept.Go, err
	}
	for _, a := range list {
		if !inTailnet(a.Addr()) {
			continue
		}
		if flags&unix.MSG_FASTOPEN != 0 {
			return intercept.Fail(unix.EOPNOTSUPP), nil
		}
		if c.op != intercept.Sendto || !state.own(a.Addr()) {
			return intercept.Fail(unix.ENETUNREACH), nil
		}
		return intercept.Go, c.replace(a, c.sockets.inside(a.AddrPort), c.args[4])
	}
	return intercept.Go, nil
}

// addresses appends the address at a place, where it is one of the internet's.
func (c *call) addresses(list []address, at, length uint64) ([]address, error) {
	a, ok, err := c.address(at, length)
	if ok {
		list = append(list, a)
	}
	return list, err
}

// messages reads the addresses of so many struct msghdr or mmsghdr.
func (c *call) messages(at uint64, count int) (list []address, err error) {
	size := wideMessages
	if !c.wide {
		size, at = narrowMessages, uint64(uint32(at))
	}
	b := make([]byte, size*count)
	if c.op == intercept.Sendmsg {
		b = b[:map[bool]int{true: wideMessage, false: narrowMessage}[c.wide]]
	}
	if err := c.read(b, at); err != nil {
		return nil, err
	}
	for ; len(b) > 0; b = b[min(size, len(b)):] {
		name, length := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
		if !c.wide {
			name, length = uint64(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])
		}
		if list, err = c.addresses(list, name, uint64(length)); err != nil {
			return nil, err
		}
	}
	return list, nil
}
