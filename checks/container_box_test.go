package checks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A container is one of the image, in a real engine. It goes away with its test.
type container struct {
	t    *testing.T
	lab  *lab
	name string
	id   string
	dir  string // for the files of its clients
	port string // of this machine, at which its port 22 is reached
}

// create makes a container and does not start it. options are those of docker
// create; command is the container's main command.
func create(t *testing.T, options []string, command ...string) *container {
	t.Helper()
	l := theLab(t)
	c := &container{t: t, lab: l, name: l.name(), dir: t.TempDir()}
	args := append([]string{"create", "--name", c.name}, l.options...)
	args = append(append(args, options...), l.image)
	c.id = strings.TrimSpace(c.engine(append(args, command...)...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what %s printed:\n%s", c.name, c.logs())
		}
		c.engine("rm", "-f", "-v", c.name)
	})
	return c
}

// run makes a container and starts it.
func run(t *testing.T, options []string, command ...string) *container {
	t.Helper()
	c := create(t, options, command...)
	c.start()
	return c
}

// prepared runs a container in which a shell script changes the image before
// init becomes PID 1.
func prepared(t *testing.T, options []string, script string) *container {
	t.Helper()
	return run(t, append(options, "--entrypoint", "/bin/sh"), "-ec", script+"\nexec /init")
}

// engine runs one command of the engine and returns what it printed.
func (c *container) engine(args ...string) string {
	c.t.Helper()
	out, err := exec.Command(c.lab.engine, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		c.t.Fatalf("%s %.300q: %v", c.lab.engine, args, err)
	}
	return string(out)
}

// start is docker start, the first time or again.
func (c *container) start() {
	c.t.Helper()
	c.engine("start", c.name)
	c.port = ""
}

// stop is docker stop. It returns the exit code, and how long the end took.
func (c *container) stop() (code int, took time.Duration) {
	c.t.Helper()
	began := time.Now()
	c.engine("stop", c.name)
	took = time.Since(began)
	return c.wait(), took
}

// wait waits until the container has ended by itself, and returns its exit code.
func (c *container) wait() int {
	c.t.Helper()
	if !within(20*time.Second, func() bool { return !c.running() }) {
		c.t.Fatalf("%s does not end", c.name)
	}
	return c.number("{{.State.ExitCode}}")
}

func (c *container) running() bool {
	c.t.Helper()
	return c.inspect("{{.State.Running}}") == "true"
}

// pid is that of the container's PID 1, seen from outside.
func (c *container) pid() int { c.t.Helper(); return c.number("{{.State.Pid}}") }

func (c *container) inspect(format string) string {
	c.t.Helper()
	return strings.TrimSpace(c.engine("inspect", "--type", "container", "-f", format, c.name))
}

func (c *container) number(format string) int {
	c.t.Helper()
	n, err := strconv.Atoi(c.inspect(format))
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// logs are both outputs of the container since it was made.
func (c *container) logs() string {
	c.t.Helper()
	out, err := exec.Command(c.lab.engine, "logs", c.name).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s logs: %v\n%s", c.lab.engine, err, out)
	}
	return string(out)
}

// exec runs a program in the container. It returns what the program printed and
// its exit code.
func (c *container) exec(argv ...string) (string, int) {
	c.t.Helper()
	cmd := exec.Command(c.lab.engine, append([]string{"exec", c.name}, argv...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// sh runs a shell script in the container, which has to succeed, and returns
// what it printed.
func (c *container) sh(script string) string {
	c.t.Helper()
	out, code := c.exec("/bin/sh", "-c", script)
	if code != 0 {
		c.t.Fatalf("%.300q ends with %d:\n%s", script, code, out)
	}
	return out
}

// ready waits until the boot is over and good.
func (c *container) ready() {
	c.t.Helper()
	if out, code := c.exec("init", "status", "--wait", "30s"); code != 0 {
		c.t.Fatalf("init status ends with %d, not 0:\n%s", code, out)
	}
}

// degraded waits until the boot is over and not good, and returns the status.
func (c *container) degraded() status {
	c.t.Helper()
	if out, code := c.exec("init", "status", "--wait", "30s"); code != 1 {
		c.t.Fatalf("init status ends with %d, not 1:\n%s", code, out)
	}
	return c.status()
}

// status is what init status --json prints.
type status struct {
	Phase string
	Steps []struct {
		Name        string
		OK          bool
		Note, Error string
	}
	Services []struct {
		Name, State, Note string
		Restarts          int
	}
	SSH struct {
		State, Reason string
		Keys          int
		Password      bool
	}
	Problems []string
	Orphans  int `json:"orphans_reaped"`
}

func (c *container) status() (s status) {
	c.t.Helper()
	out, _ := c.exec("init", "status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		c.t.Fatalf("init status --json: %v\n%s", err, out)
	}
	return s
}

// step is the error of a step, "" if it went well.
func (s status) step(name string) string {
	for _, step := range s.Steps {
		if step.Name == name {
			return step.Error
		}
	}
	return "there was no such step"
}

// service is the state and the note of a service.
func (s status) service(name string) (state, note string) {
	for _, svc := range s.Services {
		if svc.Name == name {
			return svc.State, svc.Note
		}
	}
	return "absent", ""
}

// client is an OpenSSH client's program with the options that take it to this
// container: the right key, and the host keys that the container really has.
func (c *container) client(program string, args ...string) *exec.Cmd {
	c.t.Helper()
	known := filepath.Join(c.dir, "known_hosts")
	if c.port == "" {
		_, port, found := strings.Cut(strings.TrimSpace(c.engine("port", c.name, "22/tcp")), ":")
		if !found {
			c.t.Fatal("port 22 is not published")
		}
		keys := "box " + strings.ReplaceAll(strings.TrimSpace(c.sh("cat /etc/ssh/ssh_host_*_key.pub")), "\n", "\nbox ")
		if err := os.WriteFile(known, []byte(keys+"\n"), 0o600); err != nil {
			c.t.Fatal(err)
		}
		c.port = port
	}
	options := []string{"-F", "none", "-i", c.lab.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + known, "-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=box",
		"-o", "ConnectTimeout=60", "-o", "LogLevel=ERROR", "-o", "Port=" + c.port}
	return exec.Command(program, append(options, args...)...)
}

// ssh runs a command in a session, with what it reads, and returns what it printed.
func (c *container) ssh(stdin string, args ...string) string {
	c.t.Helper()
	return c.must(c.client("ssh", append([]string{"root@127.0.0.1"}, args...)...), stdin)
}

// must runs a client that has to succeed.
func (c *container) must(cmd *exec.Cmd, stdin string) string {
	c.t.Helper()
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%.200q: %v\n%.2000s%s", cmd.Args, err, out, &stderr)
	}
	return string(out)
}

// logsIn checks that the key opens the container.
func (c *container) logsIn() {
	c.t.Helper()
	if out := c.ssh("", "id -u"); out != "0\n" {
		c.t.Errorf("id -u in a session prints %q", out)
	}
}
