package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of foreground*_test.go hold `init COMMAND...` to the cases that tini
// (test/run_inner_tests.py) and dumb-init (tests/) publish, each in a real box.

// foreground is a box that runs a main command.
type foreground struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	out bytes.Buffer // what came on stdout and stderr
}

// startForeground starts a box with the arguments of the program box, less its name.
func startForeground(t *testing.T, stdin io.Reader, args ...string) *foreground {
	t.Helper()
	f := &foreground{t: t, ended: make(chan struct{})}
	f.start(stdin, f, args)
	go func() {
		defer close(f.ended)
		_ = f.cmd.Wait() // the code is looked at
	}()
	return f
}

func (f *foreground) start(stdin io.Reader, out io.Writer, args []string) {
	f.t.Helper()
	args = append([]string{f.t.TempDir()}, args...)
	o, err := parseBox(args)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.cmd, err = startBox(o, args, stdin, out, out); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		<-f.ended
	})
}

// Write takes what the box prints.
func (f *foreground) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(b)
}

// String is what the box has printed so far.
func (f *foreground) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.String()
}

// until polls a condition for a minute.
func (f *foreground) until(what string, holds func() bool) {
	f.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited in vain until %s; the box printed:\n%s", what, f)
		}
	}
}

// says waits until the box has printed a text.
func (f *foreground) says(text string) {
	f.t.Helper()
	f.until("it says "+text, func() bool { return strings.Contains(f.String(), text) })
}

// send sends a signal to PID 1, from outside as an engine does.
func (f *foreground) send(sig syscall.Signal) {
	f.t.Helper()
	if err := f.cmd.Process.Signal(sig); err != nil {
		f.t.Fatal(err)
	}
}

// code waits for the end of the box and returns its exit code.
func (f *foreground) code() int {
	f.t.Helper()
	f.until("it ends", func() bool {
		select {
		case <-f.ended:
			return true
		default:
			return false
		}
	})
	return exitCode(f.cmd)
}

// wantCode waits for the end and compares the exit code.
func (f *foreground) wantCode(want int) {
	f.t.Helper()
	if got := f.code(); got != want {
		f.t.Errorf("exit code %d, want %d; the box printed:\n%s", got, want, f)
	}
}

// wantLines waits for the end and compares what the main command printed: all
// lines but those of init's log.
func (f *foreground) wantLines(want ...string) {
	f.t.Helper()
	f.code()
	if got := f.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		f.t.Errorf("the main command printed\n%q, want\n%q", got, want)
	}
}

func (f *foreground) lines() []string {
	var own []string
	for line := range strings.Lines(f.String()) {
		if line = strings.TrimRight(line, "\r\n"); !strings.Contains(line, " | ") {
			own = append(own, line)
		}
	}
	return own
}

// children are the processes whose parent is PID 1 of the box, by their pid
// outside, with their states: one letter of proc_pid_stat(5).
func (f *foreground) children() map[string]string {
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", f.cmd.Process.Pid))
	if err != nil {
		f.t.Fatal(err)
	}
	states := map[string]string{}
	for pid := range strings.FieldsSeq(string(list)) {
		stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
		if err != nil {
			continue // reaped since
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		states[pid] = rest[:1]
	}
	return states
}

// dumb-init: test_exit_status_regular_exit; tini: exit codes 0 to 255.
func TestForegroundExitCode(t *testing.T) {
	// One box, in which PID 1 runs init in a PID namespace of its own for each code.
	f := startForeground(t, nil, "-exec", "/bin/sh", "-c",
		`n=0; while [ $n -lt 256 ]; do
			timeout 20 unshare --fork --pid --mount-proc /init sh -c "exit $n" 2>/dev/null </dev/null
			echo $n $?; n=$((n+1)); done`)
	var want []string
	for n := range 256 {
		want = append(want, fmt.Sprintf("%d %[1]d", n))
	}
	f.wantLines(want...)
}

// dumb-init: test_exit_status_terminated_by_signal.
func TestForegroundKilledBySignal(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGKILL, unix.SIGUSR1, unix.SIGSEGV, unix.SIGPIPE, unix.SIGTERM, 34} {
		t.Run(fmt.Sprint(int(sig)), func(t *testing.T) {
			f := startForeground(t, nil, "sh", "-c", fmt.Sprintf("kill -%d $$", sig))
			f.wantCode(128 + int(sig))
		})
	}
}

// dumb-init: test_exit_status.py, the command that does not exist.
func TestForegroundCannotStart(t *testing.T) {
	for _, c := range []struct {
		command string
		code    int
		says    string
	}{
		{"/doesnotexist", 127, "main: failed: could not be started: exec /doesnotexist: no such file or directory"},
		{"doesnotexist", 127, "main: failed: could not be started: doesnotexist: file does not exist in PATH /"},
		{"/etc/passwd", 126, "main: failed: could not be started: exec /etc/passwd: permission denied"},
		{"/tmp", 126, "main: failed: could not be started: exec /tmp: permission denied"},
	} {
		t.Run(c.command, func(t *testing.T) {
			f := startForeground(t, nil, c.command)
			f.wantCode(c.code)
			f.says(c.says)
		})
	}
}

// dumb-init: test_working_directory.
func TestForegroundWorkingDirectory(t *testing.T) {
	f := startForeground(t, nil, "-exec", "/bin/sh", "-c", "cd /usr/lib && exec /init sh -c pwd")
	f.wantLines("/usr/lib")
}

// The main command's stdin is the container's, whatever it is.
func TestForegroundStdin(t *testing.T) {
	t.Run("a pipe", func(t *testing.T) {
		f := startForeground(t, strings.NewReader("c\nb\na\n"), "tac")
		f.wantLines("a", "b", "c")
		f.wantCode(0)
	})
	t.Run("/dev/null", func(t *testing.T) {
		f := startForeground(t, nil, "cat")
		f.wantLines()
		f.wantCode(0)
	})
	t.Run("closed", func(t *testing.T) {
		// As a Go program sees to it: the runtime opens /dev/null in its place.
		f := startForeground(t, nil, "-exec", "/bin/sh", "-c", "exec /init readlink /proc/self/fd/0 <&-")
		f.wantLines("/dev/null")
		f.wantCode(0)
	})
	t.Run("closed with the others", func(t *testing.T) {
		f := startForeground(t, nil, "-exec", "/bin/sh", "-c", "exec /init sh -c 'exit 5' <&- >&- 2>&-")
		f.wantCode(5)
	})
}

// tini: its children begin with the signals ignored and blocked that tini itself
// did. Those of a Go program cannot: before main begins the runtime has put
// handlers in the place of what was ignored, and has unblocked what it needs
// itself. A child begins with the default actions, and with none of the signals
// blocked that end a program, which is what programs expect.
func TestForegroundSignalsOfTheChild(t *testing.T) {
	status := []string{"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}
	t.Run("from a clean start", func(t *testing.T) {
		f := startForeground(t, nil, status...)
		f.wantSignals(0)
	})
	unclean := []string{"-exec", "/usr/bin/env", "--ignore-signal=TTOU,SEGV,INT,PIPE,HUP", "--block-signal=TTIN,ILL,TERM", "/init"}
	t.Run("from an unclean one", func(t *testing.T) {
		f := startForeground(t, nil, append(unclean, status...)...)
		f.wantSignals(1 << (unix.SIGTTIN - 1))
	})
	t.Run("and init gets a TERM that was blocked", func(t *testing.T) {
		f := startForeground(t, nil, append(unclean, "sleep", "300")...)
		f.says("main: ready")
		f.send(unix.SIGTERM)
		f.says("stopping: got SIGTERM")
	})
}

// wantSignals checks what the main command wrote of its own: these signals
// blocked, and none ignored. 32 and 33 belong to the C library: Go leaves them as
// they were, and a parent may have had them ignored.
func (f *foreground) wantSignals(blocked uint64) {
	f.t.Helper()
	f.wantCode(0)
	var got [2]uint64
	if _, err := fmt.Sscanf(strings.Join(f.lines(), " "), "SigBlk: %x SigIgn: %x", &got[0], &got[1]); err != nil {
		f.t.Fatalf("the main command printed %q: %v", f.lines(), err)
	}
	const libc = 1<<(32-1) | 1<<(33-1)
	if got[0]&^libc != blocked || got[1]&^libc != 0 {
		f.t.Errorf("blocked are %#x and ignored %#x, want %#x and none", got[0], got[1], blocked)
	}
}

// tini: reaping_test. The tree's middle generations die; nothing of it stays.
func TestForegroundLeavesNoZombies(t *testing.T) {
	f := startForeground(t, idle(t), "bash", "-c",
		`for n in {1..100}; do (sh -c 'sh -c : & sh -c : & :' & ) ; done; echo planted; read -r; exit 6`)
	f.says("planted")
	f.says("init | ready after")
	f.until("no zombie is left", func() bool {
		for _, state := range f.children() {
			if state == "Z" {
				return false
			}
		}
		return len(f.children()) == 2 // sshd and the main command
	})
}

// dumb-init: test_child_processes, with setsid: every process of a pipeline gets
// the TERM, not only the one whose exit code counts.
func TestForegroundPipeline(t *testing.T) {
	const part = `sh -c 'trap "echo $0 dies >&2; exit" TERM; echo armed >&2; while :; do sleep 300; done' `
	f := startForeground(t, nil, "sh", "-c", part+"1 | "+part+"2 | "+part+"3 | "+part+"4")
	f.until("all four are armed", func() bool { return strings.Count(f.String(), "armed\n") == 4 })
	f.send(unix.SIGTERM)
	f.code()
	for n := 1; n <= 4; n++ {
		// Twice where it is slower to end than the shell: what that leaves behind gets another.
		if !strings.Contains(f.String(), fmt.Sprintf("%d dies\n", n)) {
			t.Errorf("part %d did not get a TERM:\n%s", n, f)
		}
	}
}

// dumb-init: test_all_processes_receive_term_on_exit_if_setsid. What a main
// command leaves behind, be it in a session of its own, gets a TERM; what
// survives that does not keep init from ending.
func TestForegroundEndsWhatIsLeftBehind(t *testing.T) {
	const script = `mkfifo /tmp/armed /tmp/never; exec 3<>/tmp/armed 4<>/tmp/never
		orphan='trap "echo $0 got TERM; $1" TERM; echo armed >&3; while :; do read -r <&4; done'
		setsid bash -c "$orphan" tame exit &
		setsid bash -c "$orphan" wild : &
		read -r <&3; read -r <&3; exit 3`
	f := startForeground(t, nil, "bash", "-c", script)
	f.wantCode(3)
	for _, name := range []string{"tame", "wild"} {
		if strings.Count(f.String(), name+" got TERM\n") != 1 {
			t.Errorf("the %s orphan did not get one TERM:\n%s", name, f)
		}
	}
}
