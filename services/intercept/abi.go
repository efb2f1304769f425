package intercept

import "golang.org/x/sys/unix"

// x32 is the bit in the numbers of the x32 ABI, which x86 has beside its own.
const x32 = 0x40000000

// Both architectures stand here, so that a test of either can look at both: the files of each
// compare the numbers with the kernel's own.
var (
	onAMD64 = []ABI{
		{arch: unix.AUDIT_ARCH_X86_64, Wide: true, x32: true, Calls: map[int32]Op{
			42: Connect, 49: Bind, 51: Getsockname, 52: Getpeername, 44: Sendto, 46: Sendmsg, 307: Sendmmsg,
		}},
		// arch/x86/entry/syscalls/syscall_32.tbl of the kernel.
		{arch: unix.AUDIT_ARCH_I386, Calls: map[int32]Op{
			102: Socketcall, 345: Sendmmsg, 361: Bind, 362: Connect, 367: Getsockname, 368: Getpeername, 369: Sendto, 370: Sendmsg,
		}},
	}
	onARM64 = []ABI{
		{arch: unix.AUDIT_ARCH_AARCH64, Wide: true, Calls: map[int32]Op{
			203: Connect, 200: Bind, 204: Getsockname, 205: Getpeername, 206: Sendto, 211: Sendmsg, 269: Sendmmsg,
		}},
		// arch/arm/tools/syscall.tbl of the kernel.
		{arch: unix.AUDIT_ARCH_ARM, Calls: map[int32]Op{
			282: Bind, 283: Connect, 286: Getsockname, 287: Getpeername, 290: Sendto, 296: Sendmsg, 374: Sendmmsg,
		}},
	}
)
