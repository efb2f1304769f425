package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder prints the number of every signal that it gets, and ends with exit
// code 9 when told to by TERM. It waits by read, since the end of a child would
// add a CHLD, and in small parts, since WINCH does not end bash's read.
const recorder = `
	for n in {1..31}; do trap "echo got $n" $n; done
	trap 'echo got 15; exit 9' TERM
	echo armed
	while :; do read -r -t 0.02; done`

// idle is a stdin that brings nothing and does not end before the test does.
func idle(t *testing.T) io.Reader {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r
}

// dumb-init: test_proxies_signals; tini: signal_test.
func TestForegroundGetsSignals(t *testing.T) {
	f := startForeground(t, idle(t), "bash", "-c", recorder)
	f.says("armed")
	want := []string{"armed"}
	for n := syscall.Signal(1); n < 32; n++ {
		switch n {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD:
		case unix.SIGTERM, unix.SIGINT, unix.SIGPWR: // orders to stop
		case unix.SIGURG, unix.SIGPROF, unix.SIGPIPE:
			// The first two end in the Go runtime, which uses them itself. PIPE
			// looks the same when the kernel sends it since init's log has lost
			// its reader, and the main command must not die of that.
			f.send(n)
		default:
			f.send(n)
			f.says(fmt.Sprintf("got %d\n", n))
			want = append(want, fmt.Sprintf("got %d", n))
		}
	}
	f.send(unix.SIGTERM)
	f.wantCode(9)
	f.wantLines(append(want, "got 15")...)
}

// An order to stop reaches the main command as it came, RTMIN+3 as TERM; what it then
// ends with is the container's exit code.
func TestForegroundIsStopped(t *testing.T) {
	const rtmin3 = syscall.Signal(37)
	for sig, got := range map[syscall.Signal]int{unix.SIGTERM: 15, unix.SIGINT: 2, unix.SIGPWR: 30, rtmin3: 15} {
		t.Run(fmt.Sprint(int(sig)), func(t *testing.T) {
			f := startForeground(t, idle(t), "bash", "-c", strings.ReplaceAll(recorder, "trap 'echo got 15; exit 9' TERM",
				fmt.Sprintf("trap 'echo got %d; exit 9' %[1]d", got)))
			f.says("armed")
			f.until("every signal is caught", func() bool { return f.catches(sig) })
			f.send(sig)
			f.wantCode(9)
			// The CONT is for a command that a TSTP had stopped.
			isCont := func(line string) bool { return line == "got 18" }
			want := []string{"armed", fmt.Sprint("got ", got)}
			if got := slices.DeleteFunc(f.lines(), isCont); !slices.Equal(got, want) {
				t.Errorf("the main command got %q, want %q", got, want)
			}
		})
	}
	t.Run("by its default action", func(t *testing.T) {
		f := startForeground(t, nil, "sleep", "300")
		f.says("main: ready")
		f.send(unix.SIGTERM)
		f.wantCode(128 + 15)
	})
	t.Run("while a TSTP has stopped it", func(t *testing.T) {
		f := startForeground(t, idle(t), "bash", "-c", `trap 'exit 9' TERM; echo armed; while :; do read -r; done`)
		f.says("armed")
		f.send(unix.SIGTSTP)
		f.mainIs("T")
		f.send(unix.SIGTERM)
		f.wantCode(9)
	})
}

// catches tells from /proc whether PID 1 has a handler for a signal.
func (f *foreground) catches(sig syscall.Signal) bool {
	return signalSet(f.t, fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid), "SigCgt")>>(sig-1)&1 == 1
}

func signalSet(t *testing.T, file, field string) (set uint64) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), field+":")
	if _, err := fmt.Sscanf(rest, "%x", &set); err != nil {
		t.Fatalf("%s of %s: %v", field, file, err)
	}
	return set
}

// mainIs waits until the main command is in a state of proc_pid_stat(5).
func (f *foreground) mainIs(state string) {
	f.t.Helper()
	f.until("the main command is in state "+state, func() bool {
		for pid, s := range f.children() {
			exe, err := os.Readlink(filepath.Join("/proc", pid, "exe"))
			if err == nil && filepath.Base(exe) == "bash" && s == state {
				return true
			}
		}
		return false
	})
}

// dumb-init: test_shell_background_support_*. PID 1 cannot stop itself; its main
// command stops and goes on.
func TestForegroundStopsAndGoesOn(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			f := startForeground(t, idle(t), "bash", "-c", "echo armed; read -r")
			f.says("armed")
			f.until("every signal is caught", func() bool { return f.catches(sig) })
			f.send(sig)
			f.mainIs("T")
			f.send(unix.SIGCONT)
			f.mainIs("S")
		})
	}
}

// The whole of init is stopped from outside, and goes on.
func TestForegroundOfAStoppedInit(t *testing.T) {
	f := startForeground(t, idle(t), "bash", "-c", recorder)
	f.says("armed")
	f.send(unix.SIGSTOP)
	stat := fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid)
	f.until("PID 1 is stopped", func() bool {
		b, err := os.ReadFile(stat)
		return err == nil && strings.Contains(string(b), ") T ")
	})
	f.send(unix.SIGUSR1) // waits for the CONT
	f.send(unix.SIGCONT)
	f.says("got 10")
	f.send(unix.SIGTERM)
	f.wantCode(9)
}

// A second order to stop does not wait for a main command that takes its time.
func TestForegroundIsKilledBySecondSignal(t *testing.T) {
	f := startForeground(t, idle(t), "-e", "NIX2VAST_STOP_TIMEOUT=1h", "bash", "-c",
		`trap 'echo not yet' TERM; echo armed; while :; do read -r; done`)
	f.says("armed")
	f.send(unix.SIGTERM)
	f.says("not yet")
	began := time.Now()
	f.send(unix.SIGTERM)
	f.wantCode(128 + 9)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// tini: test of -g. The main command outlives the signal, what it started does not.
func TestForegroundGroupGetsSignals(t *testing.T) {
	f := startForeground(t, nil, "bash", "-c", `trap : USR1; echo armed; sleep 300; exit $?`)
	f.says("armed")
	f.until("sleep runs", func() bool { return strings.Contains(f.descendants(), "sleep") })
	f.send(unix.SIGUSR1)
	f.wantCode(128 + 10)
}

// descendants are the names of all processes below those of children.
func (f *foreground) descendants() string {
	var names []string
	for pid := range f.children() {
		list, _ := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
		for child := range strings.FieldsSeq(string(list)) {
			name, _ := os.ReadFile(filepath.Join("/proc", child, "comm"))
			names = append(names, string(name))
		}
	}
	return strings.Join(names, " ")
}
