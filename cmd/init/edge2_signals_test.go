package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ctrl-C where docker run -it has no command is an order to stop; a main command
// gets it from the terminal, and from nobody else.
func TestEdge16_CtrlC(t *testing.T) {
	t.Parallel()
	t.Run("without a main command", func(t *testing.T) {
		t.Parallel()
		args := oddBoxArgs(t, definitions{"web": sh("trap 'echo web says bye; exit 0' TERM; echo web armed; while :; do sleep 0.05; done")}, nil)
		f := startTerminal(t, append(args, controlled()...)...)
		f.says("init | ready after")
		f.says("web armed")
		f.types("\x03")
		f.wantCode(0)
		for _, text := range []string{"stopping: got SIGINT", "web says bye"} {
			if strings.Count(f.String(), text) != 1 {
				t.Errorf("%q is not there once:\n%s", text, f)
			}
		}
	})
	t.Run("with a main command", func(t *testing.T) {
		t.Parallel()
		f := startTerminal(t, controlled("bash", "-c", recorder)...)
		f.says("armed")
		f.types("\x03")
		f.says("got 2\r\n")
		f.send(unix.SIGUSR1) // what came twice came before this
		f.says("got 10\r\n")
		if got := f.lines(); !slices.Equal(got, []string{"armed", "got 2", "got 10"}) {
			t.Errorf("the main command got %q", got)
		}
		if strings.Contains(f.String(), "stopping") {
			t.Errorf("the Ctrl-C reached init:\n%s", f)
		}
	})
}

// Every signal there is, from inside: none ends PID 1 but the orders to stop.
func TestEdge17_SignalsFromInside(t *testing.T) {
	t.Parallel()
	orders := []int{2, 15, 30, 37} // INT, TERM, PWR, RTMIN+3
	t.Run("all others", func(t *testing.T) {
		t.Parallel()
		// KILL and STOP too: from inside the kernel drops them.
		script := `my %order = map { $_ => 1 } (2, 15, 30, 37);
			for my $round (1..3) { for my $n (1..64) { next if $order{$n}; kill($n, 1) == 1 or die "signal $n: $!" } }
			print "all sent\n"; nap(600)`
		b := startOddBox(t, definitions{"sender": perl(script)})
		b.says("sender | all sent")
		b.booted()
		// For one without a handler it is a matter of luck that the kernel drops it: see
		// handleTheRest in package boot.
		for n := syscall.Signal(1); n <= 64; n++ {
			if n != unix.SIGKILL && n != unix.SIGSTOP {
				b.until(fmt.Sprintf("signal %d is caught", n), func() bool { return b.catches(n) })
			}
		}
		b.lives()
		b.never("BUG")
		b.stop(0, 9*time.Second)
	})
	for _, n := range orders {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			b := startOddBox(t, definitions{"web": sh("exec sleep 600")})
			b.booted()
			b.in("perl", "-e", fmt.Sprintf("kill(%d, 1) == 1 or die $!", n)) // it may be killed with the others
			b.wantCode(0)
			b.says("stopping: got ")
		})
	}
}

// What the verbs of an engine do to a container.
func TestEdge18_Engine(t *testing.T) {
	t.Parallel()
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		const script = `trap 'echo %s ends; exit 0' TERM; echo %[1]s armed; while :; do sleep 0.05; done`
		base, web := sh(fmt.Sprintf(script, "base")), sh(fmt.Sprintf(script, "web"))
		web["After"] = []string{"base"}
		deaf := sh("trap '' TERM; echo deaf armed; while :; do sleep 0.05; done")
		b := startOddBox(t, definitions{"base": base, "web": web, "deaf": deaf}, "-e", "NIX2VAST_STOP_TIMEOUT=2s")
		for _, name := range []string{"base", "web", "deaf"} {
			b.says(name + " | " + name + " armed")
		}
		b.booted()
		b.stop(0, 5*time.Second)
		text := b.String()
		if at := strings.Index(text, "web ends"); at < 0 || at > strings.Index(text, "base ends") {
			t.Errorf("web does not end before base, which it is After:\n%s", text)
		}
	})
	t.Run("kill -s", func(t *testing.T) {
		t.Parallel()
		args := oddBoxArgs(t, definitions{"web": sh("exec sleep 600")}, nil)
		b := &oddBox{dir: t.TempDir(), socket: "/run/nix2vast/control.sock"}
		b.again(t, nil, args...)
		b.booted()
		for _, sig := range []syscall.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGQUIT, unix.SIGSEGV, unix.SIGALRM} {
			b.send(sig)
		}
		b.says("ignored signal SIGALRM")
		b.lives()
		b.send(unix.SIGKILL) // nothing can tidy up
		b.wantCode(128 + 9)
		b.again(t, nil, args...) // docker restart
		b.is("web", "ready")
		b.lives()
		b.stop(0, 9*time.Second)
		b.again(t, nil, args...)
		b.is("web", "ready")
	})
	t.Run("pause", func(t *testing.T) {
		t.Parallel()
		testPause(t, (*oddBox).freeze)
	})
	t.Run("pause by signals", func(t *testing.T) {
		t.Parallel()
		testPause(t, (*oddBox).halt)
	})
}

// init itself is stopped by the host, and misses nothing that matters.
func TestEdge28_InitIsStopped(t *testing.T) {
	t.Parallel()
	b := startOddBox(t, definitions{"web": sh("exec sleep 600"), "api": sh("exec sleep 600")})
	b.booted()
	was := b.is("web", "ready")
	b.is("api", "ready")
	var web string
	for pid := range b.children() {
		status, _ := os.ReadFile("/proc/" + pid + "/status")
		if strings.Contains(string(status), fmt.Sprintf("\t%d\n", was.Pid)) {
			web = pid
		}
	}
	b.send(unix.SIGSTOP)
	b.until("PID 1 is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	pid, err := strconv.Atoi(web)
	if err != nil {
		t.Fatalf("web, process %d, is not among %v", was.Pid, b.children())
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.until("web is a zombie", func() bool { return b.children()[web] == "Z" })
	b.send(unix.SIGCONT)
	b.until("web runs again", func() bool {
		svc := b.status().service("web")
		return svc.State == "ready" && svc.Restarts == 1 && svc.Pid != was.Pid
	})
	if svc := b.status().service("api"); svc.State != "ready" || svc.Restarts != 0 {
		t.Errorf("api is %+v", svc)
	}
	b.lives()
	b.stop(0, 9*time.Second)
}
