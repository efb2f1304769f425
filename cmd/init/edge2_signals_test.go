package main

import (
	"fmt"
	"os"
	"path/filepath"
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
		args := oddBoxArgs(t, definitions{"web": sh("trap 'echo web says bye; exit 0' TERM; while :; do sleep 0.05; done")}, nil)
		f := startTerminal(t, append(args, controlled()...)...)
		f.says("init | ready after")
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

// testPause stops everything in a box for longer than any of its watches is
// patient, and wants none of them to take that for a failure.
func testPause(t *testing.T, pause func(b *oddBox) (thaw func())) {
	b := startOddBox(t, definitions{
		"dog": perl(`tell_init("READY=1"); for (my $n = 0;; $n++) { tell_init("WATCHDOG=1\nSTATUS=$n"); nap(0.05) }`,
			"Type", "notify", "WatchdogSec", "4s"),
		// This one needs a second of its own before it speaks again.
		"slow": perl(`tell_init("READY=1"); for (my $n = 0;; $n++) { tell_init("WATCHDOG=1\nSTATUS=$n"); nap(0.05) for 1..20 }`,
			"Type", "notify", "WatchdogSec", "4s"),
		"web": perl(`socket(my $l, AF_INET, SOCK_STREAM, 0); setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1);
			bind($l, sockaddr_in(8018, INADDR_ANY)) or die; listen($l, 9); print "listens\n";
			while (accept(my $c, $l)) { print "asked\n"; nap(0.1); print $c "fine\n" }`, "ReadyLine", "listens",
			"Liveness", map[string]any{"TCP": "127.0.0.1:8018", "Expect": "fine", "PeriodSec": "100ms", "TimeoutSec": "2s", "FailureThreshold": 1}),
		"cmd": map[string]any{"ExecStart": []string{"sleep", "600"},
			"Liveness": map[string]any{"Exec": []string{"sh", "-c", "sleep 0.1; echo >>/tmp/asked"}, "PeriodSec": "100ms", "TimeoutSec": "2s", "FailureThreshold": 1}},
	})
	count := func(name string) int {
		n, _ := strconv.Atoi(b.status().service(name).Text)
		return n
	}
	asked := func() int { text, _ := os.ReadFile(b.root("/tmp/asked")); return len(text) }
	b.until("all watches are kept", func() bool {
		return count("dog") > 1 && count("slow") > 0 && strings.Contains(b.String(), "web | asked") && asked() > 0
	})
	before := b.status()
	dog, slow, web, cmd := count("dog"), count("slow"), strings.Count(b.String(), "web | asked"), asked()
	thaw := pause(b)
	<-time.After(6 * time.Second) // longer than each watch is patient, and than a busy machine is slow
	thaw()
	b.says("the container was paused for ")
	b.until("all watches go on", func() bool {
		return count("dog") > dog+3 && count("slow") > slow && asked() > cmd+1 && strings.Count(b.String(), "web | asked") > web+1
	})
	after := b.status()
	for _, name := range []string{"dog", "slow", "web", "cmd"} {
		if was, is := before.service(name), after.service(name); is.Pid != was.Pid || is.Restarts != 0 || is.State != "ready" {
			t.Errorf("%s was %+v and is %+v; the box printed:\n%s", name, was, is, b)
		}
	}
}

// processes are those of the box, by their pids outside, PID 1 first.
func (b *oddBox) processes() []int {
	b.t.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", b.cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	list := []int{b.cmd.Process.Pid}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, link := range links {
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		if ns, err := os.Readlink(link); err == nil && ns == own && pid != list[0] {
			list = append(list, pid)
		}
	}
	return list
}

// freeze is docker pause: the freezer of cgroups.
func (b *oddBox) freeze() (thaw func()) {
	b.t.Helper()
	at, file, frozen, thawed := "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"
	if _, err := os.Stat(at); err != nil { // cgroup v2
		at, file, frozen, thawed = "/sys/fs/cgroup", "cgroup.freeze", "1", "0"
	}
	group := filepath.Join(at, fmt.Sprintf("nix2vast-edge-%d", b.cmd.Process.Pid))
	write := func(path, text string) {
		b.t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.t.Errorf("writing %s: %v", path, err)
		}
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		write(filepath.Join(group, file), thawed)
		_ = b.cmd.Process.Kill()
		<-b.ended
		b.until("the cgroup is gone", func() bool { return os.Remove(group) == nil })
	})
	b.until("all are in the cgroup", func() bool {
		text, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		there := strings.Fields(string(text))
		all := true
		for _, pid := range b.processes() {
			if !slices.Contains(there, strconv.Itoa(pid)) {
				all = false
				_ = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644) // it may have ended
			}
		}
		return all
	})
	tries := 0
	b.until("all are frozen", func() bool {
		// The freezer of cgroup v1 may miss a process that is being forked; runc too
		// asks it again, and now and then lets go first.
		if tries++; tries%50 == 0 {
			write(filepath.Join(group, file), thawed)
		}
		write(filepath.Join(group, file), frozen)
		if file == "cgroup.freeze" {
			text, _ := os.ReadFile(filepath.Join(group, "cgroup.events"))
			return strings.Contains(string(text), "frozen 1")
		}
		text, _ := os.ReadFile(filepath.Join(group, file))
		return strings.TrimSpace(string(text)) == frozen
	})
	return func() { write(filepath.Join(group, file), thawed) }
}

// halt is what is left without a freezer: STOP to each process, PID 1 first, and
// CONT in the same order, so that init looks before the others can speak.
func (b *oddBox) halt() (thaw func()) {
	b.t.Helper()
	var halted []int
	for n := -1; n != len(halted); { // those that were forked meanwhile too
		n = len(halted)
		for _, pid := range b.processes() {
			if !slices.Contains(halted, pid) && unix.Kill(pid, unix.SIGSTOP) == nil {
				halted = append(halted, pid)
			}
		}
	}
	return func() {
		for _, pid := range halted {
			_ = unix.Kill(pid, unix.SIGCONT)
		}
	}
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
