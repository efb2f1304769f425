package intercept

import "golang.org/x/sys/unix"

var abis = onARM64

// These do not compile where a number is another than the kernel's.
var (
	_ [0]struct{} = [203 - unix.SYS_CONNECT]struct{}{}
	_ [0]struct{} = [200 - unix.SYS_BIND]struct{}{}
	_ [0]struct{} = [204 - unix.SYS_GETSOCKNAME]struct{}{}
	_ [0]struct{} = [205 - unix.SYS_GETPEERNAME]struct{}{}
	_ [0]struct{} = [206 - unix.SYS_SENDTO]struct{}{}
	_ [0]struct{} = [211 - unix.SYS_SENDMSG]struct{}{}
	_ [0]struct{} = [269 - unix.SYS_SENDMMSG]struct{}{}
)
