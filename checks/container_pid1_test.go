package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// zombies is how many ended processes wait for their parent.
func (c *container) zombies() int {
	c.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(c.sh("ps -eo stat= | grep -c ^Z || :")))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// reaps checks that PID 1 adopts and collects n orphans: processes whose parent
// ends before they do.
func (c *container) reaps(n int) {
	c.t.Helper()
	before := c.status().Orphans
	c.sh(fmt.Sprintf("for i in $(seq %d); do (sleep 0.2 &); done", n))
	got := 0
	if !within(20*time.Second, func() bool { got = c.status().Orphans - before; return got >= n && c.zombies() == 0 }) {
		c.t.Errorf("of %d orphans %d were reaped, and there are %d zombies", n, got, c.zombies())
	}
}

func TestReaping(t *testing.T) {
	t.Parallel()
	c := run(t, nil)
	c.ready()
	c.reaps(2000)
}

// TestSignals sends each signal from inside: a Go program that is PID 1 dies of
// a dozen of them unless it catches them.
func TestSignals(t *testing.T) {
	t.Parallel()
	c := run(t, nil)
	c.ready()
	// From a program of its own: bash does not know each number.
	c.sh(`for n in $(seq 1 64); do
		case $n in 9 | 19) continue ;; 2 | 15 | 30 | 37) continue ;; esac
		/usr/bin/kill -$n 1 || exit
	done`)
	c.ready()
	c.reaps(50)
	for name, number := range map[string]int{"TERM": 15, "INT": 2, "PWR": 30, "RTMIN+3": 37} {
		c.exec("/bin/sh", "-c", fmt.Sprintf("kill -%d 1", number))
		if code := c.wait(); code != 0 {
			t.Errorf("SIG%s ends the container with %d, want 0", name, code)
		}
		if !strings.Contains(c.logs(), "stopping: got") {
			t.Errorf("SIG%s: no stop was logged", name)
		}
		c.start()
		c.ready()
	}
}

// TestPidsMax fills the container's pids cgroup. The Go runtime ends a program
// for which the kernel has no thread.
func TestPidsMax(t *testing.T) {
	t.Parallel()
	c := run(t, keyed(t, "--pids-limit", "64"))
	c.ready()
	c.logsIn()
	pid := c.pid()

	c.sh("mkfifo /tmp/gate")
	bomb := make(chan string, 1)
	go func() {
		// xargs goes on forking until it is refused, and then as others end.
		out, _ := c.exec("/bin/sh", "-c", "seq 120 | xargs -P 120 -I{} sh -c '[ ! -p /tmp/gate ] || read -r line </tmp/gate'")
		bomb <- out
	}()
	// All wait until the gate is opened from outside: nothing can be run in the container.
	open := func() {
		path := fmt.Sprintf("/proc/%d/root/tmp/gate", pid)
		gate, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			err = errors.Join(os.Remove(path), gate.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	refused := func() bool { return c.refusals() > 0 }
	if !within(40*time.Second, refused) {
		open()
		t.Fatalf("the cgroup never was full: %s", <-bomb)
	}
	// While it is full, init serves more questions at once than it has threads.
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			if phase, err := c.ask(pid); err != nil || phase == "" {
				t.Errorf("init's answer in a full container: %q, %v", phase, err)
			}
		})
	}
	group.Wait()
	open()
	<-bomb
	if got := c.pid(); got != pid || !c.running() {
		t.Fatalf("PID 1 was %d and is %d", pid, got)
	}
	c.ready()
	c.logsIn()
	c.reaps(50)
}

// refusals is how often the container was refused another process, as the
// kernel counts in its cgroup (pids.rst and cgroup-v2.rst in its documentation).
func (c *container) refusals() int {
	c.t.Helper()
	for _, file := range cgroupFiles(c.pid(), "pids", "pids.events") {
		var n int
		if text, err := os.ReadFile(file); err == nil {
			if _, err := fmt.Sscanf(string(text), "max %d", &n); err != nil {
				c.t.Fatalf("%s: %q", file, text)
			}
			return n
		}
	}
	c.t.Fatal("the container has no pids cgroup")
	return 0
}

// cgroupFiles are where a file of a process's cgroup may be, seen from outside.
func cgroupFiles(pid int, controller, file string) (paths []string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) { // hierarchy:controllers:path
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if part[1] == "" || part[1] == controller {
			paths = append(paths, filepath.Join("/sys/fs/cgroup", part[1], part[2], file))
		}
	}
	return paths
}

// ask is init status from outside, which needs no process in the container.
func (c *container) ask(pid int) (phase string, err error) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/%d/root/run/nix2vast/control.sock", pid))
		},
	}}
	answer, err := client.Get("http://init/v1/status")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var s status
	err = json.NewDecoder(answer.Body).Decode(&s)
	return s.Phase, err
}
