package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The file system of the log is full, then read-only: services go on, their lines
// are kept in memory, it is said once, and the file is written again by itself.
func TestEdge09_LogCannotBeWritten(t *testing.T) {
	t.Parallel()
	const dir = "/var/log/nix2vast"
	e := startEdge(t, services{
		script("a", `n=0; while :; do n=$((n+1)); printf 'line %d %01000d\n' $n 0; sleep 0.02; done`),
	}, prelude("mkdir -p "+dir+" && mount -t tmpfs -o size=64k,mode=755 tmpfs "+dir)...)
	first := e.ready("a", 0)
	file := e.path(dir + "/a/current")
	e.until("the log is written", func() bool { b, _ := os.ReadFile(file); return strings.Contains(string(b), "a | line 1 ") })

	// It takes 64 lines.
	e.says("warn: writing the log file " + dir + "/")
	if !strings.Contains(e.String(), "no space left on device; lines are kept in memory only") {
		t.Errorf("the reason is not given:\n%s", e)
	}
	e.goesOn()
	e.nextTry()
	// A file that could not be written is closed, and opened by its path again.
	e.inside("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", dir)
	e.goesOn()
	e.nextTry()
	if strings.Contains(e.String(), "is written again") {
		t.Error("it is said to be written while it cannot be")
	}
	e.inside("sh", "-c", "umount "+dir+" && mount -o remount,size=10m "+dir)
	e.says("is written again; ")
	e.until("the file says what it lacks", func() bool {
		b, _ := os.ReadFile(file)
		return strings.Contains(string(b), " lines are missing here: read-only file system\n")
	})
	if n := strings.Count(e.String(), "warn: writing the log file"); n != 1 {
		t.Errorf("in less than a minute %d warnings came", n)
	}
	if s := e.service("a"); s != first {
		t.Errorf("a was %+v and is %+v", first, s)
	}
}

// nextTry waits until a file that cannot be written has been tried again, which is
// due within a second.
func (e *edge) nextTry() {
	e.t.Helper()
	until := time.Now().Add(1200 * time.Millisecond)
	e.until("a try is over", func() bool { return time.Now().After(until) })
}

// goesOn waits for more lines of service a, on the output and in memory.
func (e *edge) goesOn() {
	e.t.Helper()
	was := e.lastLine()
	e.until("lines come", func() bool { return e.lastLine() > was+10 })
	if text := e.init("logs", "-n", "1", "a"); !strings.Contains(text, " a | line ") {
		e.t.Errorf("init logs prints %q", text)
	}
}

// lastLine is the number of the last line of service a on the output.
func (e *edge) lastLine() int {
	text := e.String()
	_, text, _ = strings.Cut(text[max(0, strings.LastIndex(text, "a | line ")):], "line ")
	text, _, _ = strings.Cut(text, " ")
	n, _ := strconv.Atoi(text)
	return n
}

// PID 1 gets no descriptor any more: nothing ends, what ends is reaped, and all
// goes on once there are some.
func TestEdge10_NoDescriptorLeft(t *testing.T) {
	t.Parallel()
	e := startEdge(t, services{
		script("a", "exec sleep 600"),
		script("fresh", "echo runs; exec sleep 601", `"Disabled": true`),
	})
	e.says("init | ready after")
	first := e.ready("a", 0)
	pid := strconv.Itoa(e.outside(first.Pid))
	old := e.limitFiles(0)
	e.inside("kill", "-KILL", strconv.Itoa(first.Pid))
	e.says("a: the kernel has no room for another process; trying on")
	if _, err := os.Stat("/proc/" + pid); err == nil {
		t.Error("the process that ended was not reaped")
	}
	e.limitFiles(old)
	if s := e.ready("a", 1); s.Pid == first.Pid || s.Restarts != 1 {
		t.Errorf("a was %+v and is %+v", first, s)
	}
	e.init("start", "fresh")
	e.says("fresh | runs")
	if n := strings.Count(e.String(), "the kernel has no room"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
}

// limitFiles sets LimitNOFILE of PID 1 and returns what it was.
func (e *edge) limitFiles(soft uint64) uint64 {
	e.t.Helper()
	var old unix.Rlimit
	pid := e.cmd.Process.Pid
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &old); err != nil {
		e.t.Fatal(err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: old.Max}, nil); err != nil {
		e.t.Fatal(err)
	}
	return old.Cur
}

// The container may not have one process more: PID 1 lives, answers more
// questions at once than it has threads, and starts what it could not later.
func TestEdge11_NoProcessLeft(t *testing.T) {
	t.Parallel()
	e := startEdge(t, services{script("a", "exec sleep 600")})
	e.says("init | ready after")
	first := e.ready("a", 0)
	group := newGroup(t, "pids")
	group.add(e.cmd.Process.Pid)
	var tasks int
	var since time.Time
	e.until("its threads are warm", func() bool {
		if now := group.number("pids.current"); now != tasks {
			tasks, since = now, time.Now()
		}
		// They are made one after the other; it is over when no more come.
		return tasks >= 24 && time.Since(since) > 500*time.Millisecond
	})
	group.set("pids.max", "1")
	if err := unix.Kill(e.outside(first.Pid), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	e.waits("a", "without room", func(s service) bool { return strings.HasPrefix(s.Note, "waits for room: ") })
	var questions sync.WaitGroup
	for range 64 {
		questions.Go(func() {
			if st, err := e.ask(); err != nil || st.Phase == "" {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
	questions.Wait()
	e.until("it was tried again", func() bool { return group.refusals() >= 3 })
	if n := strings.Count(e.String(), "the kernel has no room"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	group.set("pids.max", "max")
	if s := e.ready("a", 1); s.Pid == first.Pid {
		t.Errorf("a is %+v", s)
	}
}

// A service that takes more memory than the container has is ended by the kernel.
// It is said so, and PID 1 is not the one that is taken, be the service many
// small processes.
func TestEdge12_OutOfMemory(t *testing.T) {
	t.Parallel()
	const hog = `my @x; push @x, "a$$" x (1 << 18) while 1`
	const crowd = `for (1 .. 300) { next if fork; my $x = "a$$" x (1 << 18); sleep 600 } sleep 600`
	// PID 1 is in its group from the start, and finds that where engines show it.
	hold, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer release.Close()
	f := &foreground{t: t, ended: make(chan struct{})}
	f.start(hold, f, append(edgeArgs(t, services{
		script("a", "exec sleep 600"),
		program("hog", []string{`"Disabled": true`, `"Restart": "no"`}, "perl", "-e", hog),
		program("crowd", []string{`"Disabled": true`, `"Restart": "no"`}, "perl", "-e", crowd),
	}), prelude("read -r go; exec unshare -C sh -c '"+showGroup+"exec /init'")...))
	hold.Close()
	go func() {
		defer close(f.ended)
		_ = f.cmd.Wait() // the box is looked at
	}()
	e := &edge{f}
	group := newGroup(t, "memory")
	group.limitMemory(128 << 20)
	group.add(e.cmd.Process.Pid)
	if _, err := release.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	first := e.ready("a", 0)

	e.init("start", "hog")
	s := e.waits("hog", "ended", func(s service) bool { return s.State == "failed" })
	if want := (service{State: "failed", Note: "killed by SIGKILL (out of memory)", Result: "oom-kill", ExitCode: 137}); s != want {
		t.Errorf("hog is %+v, want %+v", s, want)
	}
	if own, its := e.oomScore(e.cmd.Process.Pid), e.oomScore(e.outside(first.Pid)); its != own+500 {
		t.Errorf("oom_score_adj of PID 1 is %d, of a service %d, in 128 MiB", own, its)
	}
	kills := group.kills()
	e.init("start", "crowd")
	e.until("some of the crowd are taken", func() bool {
		// Those that are taken free enough for the others, or their parent is taken with them.
		return group.kills() > kills+3 || e.service("crowd").State == "failed"
	})
	e.init("stop", "crowd")
	if s := e.service("a"); s != first {
		t.Errorf("a was %+v and is %+v", first, s)
	}
}

func (e *edge) oomScore(pid int) int {
	e.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	n, err2 := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || err2 != nil {
		e.t.Fatal(err, err2)
	}
	return n
}

// group is a control group of the test's own.
type group struct {
	t   *testing.T
	dir string
	v2  bool
}

// newGroup makes one for a controller, in the hierarchy of version 1 where that
// has the controller, else in the one of version 2.
func newGroup(t *testing.T, controller string) *group {
	t.Helper()
	g := &group{t: t, dir: filepath.Join("/sys/fs/cgroup", controller)}
	if _, err := os.Stat(g.dir); err != nil {
		g.dir, g.v2 = "/sys/fs/cgroup", true
		g.set("cgroup.subtree_control", "+"+controller)
	}
	g.dir = filepath.Join(g.dir, fmt.Sprintf("nix2vast-test-%d-%s", os.Getpid(), strings.ToLower(t.Name())))
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Fatalf("making a control group, which takes root: %v", err)
	}
	t.Cleanup(func() { // after the box's, which was made before: it is moved out first
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(20 * time.Second); unix.Rmdir(g.dir) != nil && time.Now().Before(deadline); <-tick.C {
			for pid := range strings.FieldsSeq(g.get("cgroup.procs")) {
				_ = os.WriteFile(filepath.Join(filepath.Dir(g.dir), "cgroup.procs"), []byte(pid), 0) // it may have ended
			}
		}
	})
	return g
}

func (g *group) set(file, value string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0); err != nil {
		g.t.Fatal(err)
	}
}

func (g *group) get(file string) string {
	b, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		g.t.Error(err)
	}
	return strings.TrimSpace(string(b))
}

func (g *group) number(file string) int {
	g.t.Helper()
	n, err := strconv.Atoi(g.get(file))
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// add moves a process and its threads in.
func (g *group) add(pid int) { g.t.Helper(); g.set("cgroup.procs", strconv.Itoa(pid)) }

// refusals is how often somebody in it did not get a process.
func (g *group) refusals() (n int) {
	g.t.Helper()
	if _, err := fmt.Sscanf(g.get("pids.events"), "max %d", &n); err != nil {
		g.t.Fatal(err)
	}
	return n
}

func (g *group) limitMemory(bytes int) {
	g.t.Helper()
	if g.v2 {
		g.set("memory.max", strconv.Itoa(bytes))
		return
	}
	g.set("memory.limit_in_bytes", strconv.Itoa(bytes))
}

// kills is how many processes of it the kernel has ended for want of memory.
func (g *group) kills() (n int) {
	g.t.Helper()
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	for line := range strings.Lines(g.get(file)) {
		if _, err := fmt.Sscanf(line, "oom_kill %d", &n); err == nil {
			return n
		}
	}
	g.t.Fatalf("%s does not tell", file)
	return 0
}

// showGroup mounts the memory controller where engines do, which show a container
// its own group as the root.
const showGroup = `
	mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/memory &&
	mount -t cgroup -o memory cgroup /sys/fs/cgroup/memory ||
	{ umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; }
`
