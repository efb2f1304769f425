package boot

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
)

// bootMemory is what boot may take, in bytes, before the garbage collector runs.
const bootMemory = 64 << 20

// hurry puts the garbage collector off: during boot it would take the processor
// from the first login, for memory that releaseMemory gives back at once.
func hurry() {
	growStack()
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(bootMemory)
}

// growStack has the goroutine's stack grow now, while there is little on it to copy. By
// itself it would double with each deeper call, and be copied each time with all frames.
//
//go:noinline
func growStack() {
	var room [24 << 10]byte
	runtime.KeepAlive(&room)
}

// WarmUp makes the tables by which JSON becomes a service, in the background: on the way to
// the first one they are a third of a millisecond.
func WarmUp() {
	go func() {
		defer func() { _ = recover() }() // there is no log yet
		_, _ = services.Parse("warm", []byte("{}"))
	}()
}

// hurryMost is how long a boot at most goes without collecting garbage: one that
// has not settled by then, such as behind a service that is never ready, is none
// that anybody waits for.
const hurryMost = time.Minute

// calm ends the hurry once the boot has settled, or after most.
func calm(settled <-chan struct{}, most time.Duration, release func() error) error {
	select {
	case <-settled:
	case <-time.After(most):
	}
	return release()
}

// releaseMemory gives back what boot needed and waiting does not: the free part
// of the heap, and the pages of our own program, most of which never run again.
// Mapped pages are the last that the kernel takes from a container at its memory
// limit; unmapped ones come back from the page cache when they are wanted.
func releaseMemory() error {
	debug.SetGCPercent(100)
	debug.SetMemoryLimit(math.MaxInt64)
	debug.FreeOSMemory()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding our own program: %w", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("reading our memory map: %w", err)
	}
	for line := range bytes.Lines(maps) {
		// 00400000-007b8000 r-xp 00000000 08:01 1234 /init (proc_pid_maps(5))
		f := bytes.Fields(line)
		if len(f) < 6 || string(f[5]) != self || bytes.ContainsRune(f[1], 'w') {
			continue // what can be written would be lost
		}
		from, to, _ := bytes.Cut(f[0], []byte("-"))
		begin, err1 := strconv.ParseUint(string(from), 16, 64)
		end, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 != nil || err2 != nil {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, uintptr(begin), uintptr(end-begin), unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("releasing %s: %w", f[0], errno)
		}
	}
	return nil
}
