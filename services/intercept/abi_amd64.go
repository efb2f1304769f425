package intercept

import "golang.org/x/sys/unix"

var abis = onAMD64

// These do not compile where a number is another than the kernel's.
var (
	_ [0]struct{} = [42 - unix.SYS_CONNECT]struct{}{}
	_ [0]struct{} = [49 - unix.SYS_BIND]struct{}{}
	_ [0]struct{} = [51 - unix.SYS_GETSOCKNAME]struct{}{}
	_ [0]struct{} = [52 - unix.SYS_GETPEERNAME]struct{}{}
	_ [0]struct{} = [44 - unix.SYS_SENDTO]struct{}{}
	_ [0]struct{} = [46 - unix.SYS_SENDMSG]struct{}{}
	_ [0]struct{} = [307 - unix.SYS_SENDMMSG]struct{}{}
)
