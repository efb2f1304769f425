package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// Some errors of the kernel are those of broken disks and of a machine that is full
// for everybody. strace puts them in the place of what system calls of PID 1
// return, and leaves everything else as it is.

// output is what a program has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// inject has system calls of all threads of PID 1 fail until end is called. args are
// options of strace(1).
func (e *edge) inject(args ...string) (end func()) {
	e.t.Helper()
	said := &output{}
	args = append([]string{"-f", "-o", os.DevNull, "-p", fmt.Sprint(e.cmd.Process.Pid)}, args...)
	cmd := exec.Command("strace", args...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(unix.SIGINT) // it lets go of PID 1
		_ = cmd.Wait()                      // the signal is its end
	})
	e.t.Cleanup(end)
	e.until("strace is attached", func() bool { return strings.Contains(said.String(), " attached") })
	return end
}

// The disk of the log is broken: each write ends with EIO. It is as where it is full.
func TestEdge09_LogIsOnABrokenDisk(t *testing.T) {
	t.Parallel()
	const current = "/var/log/nix2vast/a/current"
	e := startEdge(t, services{
		script("a", `n=0; while :; do n=$((n+1)); echo line $n of many; sleep 0.02; done`),
	})
	first := e.ready("a", 0)
	e.until("the log is written", func() bool { return strings.Contains(e.read(current), "a | line 1 ") })
	end := e.inject("-P", e.opened(current), "-e", "trace=write", "-e", "inject=write:error=EIO")
	e.says("warn: writing the log file " + current + ": input/output error; lines are kept in memory only")
	e.goesOn()
	e.nextTry()
	if strings.Contains(e.String(), "is written again") {
		t.Error("it is said to be written while it cannot be")
	}
	end()
	e.says("is written again; ")
	e.until("the file says what it lacks", func() bool {
		return strings.Contains(e.read(current), " lines are missing here: input/output error\n")
	})
	if n := strings.Count(e.String(), "warn: writing the log file"); n != 1 {
		t.Errorf("in less than a minute %d warnings came", n)
	}
	if s := e.service("a"); s != first {
		t.Errorf("a was %+v and is %+v", first, s)
	}
}

// opened is the name that the kernel has outside for a file that PID 1 has open.
func (e *edge) opened(file string) string {
	e.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", e.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, entry := range entries {
		if name, err := os.Readlink(dir + "/" + entry.Name()); err == nil && strings.HasSuffix(name, file) {
			return name
		}
	}
	e.t.Fatalf("PID 1 has not opened %s", file)
	return ""
}

// The whole machine has no descriptor left, ENFILE: nothing ends, what ends is
// reaped, and all goes on once there are some, the control socket too.
func TestEdge10_NoDescriptorInTheSystem(t *testing.T) {
	t.Parallel()
	e := startEdge(t, services{
		script("a", "exec sleep 600"),
		script("fresh", "echo runs; exec sleep 601", `"Disabled": true`),
	})
	e.says("init | ready after")
	first := e.ready("a", 0)
	pid := e.outside(first.Pid)
	const calls = "pipe2,openat,socket,accept4,eventfd2,epoll_create1,memfd_create,timerfd_create"
	end := e.inject("-e", "trace="+calls, "-e", "inject="+calls+":error=ENFILE")
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.says("a: the kernel has no room for another process; trying on")
	e.until("it is reaped", func() bool { return unix.Kill(pid, 0) == unix.ESRCH })
	if st, err := e.ask(); err == nil {
		t.Errorf("without a descriptor it answers: %+v", st)
	}
	filters := e.dialFilters()
	e.says("the socket of filters cannot take a connection; trying on")
	end()
	if answer, err := io.ReadAll(filters); err != nil || !strings.HasPrefix(string(answer), "no tailnet is configured") {
		t.Errorf("the socket of filters says %q, %v", answer, err)
	}
	if s := e.ready("a", 1); s.Pid == first.Pid || s.Restarts != 1 {
		t.Errorf("a was %+v and is %+v", first, s)
	}
	e.init("start", "fresh")
	e.says("fresh | runs")
	if n := strings.Count(e.String(), "the kernel has no room"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// dialFilters connects as init run does.
func (e *edge) dialFilters() net.Conn {
	e.t.Helper()
	conn, err := net.Dial("unixpacket", e.path("/run/nix2vast/"+wire.InitFilterSocket))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		e.t.Fatal(err)
	}
	return conn
}
