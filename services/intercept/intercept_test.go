package intercept

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// simulate runs a filter over a call, as the kernel does.
func simulate(t *testing.T, c code, arch uint32, nr uint32, args ...uint64) uint32 {
	t.Helper()
	var data [64]byte
	binary.LittleEndian.PutUint32(data[dataNr:], nr)
	binary.LittleEndian.PutUint32(data[dataArch:], arch)
	for i, a := range args {
		binary.LittleEndian.PutUint64(data[dataArgs+8*i:], a)
	}
	var word uint32
	for at := 0; at < len(c); at++ {
		i := c[at]
		jump := func(yes bool) {
			if yes {
				at += int(i.Jt)
			} else {
				at += int(i.Jf)
			}
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			word = binary.LittleEndian.Uint32(data[i.K:])
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(word == i.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(word >= i.K)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %d: %+v", at, i)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

// TestFilter asks for each call of each architecture what becomes of it, by the programs of
// both machines that we build for.
func TestFilter(t *testing.T) {
	t.Run("amd64", func(t *testing.T) { testFilter(t, onAMD64) })
	t.Run("arm64", func(t *testing.T) { testFilter(t, onARM64) })
}

func testFilter(t *testing.T, abis []ABI) {
	c := filter(abis)
	const enosys = retErrno | uint32(unix.ENOSYS)
	if got := simulate(t, c, 1, 42, 3, 4, 16); got != enosys {
		t.Errorf("of an unknown architecture: %#x", got)
	}
	for _, abi := range abis {
		for nr, op := range abi.Calls {
			for _, k := range []struct {
				args []uint64
				want map[Op]uint32 // what is not listed is asked about
			}{
				{[]uint64{3, 4, 16, 0, 1, 16}, nil},
				{[]uint64{3, 4, 110, 0, 1 << 40, 16}, map[Op]uint32{Sendto: map[bool]uint32{true: retNotify, false: retAllow}[abi.Wide]}},
				{[]uint64{3, 4, 15, 0, 0, 0}, map[Op]uint32{Connect: retAllow, Bind: retAllow, Sendto: retAllow}},
				{[]uint64{3, 4, 1 << 31, 0, 1, 16}, nil}, // a length below zero is the kernel's to refuse
				{[]uint64{5, 4, 16, 0, 1, 16}, map[Op]uint32{Socketcall: retAllow}},
			} {
				want, listed := k.want[op]
				if !listed {
					want = retNotify
				}
				if got := simulate(t, c, abi.arch, uint32(nr), k.args...); got != want {
					t.Errorf("%#x, call %d(%v): %#x, want %#x", abi.arch, nr, k.args, got, want)
				}
			}
		}
		if got := simulate(t, c, abi.arch, ioUringSetup, 1, 2); got != enosys {
			t.Errorf("%#x: io_uring_setup: %#x", abi.arch, got)
		}
		if got := simulate(t, c, abi.arch, 1, 1, 2, 3); got != retAllow {
			t.Errorf("%#x: another call: %#x", abi.arch, got)
		}
		if got := simulate(t, c, abi.arch, x32|42, 3, 4, 16); abi.x32 && got != enosys {
			t.Errorf("x32: %#x", got)
		}
	}
}
