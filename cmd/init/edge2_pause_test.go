package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

// Pauses that are too short to tell from a busy machine cost no watchdog and no probe
// that is less patient than they are long: its time is that in which PID 1 ran.
func TestEdge18_ShortPauses(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]func(b *oddBox) (thaw func()){"freezer": (*oddBox).freeze, "signals": (*oddBox).halt} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Each needs time of its own before it speaks, so that it cannot do it first
			// thing after a pause.
			const dog = `tell_init("READY=1"); for (my $n = 0;; $n++) { tell_init("WATCHDOG=1\nSTATUS=$n"); nap(0.05) for 1..%s }`
			b := startOddBox(t, definitions{
				"slow":  perl(strings.ReplaceAll(dog, "%s", "16"), "Type", "notify", "WatchdogSec", "2s"),
				"quick": perl(strings.ReplaceAll(dog, "%s", "8"), "Type", "notify", "WatchdogSec", "1200ms"),
				"cmd": map[string]any{"ExecStart": []string{"sleep", "600"}, "Liveness": map[string]any{"PeriodSec": "10ms", "TimeoutSec": "1200ms",
					"FailureThreshold": 1, "Exec": []string{"perl", "-e", "select(undef, undef, undef, 0.05) for 1..8; open F, '>>/tmp/asked'; print F 1"}}},
			})
			asked := func() int { text, _ := os.ReadFile(b.root("/tmp/asked")); return len(text) }
			count := func(name string) int {
				n, _ := strconv.Atoi(b.status().service(name).Text)
				return n
			}
			goOn := func() {
				t.Helper()
				slow, quick, cmd := count("slow"), count("quick"), asked()
				b.until("all go on", func() bool { return count("slow") > slow && count("quick") > quick && asked() > cmd })
			}
			goOn()
			before := b.status()
			for _, span := range []time.Duration{2500 * time.Millisecond, 1300 * time.Millisecond, 2100 * time.Millisecond} {
				thaw := pause(b)
				<-time.After(span)
				thaw()
				goOn()
			}
			after := b.status()
			for _, name := range []string{"slow", "quick", "cmd"} {
				if was, is := before.service(name), after.service(name); is.Pid != was.Pid || is.Restarts != 0 || is.State != "ready" {
					t.Errorf("%s was %+v and is %+v; the box printed:\n%s", name, was, is, b)
				}
			}
			b.never("was paused")
		})
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
	switch err := os.Mkdir(group, 0o755); {
	case err == nil:
		b.t.Cleanup(func() {
			write(filepath.Join(group, file), thawed)
			_ = b.cmd.Process.Kill()
			<-b.ended
			b.until("the cgroup is gone", func() bool { return os.Remove(group) == nil })
		})
	case !errors.Is(err, os.ErrExist): // of an earlier pause
		b.t.Fatal(err)
	}
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
