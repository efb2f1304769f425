package services

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// WarmThreads makes the Go runtime create n threads now. When the pids cgroup
// is full and the runtime then wants one, it ends the program, and as PID 1 the
// container; parked threads are reused instead. It takes fewer where the cgroup
// has little room, and returns how many it asked for.
func WarmThreads(n int) int {
	n = min(n, pidsLeft()/3)
	var ready, done sync.WaitGroup
	ready.Add(max(n, 0))
	for range n {
		done.Go(func() {
			// A locked goroutine that blocks keeps its thread, so that each
			// needs one of its own; unlocked again, the thread goes to the
			// runtime's pool.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			ready.Wait()
		})
	}
	done.Wait()
	return max(n, 0)
}

// pidsLeft is how many more tasks the cgroup allows; a large number where it
// cannot be read.
func pidsLeft() int {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/pids"} {
		most, err1 := readNumber(dir + "/pids.max")
		current, err2 := readNumber(dir + "/pids.current")
		if err1 == nil && err2 == nil {
			return most - current
		}
	}
	return 1 << 20
}

func readNumber(path string) (int, error) {
	b, err := readProc(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b))) // "max" is no number, and no limit
}
