// Stress runs a command while each processor is taken from it now and then, as the host
// of a guest that shares its processors does: for up to 2.5 s, mostly for much less.
// It needs CAP_SYS_NICE, and /proc/sys/kernel/sched_rt_runtime_us at -1 to hold a
// processor for longer than a second.
//
// It is a module of its own, since no rule for what runs in a box is for it.
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	longest = 2500 * time.Millisecond // that a processor is held; half of the times are below an eighth of it
	apart   = time.Second             // on average, between two times
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: stress COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	for cpu := range runtime.NumCPU() {
		failed := make(chan error)
		go hold(cpu, failed)
		if err := <-failed; err != nil {
			fmt.Fprintf(os.Stderr, "stress: processor %d: %v\n", cpu, err)
			os.Exit(2)
		}
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	case err != nil:
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(2)
	}
}

// hold takes one processor at a real-time priority, again and again, once it has said
// whether it may.
func hold(cpu int, failed chan<- error) {
	runtime.LockOSThread()
	err := alone(cpu)
	failed <- err
	for err == nil {
		r := rand.Float64()
		for until := time.Now().Add(time.Duration(r * r * r * float64(longest))); time.Now().Before(until); {
		}
		pause := syscall.NsecToTimespec(int64(2 * rand.Float64() * float64(apart)))
		_ = syscall.Nanosleep(&pause, nil) // its own sleep, and not the scheduler's of Go, which may move it
	}
}

// alone binds the thread to one processor, where nothing else runs while it does.
func alone(cpu int) error {
	const fifo, resetOnFork, priority = 1, 0x40000000, 50 // of sched(7)
	var set [1024 / 64]uint64
	set[cpu/64] = 1 << (cpu % 64)
	if _, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(set), uintptr(unsafe.Pointer(&set))); e != 0 {
		return fmt.Errorf("sched_setaffinity: %w", e)
	}
	param := int32(priority)
	if _, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETSCHEDULER, 0, fifo|resetOnFork, uintptr(unsafe.Pointer(&param))); e != 0 {
		return fmt.Errorf("sched_setscheduler: %w", e)
	}
	return nil
}
