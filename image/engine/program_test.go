package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// A program is nix2vast, with a cache and a home of its own.
type program struct {
	path, store, plan, home string
	env                     []string
}

// build makes the program, and writes the plan for it.
func build(t *testing.T, p plan.Plan, store string) program {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "nix2vast")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/nix2vast").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := json.Marshal(p)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "plan.json"), b, 0o644))
	return program{path: path, store: store, plan: filepath.Join(dir, "plan.json"), home: dir}
}

func (p program) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"image", "--store", p.store, "--cache", filepath.Join(p.home, "cache")}, args...)
	cmd := exec.CommandContext(t.Context(), p.path, args...)
	cmd.Env = append(append(os.Environ(), "HOME="+p.home, "SSH_AUTH_SOCK=", "NIX2VAST_RUNTIME="), p.env...)
	return cmd
}

// run returns what the program prints on either output, and its exit code.
func (p program) run(t *testing.T, stdin string, args ...string) (out, said string, code int) {
	t.Helper()
	cmd := p.command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// TestProgramRun starts a box in each of the ways that people do.
func TestProgramRun(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, _ := loaded(t, r)
		p := build(t, image.Plan, image.Store)
		p.env = []string{"NIX2VAST_RUNTIME=" + r.Name}
		out, said, code := p.run(t, "input\n", "run", "--gpus", "none", p.plan, "--", "sh", "-c", "cat; exit 7")
		if out != "input\n" || code != 7 || strings.Contains(said, "nix2vast: ") {
			t.Errorf("a main command: %q, %d\n%s", out, code, said)
		}

		file, _ := newKey(t)
		name := NewName(image)
		out, said, code = p.run(t, "", "run", "-d", "--gpus", "none", "--name", name, "--key", file, p.plan)
		t.Cleanup(func() { must(t, r.named(name).Remove(t.Context())) })
		if out != name+"\n" || code != 0 {
			t.Fatalf("detached: %q, %d\n%s", out, code, said)
		}
		line := regexp.MustCompile(`(?m)^nix2vast: log in: (ssh .*)$`).FindStringSubmatch(said)
		if line == nil {
			t.Fatalf("there is no line to log in with:\n%s", said)
		}
		if out, err := login(t, line[1], "id -un"); err != nil || out != "root\n" {
			t.Errorf("%s: %q, %v", line[1], out, err)
		}
		if want := r.Name + " stop " + name; !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
		for _, what := range []string{name, p.plan} { // the one that runs is taken
			out, said, code = p.run(t, "cat /etc/hostname; exit 3\n", "shell", "--runtime", r.Name, what)
			if id, err := r.output(t.Context(), "inspect", "--format", "{{.Config.Hostname}}", name); err != nil || strings.TrimSpace(out) != id || code != 3 {
				t.Errorf("a shell in %s: %q, %d, want %s\n%s", what, out, code, id, said)
			}
		}
		must(t, r.named(name).Remove(t.Context()))
		out, said, code = p.run(t, "", "shell", "--runtime", r.Name, "--gpus", "none", p.plan, "--", "sh", "-c", "echo fresh; exit 4")
		if out != "fresh\n" || code != 4 || !strings.Contains(said, "no public key was found: name one with --key") {
			t.Errorf("a shell in a new one: %q, %d\n%s", out, code, said)
		}
		if left, err := r.output(t.Context(), "ps", "--all", "--quiet", "--filter", "label="+imageLabel+"="+image.ConfigDigest); err != nil || left != "" {
			t.Errorf("left behind: %q (%v)", left, err)
		}
	})
}

// TestProgramForeground follows the log, and ends with Ctrl-C and the container with it.
func TestProgramForeground(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, _ := loaded(t, r)
		p, name := build(t, image.Plan, image.Store), NewName(image)
		for _, c := range []struct {
			args  []string
			until string
			code  int
			said  string
			left  string
		}{
			{nil, "Ctrl-C stops and removes it", 0, "", ""},
			{[]string{"--keep"}, "Ctrl-C stops", 0, "", name},
			{[]string{"--volume", os.DevNull + ":/etc/nix2vast/config.json"}, "", 1, "ended while it booted, with exit code 78; --keep leaves it", ""},
		} {
			cmd := p.command(t, append([]string{"run", "--runtime", r.Name, "--gpus", "none", "--name", name, p.plan}, c.args...)...)
			end := &trigger{after: c.until, then: func() { cmd.Process.Signal(os.Interrupt) }}
			if c.until == "" {
				end.then = func() {}
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, end
			if err := cmd.Run(); cmd.ProcessState.ExitCode() != c.code || !strings.Contains(end.text, c.said) {
				t.Errorf("%q: %v\n%s", c.args, err, end.text)
			}
			if c.code == 0 && !strings.Contains(out.String()+end.text, "services: ok") {
				t.Errorf("%q: the log is not there:\n%s", c.args, &out)
			}
			if c.code == 0 && !strings.Contains(out.String()+end.text, "ended with exit code 0") {
				t.Errorf("%q: the end of the log is not there:\n%s", c.args, &out)
			}
			left, err := r.output(t.Context(), "ps", "--all", "--filter", "label="+imageLabel+"="+image.ConfigDigest, "--format", "{{.Names}}")
			if err != nil || left != c.left {
				t.Errorf("%q: left behind: %q (%v)", c.args, left, err)
			}
			must(t, r.named(name).Remove(t.Context()))
		}
	})
}

// TestProgramTerminal has a terminal around it, of util-linux' script.
func TestProgramTerminal(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, _ := loaded(t, r)
		p := build(t, image.Plan, image.Store)
		for _, c := range []struct {
			args []string
			want string
		}{
			{[]string{"run", "--runtime", r.Name, "--gpus", "none", p.plan, "--", "tty"}, "/dev/"},
			{[]string{"archive", p.plan}, "an archive is nothing for a terminal: name a file with -o"},
		} {
			var line []string
			for _, word := range p.command(t, c.args...).Args {
				line = append(line, "'"+word+"'")
			}
			out, err := exec.CommandContext(t.Context(), "script", "-qec", strings.Join(line, " "), os.DevNull).CombinedOutput()
			if !strings.Contains(string(out), c.want) {
				t.Errorf("%q: %v\n%s", c.args, err, out)
			}
		}
	})
}

// TestProgramCtrlC presses Ctrl-C at a terminal, which all programs at it get. The log goes on
// to its last line.
func TestProgramCtrlC(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, _ := loaded(t, r)
		p := build(t, image.Plan, image.Store)
		run := p.command(t, "run", "--runtime", r.Name, "--gpus", "none", p.plan)
		// Without exec, a shell that stays gets the key as well, and ends with 130 whatever ours says.
		cmd := exec.CommandContext(t.Context(), "script", "-qec", "exec '"+strings.Join(run.Args, "' '")+"'", os.DevNull)
		cmd.Env = run.Env
		keys, err := cmd.StdinPipe()
		must(t, err)
		defer keys.Close()
		screen := &trigger{after: "Ctrl-C stops and removes it", then: func() { keys.Write([]byte{3}) }}
		cmd.Stdout, cmd.Stderr = screen, screen
		if err := cmd.Run(); err != nil {
			t.Errorf("%v\n%s", err, screen.text)
		}
		for _, line := range []string{"services: ok", "ended with exit code 0"} {
			if n := strings.Count(screen.text, line); n != 1 {
				t.Errorf("%q is there %d times:\n%s", line, n, screen.text)
			}
		}
		left, err := r.output(t.Context(), "ps", "--all", "--quiet", "--filter", "label="+imageLabel+"="+image.ConfigDigest)
		if err != nil || left != "" {
			t.Errorf("left behind: %q (%v)", left, err)
		}
	})
}

// TestProgramSays runs what needs no container, and what cannot be done.
func TestProgramSays(t *testing.T) {
	t.Parallel()
	small, store := tinyPlan(t)
	p := build(t, small, store)
	image := open(t, small, store, layer.None)
	name := image.Names()[0] + "@" + image.Digest + "\n"
	dir := t.TempDir()
	nobody := p
	nobody.env = []string{"PATH=" + dir}
	for _, c := range []struct {
		program program
		args    []string
		out     string
		said    string // a part of it
		code    int
	}{
		{p, []string{"archive", p.plan, "-o", dir + "/a.tar"}, name, "sent layer rootfs", 0},
		{p, []string{"archive", p.plan, "-o", dir + "/b.tar", "--format", "oci", "--tag", "x:y"}, "x:y@" + image.Digest + "\n", "", 0},
		{p, []string{"oci", p.plan, dir + "/layout"}, name, "", 0},
		{p, []string{"oci", p.plan, dir}, "", "nix2vast: writing the OCI layout " + dir + ": there are other things in it", 1},
		{p, []string{"archive", p.plan, "--format", "zip"}, "", `nix2vast: the format "zip" is neither docker nor oci`, 2},
		{p, []string{"archive", p.plan, "--compression", "xz", "-o", dir + "/c"}, "", `compression "xz" is none of gzip, zstd and none`, 2},
		{p, []string{"archive", p.plan, "--compression-level", "9", "-o", dir + "/c"}, "", "what is not compressed has no level", 2},
		{p, []string{"oci", p.plan, dir + "/c", "--compression", "zstd", "--compression-level", "23"}, "", "23 is no level of zstd, which has 1 to 22", 2},
		{p, []string{"archive", p.plan, "--tag", "a b"}, "", `"a b" is neither a tag nor a name with one`, 2},
		{p, []string{"load", dir + "/none.json"}, "", "there is no " + dir + "/none.json", 1},
		{p, []string{"load", p.plan, "--runtime", "lxc"}, "", `the runtime "lxc" is neither docker nor podman`, 1},
		{p, []string{"serve", p.plan, "--address", "256.0.0.1:0"}, "", "nix2vast: starting the registry: ", 1},
		{nobody, []string{"load", p.plan}, "", "there is no container runtime here: docker is not installed", 1},
		{nobody, []string{"run", p.plan}, "", "there is no container runtime here: docker is not installed", 1},
		{p, []string{"run", p.plan, "--platform-like", "lambda"}, "", `no platform is called "lambda"`, 2},
		{p, []string{"run", p.plan, "--key", dir + "/none.pub"}, "", "reading a public key: open " + dir + "/none.pub", 1},
		{p, []string{"run", p.plan, "-d", "--rm", "--keep"}, "", "--rm and --keep contradict each other", 2},
	} {
		out, said, code := c.program.run(t, "", c.args...)
		if out != c.out || code != c.code || !strings.Contains(said, c.said) || code != 0 && strings.Count(said, "\n") != 1 {
			t.Errorf("%q: %q, %d\n%s", c.args, out, code, said)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestProgramServe pulls with the printed line, and ends with a signal.
func TestProgramServe(t *testing.T) {
	t.Parallel()
	small, store := tinyPlan(t)
	p := build(t, small, store)
	for _, address := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		cmd := p.command(t, "serve", p.plan, "--address", address, "--compression", "gzip")
		var said bytes.Buffer
		cmd.Stderr = &said
		stdout, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		line := make([]byte, 200)
		n, err := stdout.Read(line)
		must(t, err)
		reference, _, _ := strings.Cut(string(line[:n]), "@")
		skopeo(t, "copy", "--quiet", "--src-tls-verify=false", "docker://"+reference, "dir:"+t.TempDir())
		must(t, cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%s", err, &said)
		}
		if warned := strings.Contains(said.String(), "everybody who reaches"); warned != (address == "0.0.0.0:0") {
			t.Errorf("%s: %s", address, &said)
		}
	}
}
