package services

import (
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// onMain takes what has to run on the main thread: a supervisor, whose services and
// their orphans are that thread's children as they are in the program.
var onMain = make(chan func())

func init() { runtime.LockOSThread() }

// TestMain makes the test binary what init is in a container: the reaper of
// orphans, on its main thread. It is its own shim.
func TestMain(m *testing.M) {
	if IsShim() {
		ShimMain()
	}
	if len(os.Args) > 1 && os.Args[1] == "say" {
		say(os.Args[2:])
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	child := make(chan os.Signal, 1)
	signal.Notify(child, unix.SIGCHLD)
	code := make(chan int, 1)
	go func() { code <- m.Run() }()
	for {
		select {
		case c := <-code:
			os.Exit(c)
		case do := <-onMain:
			do()
		case <-child:
			for {
				pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG|unix.WNOTHREAD, nil)
				if err != syscall.EINTR && (err != nil || pid <= 0) {
					break
				}
			}
		}
	}
}
