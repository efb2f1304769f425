package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// dumb-init: test_proxies_signals with --rewrite. TERM and its like are orders to
// stop whatever they become.
func TestForegroundRewritesSignals(t *testing.T) {
	t.Parallel()
	for n, c := range []struct {
		setting string
		send    []syscall.Signal
		want    []int
	}{
		{"1:31,31:1", []syscall.Signal{1, 31, 10}, []int{31, 1, 10}},
		{"15:2", []syscall.Signal{1, 15}, []int{1, 2}},
		{"SIGTERM:INT INT:15 3:3", []syscall.Signal{3, 2}, []int{3, 15}},
		{"USR2:TERM", []syscall.Signal{10, 12}, []int{10, 15}},
		{"10:0,HUP:0,TERM:0", []syscall.Signal{10, 12, 1, 15, 14}, []int{12, 14}}, // not even an order to stop
		{"TSTP:0,TTIN:TERM", []syscall.Signal{20, 21}, []int{15}},
	} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { // the setting has what a path of an overlay must not have
			t.Parallel()
			f := startForeground(t, idle(t), "-e", "NIX2VAST_SIGNALS="+c.setting, "bash", "-c", recorder)
			f.says("armed")
			want := []string{"armed"}
			for i, n := 0, 0; i < len(c.send); i++ {
				f.until("every signal is caught", func() bool { return f.catches(c.send[i]) })
				f.send(c.send[i])
				if n < len(c.want) && !strings.Contains(c.setting, fmt.Sprint(int(c.send[i]), ":0")) && !f.drops(c.setting, c.send[i]) {
					want = append(want, fmt.Sprintf("got %d", c.want[n]))
					f.says(want[len(want)-1] + "\n")
					n++
				} else {
					f.says("dropped signal " + unix.SignalName(c.send[i]))
				}
			}
			if got := f.lines(); strings.Join(got, ",") != strings.Join(want, ",") {
				t.Errorf("the main command got %q, want %q", got, want)
			}
			if c.setting == "15:2" {
				f.says("stopping: got SIGTERM")
			} else if strings.Contains(f.String(), "stopping: got SIGTERM") {
				t.Errorf("it was taken for an order to stop:\n%s", f)
			}
		})
	}
}

// drops says whether a setting drops a signal by its name.
func (f *foreground) drops(setting string, sig syscall.Signal) bool {
	return strings.Contains(setting, strings.TrimPrefix(unix.SignalName(sig), "SIG")+":0")
}

// A setting that cannot be read changes nothing, and is said.
func TestForegroundBadRewrite(t *testing.T) {
	t.Parallel()
	f := startForeground(t, idle(t), "-e", "NIX2VAST_SIGNALS=USR1:USR2,TERM:NOPE", "bash", "-c", recorder)
	f.says(`settings: NIX2VAST_SIGNALS: "TERM:NOPE" is not of the form TERM:INT`)
	f.says("armed")
	f.send(unix.SIGUSR1)
	f.says("got 10\n")
	f.send(unix.SIGTERM)
	f.wantCode(9)
}

// dumb-init: test_child_processes with --single-child; tini without -g. Of a
// pipeline only the main command gets the signal.
func TestForegroundAloneGetsSignals(t *testing.T) {
	t.Parallel()
	const text = `sleep 300 | sleep 301 | sleep 302 | sleep 303 & trap 'echo got 10' USR1; trap 'exit 9' TERM; echo armed; while :; do read -r -t 0.02; done`
	f := startForeground(t, idle(t), "-e", "NIX2VAST_SIGNAL_SCOPE=process", "bash", "-c", text)
	f.says("armed")
	sleeps := func() int { return strings.Count(f.descendants(), "sleep") }
	f.until("the pipeline runs", func() bool { return sleeps() == 4 })
	f.send(unix.SIGUSR1)
	f.says("got 10\n")
	if n := sleeps(); n != 4 {
		t.Errorf("%d of 4 are left", n)
	}
	f.send(unix.SIGTERM)
	f.wantCode(9)

	f = startForeground(t, idle(t), "bash", "-c", text)
	f.says("armed")
	f.until("the pipeline runs", func() bool { return sleeps() == 4 })
	f.send(unix.SIGUSR1)
	f.says("got 10\n")
	f.until("none is left", func() bool { return sleeps() == 0 })
}

// tini: test of signals; what ends the main command is the exit code.
func TestForegroundEndsByItsSignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGINT} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			f := startForeground(t, nil, "sleep", "300")
			f.says("main: ready")
			f.until("every signal is caught", func() bool { return f.catches(sig) })
			f.send(sig)
			f.wantCode(128 + int(sig))
		})
	}
}

// dumb-init: test_working_directory. init itself keeps no directory busy.
func TestForegroundInitIsInTheRoot(t *testing.T) {
	t.Parallel()
	f := startForeground(t, idle(t), "-exec", "/bin/sh", "-c", "cd /usr/lib && exec /init sh -c 'pwd; read -r x'")
	f.says("/usr/lib\n")
	proc := fmt.Sprintf("/proc/%d/", f.cmd.Process.Pid)
	root, err := os.Readlink(proc + "root")
	if err != nil {
		t.Fatal(err)
	}
	f.until("init is in the root", func() bool { dir, _ := os.Readlink(proc + "cwd"); return dir == root })
}

// tini: reaping_test as a subreaper, and -p. Where another program is PID 1, orphans
// come to init all the same; and the kernel tells it of its parent's end where it was
// asked to, which the main command then hears.
func TestForegroundBelowAnotherPID1(t *testing.T) {
	t.Parallel()
	const orphans = `for n in {1..50}; do (sh -c 'sh -c : & sh -c : & :' &); done; `
	args := append(edgeArgs(t, services{}), "-exec", "/bin/bash", "-c", `mkfifo /tmp/parent /tmp/never; exec 0<>/tmp/never
		bash -c 'setpriv --pdeathsig USR1 /init boot bash -c "$0" 0<>/tmp/never & read -r x </tmp/parent' "$0"; read -r x`, orphans+recorder)
	f := startForeground(t, idle(t), args...)
	e := &edge{f}
	f.says("armed")
	f.says("init | ready after")
	f.until("no zombie is left", func() bool {
		return e.inside("sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || :") == "0\n"
	})
	e.inside("sh", "-c", "echo >/tmp/parent")
	f.says("got 10\n")
}
