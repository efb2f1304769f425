package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// MAINPID= may name any process of the service, and no other.
func TestEdge26_MainPID(t *testing.T) {
	t.Parallel()
	const notify = "notify"
	b := startOddBox(t, definitions{
		"other": sh("exec sleep 600"),
		// The first process hands over to its child and ends.
		"child": perl(`my $c = fork; if (!$c) { nap(600); exit } tell_init("MAINPID=$c\nREADY=1"); print "child $c\n"; nap(0.2); exit 7`, "Type", notify),
		// A grandchild in a session of its own, whose parent is gone: found by its INVOCATION_ID.
		"grandchild": perl(`use POSIX; pipe(my $r, my $w); if (!fork) { if (!fork) { POSIX::setsid(); print $w "$$\n"; close $w; nap(600) } exit }
			close $w; my $g = <$r>; chomp $g; nap(0.1); tell_init("MAINPID=$g\nREADY=1"); print "grandchild $g\n"; nap(0.2); exit 7`, "Type", notify),
		"thief": perl(`nap(0.05) until -s "/tmp/other"; open(my $f, "/tmp/other"); my $o = <$f>; chomp $o;
			tell_init("MAINPID=$_") for (1, $o, 4000000, getppid() + 0, "x"); tell_init("READY=1"); nap(600)`, "Type", notify),
	})
	// thief waits for the test, which keeps the boot from being over.
	b.until("init answers", func() bool { return b.status().service("thief").State == "starting" })
	if err := os.WriteFile(b.root("/tmp/other.new"), fmt.Appendf(nil, "%d\n", b.is("other", "ready").Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.root("/tmp/other.new"), b.root("/tmp/other")); err != nil {
		t.Fatal(err)
	}
	thief := b.is("thief", "ready")
	if other := b.status().service("other"); thief.Pid == other.Pid || thief.Restarts+other.Restarts != 0 {
		t.Errorf("thief is %+v, other %+v", thief, other)
	}
	b.says(fmt.Sprintf("thief: MAINPID=%d is refused: that is no process of the service", b.status().service("other").Pid))
	b.says("thief: MAINPID=4000000 is refused")
	for _, name := range []string{"child", "grandchild"} {
		b.is(name, "ready")
		b.says(" | " + name + " ")
		_, rest, _ := strings.Cut(b.String(), " | "+name+" ")
		line, _, _ := strings.Cut(rest, "\n")
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		b.until("the first process of "+name+" is gone", func() bool { return len(b.status().service(name).Pids) > 0 && !b.hasChild(name, pid) })
		if svc := b.status().service(name); svc.Pid != pid || svc.State != "ready" || svc.Restarts != 0 {
			t.Errorf("%s is %+v, its main process should be %d", name, svc, pid)
		}
		// It is tracked: its end is the service's.
		b.must("kill", "-KILL", line)
		b.until(name+" is started again", func() bool { return b.status().service(name).Restarts == 1 })
	}
	b.stop(0, 9*time.Second)
}

// hasChild says whether PID 1 still has a child of that service's script besides pid.
func (b *oddBox) hasChild(name string, pid int) bool {
	b.t.Helper()
	for child := range b.children() {
		text, _ := os.ReadFile("/proc/" + child + "/cmdline")
		status, _ := os.ReadFile("/proc/" + child + "/status")
		if strings.Contains(string(text), `print "`+name+` `) && !strings.Contains(string(status), fmt.Sprintf("\t%d\n", pid)) {
			return true
		}
	}
	return false
}

// A process hangs in the kernel and not even KILL ends it, as one in an ioctl of
// a GPU that fell off its bus. What makes it hang here is a file system in user
// space (FUSE) that takes a question and never answers: the kernel waits for the
// answer without taking signals. init ends within its budget all the same.
func TestEdge27_HangsInTheKernel(t *testing.T) {
	t.Parallel()
	b := startOddBox(t, definitions{
		"hung": {"ExecStart": []string{"cat", "/mnt/hang/file"}, "Disabled": true, "TimeoutStopSec": "300ms"},
		"web":  sh("exec sleep 600"),
	}, "-e", "NIX2VAST_STOP_TIMEOUT=2s")
	b.booted()
	asked, release := b.hang("/mnt/hang")
	b.must("init", "start", "hung")
	b.until("it hangs", func() bool {
		select {
		case <-asked:
			return true
		default:
			return false
		}
	})
	hung := b.is("hung", "ready")
	if out, code := b.in("timeout", "1", "init", "stop", "hung"); code == 0 {
		t.Errorf("a stop of what hangs is said to have succeeded: %s", out)
	}
	b.until("it is in state D", func() bool {
		stat, _ := os.ReadFile(b.root(fmt.Sprintf("/proc/%d/stat", hung.Pid)))
		return strings.Contains(string(stat), ") D ")
	})
	b.lives() // and the others are supervised as ever
	b.must("init", "restart", "web")
	began := time.Now()
	b.send(unix.SIGTERM)
	b.says("init | ended with exit code 0")
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the end took %v, more than the budget; the box printed:\n%s", took, b)
	}
	// The kernel lets PID 1 go only once nobody is left in its namespace.
	release()
	b.wantCode(0)
}

// hang mounts a file system in the box that never answers. asked is closed when
// somebody hangs in it; release lets them go.
func (b *oddBox) hang(dir string) (asked <-chan struct{}, release func()) {
	b.t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Fatalf("opening /dev/fuse: %v", err)
	}
	b.must("mkdir", "-p", dir)
	passed := os.NewFile(uintptr(fd), "/dev/fuse")
	defer passed.Close()
	mount := exec.Command("nsenter", "-t", fmt.Sprint(b.cmd.Process.Pid), "-m", "-r", "mount", "-i", "-n", "-t", "fuse",
		"-o", "fd=3,rootmode=40000,user_id=0,group_id=0", "hang", dir)
	mount.ExtraFiles = []*os.File{passed}
	if out, err := mount.CombinedOutput(); err != nil {
		b.t.Fatalf("mounting a file system that hangs: %v: %s", err, out)
	}
	// Not blocking, so that closing it ends the reader, and with that all questions.
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(own, true)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	f := os.NewFile(uintptr(own), "/dev/fuse")
	b.t.Cleanup(func() { f.Close() })
	question := make(chan struct{})
	go serveHang(f, question)
	return question, func() { f.Close() }
}

// serveHang answers the kernel's first question, FUSE_INIT, closes asked at the
// first LOOKUP, and answers nothing else. See linux/fuse.h.
func serveHang(f *os.File, asked chan<- struct{}) {
	const opLookup, opInit = 1, 26
	b := make([]byte, 1<<20)
	for told := false; ; {
		n, err := f.Read(b)
		if err != nil || n < 40 {
			return // closed
		}
		switch op := binary.NativeEndian.Uint32(b[4:]); {
		case op == opInit:
			answer := make([]byte, 16+64) // fuse_out_header, fuse_init_out
			binary.NativeEndian.PutUint32(answer, uint32(len(answer)))
			copy(answer[8:16], b[8:16]) // unique
			binary.NativeEndian.PutUint32(answer[16:], 7)
			binary.NativeEndian.PutUint32(answer[20:], 31)
			binary.NativeEndian.PutUint32(answer[36:], 4096) // max_write, behind flags and max_background
			if _, err := f.Write(answer); err != nil {
				return
			}
		case op == opLookup && !told:
			told = true
			close(asked)
		}
	}
}
