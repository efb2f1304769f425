package intercept

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data. Both architectures are little-endian.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16 // 8 bytes each
)

// What a filter returns; see seccomp(2).
const (
	retNotify = 0x7fc00000
	retAllow  = 0x7fff0000
	retErrno  = 0x00050000
)

// shortest is the least that an IPv4 address takes. What is shorter is of another family,
// such as netlink, which the C library binds for each list of interfaces.
const shortest = 16

// code is a filter in the making.
type code []unix.SockFilter

func (c *code) load(offset uint32) {
	*c = append(*c, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
}

func (c *code) ret(what uint32) {
	*c = append(*c, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what})
}

// when runs then where the loaded word compares so, and goes on behind it where not.
func (c *code) when(compare uint16, k uint32, then func(*code)) {
	var inner code
	then(&inner)
	*c = append(*c, unix.SockFilter{Code: unix.BPF_JMP | compare | unix.BPF_K, K: k, Jf: uint8(len(inner))})
	*c = append(*c, inner...)
}

func (c *code) equal(k uint32, then func(*code)) { c.when(unix.BPF_JEQ, k, then) }

func (c *code) returnIf(compare uint16, k, what uint32) {
	c.when(compare, k, func(c *code) { c.ret(what) })
}

// filter is the program for the kernel. A call is not asked about where its numbers show
// that it is of no interest: send(2) is sendto without an address.
func filter(abis []ABI) code {
	var c code
	c.load(dataArch)
	for _, abi := range abis {
		c.equal(abi.arch, func(c *code) { abi.filter(c) })
	}
	c.ret(retErrno | uint32(unix.ENOSYS))
	return c
}

func (abi ABI) filter(c *code) {
	c.load(dataNr)
	if abi.x32 {
		c.returnIf(unix.BPF_JGE, x32, retErrno|uint32(unix.ENOSYS))
	}
	c.returnIf(unix.BPF_JEQ, ioUringSetup, retErrno|uint32(unix.ENOSYS))
	for _, nr := range slices.Sorted(maps.Keys(abi.Calls)) {
		c.equal(uint32(nr), func(c *code) { ask(c, abi.Calls[nr], abi.Wide) })
	}
	c.ret(retAllow)
}

// ask ends the filter for one call.
func ask(c *code, op Op, wide bool) {
	switch op {
	case Connect, Bind:
		c.load(dataArgs + 8*2)
		c.returnIf(unix.BPF_JGE, shortest, retNotify)
		c.ret(retAllow)
	case Sendto:
		c.load(dataArgs + 8*4)
		c.equal(0, func(c *code) {
			if wide {
				c.load(dataArgs + 8*4 + 4)
				c.returnIf(unix.BPF_JEQ, 0, retAllow)
			} else {
				c.ret(retAllow)
			}
		})
		c.ret(retNotify)
	case Socketcall:
		c.load(dataArgs)
		for _, call := range slices.Sorted(maps.Keys(Socketcalls)) {
			c.returnIf(unix.BPF_JEQ, call, retNotify)
		}
		c.ret(retAllow)
	default:
		c.ret(retNotify)
	}
}
