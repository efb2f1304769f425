package checks

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// watchedUnits are services with a watchdog, with a probe, and in back-off.
var watchedUnits = map[string]string{
	"slow":    "Type=notify\nWatchdogSec=2s\nExecStart=/usr/local/bin/dog 16",
	"patient": "Type=notify\nWatchdogSec=4s\nExecStart=/usr/local/bin/dog 20",
	"probed": "ExecStart=/bin/sh -c 'exec sleep 600'\nX-Nix2vast-Liveness={\"Exec\": [\"sh\", \"-c\", " +
		"\"for i in 1 2 3 4; do sleep 0.1; done; echo >>/tmp/asked\"], \"PeriodSec\": \"10ms\", \"TimeoutSec\": \"5s\", \"FailureThreshold\": 1}",
	"asked": "ExecStart=/bin/sh -c 'exec sleep 600'\nX-Nix2vast-Liveness={\"TCP\": \"127.0.0.1:22\", \"Expect\": \"SSH-\", " +
		"\"PeriodSec\": \"100ms\", \"TimeoutSec\": \"5s\", \"FailureThreshold\": 1}",
	"once":  "Restart=always\nRestartSec=4s\nExecStart=/bin/sh -c '[ -e /tmp/again ] && exec sleep 600; touch /tmp/again; exit 1'",
	"never": "Restart=always\nRestartSec=1h\nExecStart=/bin/sh -c 'exit 1'",
}

// TestPause pauses a container for longer and for less than its services' watches
// are patient: none of them takes that for a failure, and all go on.
func TestPause(t *testing.T) {
	t.Parallel()
	c := create(t, nil)
	root := filepath.Join(c.dir, "root")
	for name, text := range watchedUnits {
		put(t, filepath.Join(root, "etc/systemd/system", name+".service"),
			"[Unit]\nAfter=ssh.service\n\n[Service]\n"+text+"\n\n[Install]\nWantedBy=multi-user.target\n")
		wants := filepath.Join(root, "etc/systemd/system/multi-user.target.wants")
		if err := os.MkdirAll(wants, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../"+name+".service", filepath.Join(wants, name+".service")); err != nil {
			t.Fatal(err)
		}
	}
	dog := filepath.Join(root, "usr/local/bin/dog")
	put(t, dog, "")
	if out, err := exec.Command("gcc", "-static", "-O1", "-Wall", "-Werror", "-o", dog, "testdata/dog.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	c.engine("cp", root+"/.", c.name+":/")
	c.start()

	var now watches
	goOn := func() {
		t.Helper()
		before := c.watches()
		if !within(30*time.Second, func() bool { now = c.watches(); return now.later(before) }) {
			t.Fatalf("not all go on: they are %+v, and were %+v", now, before)
		}
	}
	goOn()
	first := now
	for _, span := range []time.Duration{8 * time.Second, 2500 * time.Millisecond, 1500 * time.Millisecond} {
		thaw := c.pause()
		<-time.After(span)
		thaw()
		goOn()
	}
	if !within(20*time.Second, func() bool { return c.watches().services["once"].State == "ready" }) {
		t.Errorf("what was in back-off does not start: %+v", c.watches().services["once"])
	}
	last := c.watches()
	for name, was := range first.services {
		if name == "once" {
			was.State, was.Pid, was.Restarts = "ready", last.services[name].Pid, 1
		}
		if is := last.services[name]; is.State != was.State || is.Pid != was.Pid || is.Restarts != was.Restarts {
			t.Errorf("%s was %+v and is %+v", name, was, is)
		}
	}
	// A shorter one may be said too, where the engine takes its time.
	if said := regexp.MustCompile(`the container was paused for about ([89]|[1-9][0-9])`).FindAllString(c.logs(), -1); len(said) != 1 {
		t.Errorf("it is not said once that the container was paused for 8 s: %q", said)
	}
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// watches is how far the watched services have come.
type watches struct {
	services map[string]watchedService
	asked    int
}

type watchedService struct {
	Name, State   string
	Pid, Restarts int
	Text          string `json:"status_text"`
}

func (c *container) watches() watches {
	c.t.Helper()
	var s struct{ Services []watchedService }
	if out := c.sh("init status --json || :"); json.Unmarshal([]byte(out), &s) != nil {
		return watches{} // it does not answer yet
	}
	w := watches{services: map[string]watchedService{}}
	for _, svc := range s.Services {
		if watchedUnits[svc.Name] != "" {
			w.services[svc.Name] = svc
		}
	}
	w.asked, _ = strconv.Atoi(strings.TrimSpace(c.sh("cat /tmp/asked 2>/dev/null | wc -l")))
	return w
}

// later says whether all of them have come further.
func (w watches) later(than watches) bool {
	spoke := func(name string) bool {
		was, _ := strconv.Atoi(than.services[name].Text)
		is, _ := strconv.Atoi(w.services[name].Text)
		return is > was
	}
	return len(w.services) == len(watchedUnits) && spoke("slow") && spoke("patient") && w.asked > than.asked
}

// pause is docker pause, and thaw docker unpause. The one engine that has no way to
// is a podman without root on control groups of version 1, where their freezer is
// root's: there each process is stopped by a signal, PID 1 first.
func (c *container) pause() (thaw func()) {
	c.t.Helper()
	if c.lab.engine == "podman" {
		can := strings.TrimSpace(c.engine("info", "-f", "{{.Host.Security.Rootless}} {{.Host.CgroupsVersion}}"))
		if can == "true v1" {
			c.t.Log("podman runs without root, and the control groups are of version 1: it has no freezer, and signals stand in for it")
			return c.halt()
		}
	}
	var said []byte
	paused := within(30*time.Second, func() bool { // runc gives up on a freezer that is slow
		var err error
		said, err = exec.Command(c.lab.engine, "pause", c.name).CombinedOutput()
		return err == nil
	})
	if !paused {
		c.t.Fatalf("%s cannot be paused: %s", c.name, said)
	}
	return func() { c.t.Helper(); c.engine("unpause", c.name) }
}

func (c *container) halt() (thaw func()) {
	c.t.Helper()
	first := c.pid()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", first))
	if err != nil {
		c.t.Fatal(err)
	}
	var halted []int
	stop := func(pid int) {
		if !slices.Contains(halted, pid) && unix.Kill(pid, unix.SIGSTOP) == nil {
			halted = append(halted, pid)
		}
	}
	stop(first)
	for n := 0; n != len(halted); { // those that were forked meanwhile too
		n = len(halted)
		links, _ := filepath.Glob("/proc/[0-9]*/ns/pid") // the pattern is good
		for _, link := range links {
			if ns, err := os.Readlink(link); err == nil && ns == own {
				pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
				stop(pid)
			}
		}
	}
	return func() {
		for _, pid := range halted {
			_ = unix.Kill(pid, unix.SIGCONT) // it may have been killed
		}
	}
}
