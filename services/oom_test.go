package services

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOutOfMemoryIsOnesOwn: that the kernel once took another process is no reason
// for a kill of today.
func TestOutOfMemoryIsOnesOwn(t *testing.T) {
	b := run(t, Options{})
	count := uint64(7)
	kernel := func(more uint64, pids ...int) { // kills for want of memory
		t.Helper()
		err := b.ask(b.ctx, func() {
			count += more
			for _, pid := range pids {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			for _, pid := range pids { // so that one pass of the reaper finds all
				_ = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := b.ask(b.ctx, func() { b.kills, b.oomKills = count, func() (uint64, bool) { return count, true } }); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for _, name := range []string{"a", "b", "c", "d"} {
		svc := sh(name, "exec sleep 60")
		svc.Restart = RestartNo
		b.add(svc)
		pids[name] = b.untilState(name, Ready).Pid
	}
	const plain, oom = "killed by SIGKILL", "killed by SIGKILL (out of memory)"
	kernel(1) // somebody else's process
	pass := sh("pass", "true")
	pass.Type = Oneshot
	b.add(pass)
	b.untilState("pass", Done)
	kernel(0, pids["a"])
	if s := b.untilState("a", Failed); s.Note != plain {
		t.Errorf("long after: %q", s.Note)
	}
	kernel(1, pids["b"])
	if s := b.untilState("b", Failed); s.Note != oom {
		t.Errorf("taken by the kernel: %q", s.Note)
	}
	kernel(1, pids["c"], pids["d"])
	if c, d := b.untilState("c", Failed).Note, b.untilState("d", Failed).Note; (c == oom) == (d == oom) {
		t.Errorf("one kill for %q and %q", c, d)
	}
}

// TestOrphansAreCheap: the count of kills is read where an orphan's end may be one of them,
// and not for each of thousands that end by themselves.
func TestOrphansAreCheap(t *testing.T) {
	b := run(t, Options{})
	b.add(sh("mother", "for n in 0 1; do (sleep 60 & echo $! >"+b.dir+"/orphan$n); done; echo both; exec sleep 60"))
	b.untilLine("mother", "both")
	for n, c := range []struct {
		signal unix.Signal
		want   int
	}{{unix.SIGTERM, 0}, {unix.SIGKILL, 1}} {
		text, err := os.ReadFile(filepath.Join(b.dir, fmt.Sprint("orphan", n)))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		reads := 0
		err = b.ask(b.ctx, func() {
			kills := b.oomKills
			b.oomKills = func() (uint64, bool) { reads++; return 0, true }
			defer func() { b.oomKills = kills }()
			_ = unix.Kill(pid, c.signal)
			_ = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			b.reap()
		})
		if err != nil {
			t.Fatal(err)
		}
		if reads != c.want {
			t.Errorf("%v: the count was read %d times, want %d", c.signal, reads, c.want)
		}
	}
}

// TestExpendable holds that what we start counts for more than init where memory is
// short, and for little more on a large machine that it shares.
func TestExpendable(t *testing.T) {
	for _, c := range []struct {
		file, text string
		limit      uint64
		want       int
	}{
		{"memory.max", "134217728\n", 128 << 20, 500},
		{"memory.max", "max\n", 0, 100},
		{"memory/memory.limit_in_bytes", "67108864\n", 64 << 20, 800},
		{"memory/memory.limit_in_bytes", "9223372036854771712\n", 9223372036854771712, 100},
		{"memory.events", "oom_kill 1\n", 0, 100},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, c.file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		limit := memoryLimitIn(dir)
		if got := expendable(limit); limit != c.limit || got != c.want {
			t.Errorf("%s %q: a limit of %d, and %d; want %d and %d", c.file, c.text, limit, got, c.limit, c.want)
		}
	}
}
