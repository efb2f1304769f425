package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a box with a terminal, as `docker run -it` makes it.
type terminal struct {
	*foreground
	master *os.File // what is written here was typed
}

// startTerminal starts a box whose stdin, stdout and stderr are a new terminal
// without echo. args are those of the program box, less its name.
func startTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	slave := openSlave(t, master)
	defer slave.Close()
	f := &foreground{t: t, ended: make(chan struct{})}
	f.start(slave, slave, args)
	go func() {
		defer close(f.ended)
		_, _ = io.Copy(f, master) // ends with EIO once nobody has the slave open
		_ = f.cmd.Wait()          // the code is looked at
	}()
	return &terminal{f, master}
}

func openSlave(t *testing.T, master *os.File) *os.File {
	t.Helper()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	mode.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, mode); err != nil {
		t.Fatal(err)
	}
	return slave
}

// controlled makes init the leader of the terminal's session, as engines do.
func controlled(command ...string) []string {
	return append([]string{"-exec", "/usr/bin/setsid", "-c", "/init"}, command...)
}

// shell is an interactive bash that prints no prompt.
func shell(t *testing.T) *terminal {
	t.Helper()
	f := startTerminal(t, append([]string{"-e", "PS1="}, controlled("bash", "--norc", "--noediting", "-m")...)...)
	f.types("echo begins with $-\n")
	f.says("begins with ")
	return f
}

func (f *terminal) types(keys string) {
	f.t.Helper()
	if _, err := f.master.WriteString(keys); err != nil {
		f.t.Fatal(err)
	}
}

// runs waits until the main command has a child of that name. The shells that
// know job control give the terminal to a program before they exec it.
func (f *terminal) runs(name string) {
	f.t.Helper()
	f.until(name+" runs", func() bool { return strings.Contains(f.descendants(), name) })
}

// dumb-init: tty_test.py, test_tty.
func TestTerminal(t *testing.T) {
	f := startTerminal(t, controlled("tac")...)
	f.says("main: ready")
	f.types("a\nb\nc\n\x04")
	f.wantCode(0)
	f.wantLines("c", "b", "a")
}

// A terminal that controls another session, as one that was passed on by a
// program without giving it away, is an ordinary stdin.
func TestTerminalOfAnotherSession(t *testing.T) {
	f := startTerminal(t, "tac")
	f.says("main: ready")
	f.types("a\nb\nc\n\x04")
	f.wantCode(0)
	f.wantLines("c", "b", "a")
}

// dumb-init: test_child_gets_controlling_tty_if_we_had_one.
func TestTerminalHasJobControl(t *testing.T) {
	f := shell(t)
	f.types("exit 7\n")
	f.wantCode(7)
	flags := strings.TrimPrefix(f.lines()[0], "begins with ")
	if len(f.lines()) != 2 || !strings.Contains(flags, "m") || !strings.Contains(flags, "i") {
		t.Errorf("bash, which should have job control, printed %q", f.lines())
	}
}

// Ctrl-C ends the foreground job alone: neither the shell nor the box.
func TestTerminalCtrlCReachesTheJob(t *testing.T) {
	f := shell(t)
	f.types("sleep 300\n")
	f.runs("sleep")
	f.types("\x03")
	f.types("echo code $?\n")
	f.says("code 130")
	f.types("exit 7\n")
	f.wantCode(7)
	if strings.Contains(f.String(), "SIGINT") {
		t.Errorf("the Ctrl-C reached init:\n%s", f)
	}
}

// Ctrl-Z stops the foreground job alone.
func TestTerminalCtrlZReachesTheJob(t *testing.T) {
	f := shell(t)
	f.types("sleep 300\n")
	f.runs("sleep")
	f.types("\x1a")
	f.says("Stopped")
	f.types("kill -KILL %1; while kill -0 %1; do :; done; exit 7\n")
	f.wantCode(7)
}

// Without a shell in between the main command has the terminal's signals for
// itself: each once, and none from having been given the terminal
// (dumb-init: test_sighup_sigcont_ignored_if_was_session_leader).
func TestTerminalSignalsReachTheMainCommand(t *testing.T) {
	f := startTerminal(t, controlled("bash", "-c", recorder)...)
	f.says("armed")
	if err := unix.IoctlSetWinsize(int(f.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 132}); err != nil {
		t.Fatal(err)
	}
	f.says("got 28")
	want := []string{"armed", "got 28"}
	for _, key := range []struct{ typed, got string }{{"\x03", "got 2"}, {"\x1c", "got 3"}, {"\x1a", "got 20"}} {
		f.types(key.typed)
		f.says(key.got + "\r\n")
		want = append(want, key.got)
	}
	f.send(unix.SIGHUP)
	f.says("got 1\r\n")
	want = append(want, "got 1")
	if got := f.lines(); !slices.Equal(got, want) {
		t.Errorf("the main command got %q, want %q", got, want)
	}
}

// What a Ctrl-Z stops without a shell in between nobody could wake.
func TestTerminalCtrlZDoesNotFreezeTheMainCommand(t *testing.T) {
	f := startTerminal(t, controlled("bash", "-c",
		`trap 'echo goes on' CONT; trap 'exit 5' INT; echo armed; while :; do read -r -t 0.02; done`)...)
	f.says("armed")
	f.types("\x1a")
	f.says("goes on")
	f.types("\x03")
	f.wantCode(5)
}
