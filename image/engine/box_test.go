package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// loaded is the real image in a runtime, under a name of the test's own.
func loaded(t *testing.T, r Runtime) (Image, Loaded) {
	t.Helper()
	whole := box(t)
	image := open(t, renamed(t, whole.Plan), whole.Store, layer.None)
	gone(t, r, image)
	done, err := r.Load(t.Context(), image, image.Names(), nil)
	must(t, err)
	return image, done
}

// start starts a box, which is removed after the test.
func start(t *testing.T, r Runtime, image Image, l Loaded, b Box) *Container {
	t.Helper()
	if b.Name == "" {
		b.Name = NewName(image)
	}
	c, err := r.Start(t.Context(), image, l, b)
	must(t, err)
	t.Cleanup(func() { must(t, c.Remove(t.Context())) })
	return c
}

// newKey makes a key pair, and returns the file of the public one and what is in it.
func newKey(t *testing.T) (file, line string) {
	t.Helper()
	private := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", private).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	keys, err := Keys(t.Context(), "", []string{private + ".pub"})
	must(t, err)
	return private + ".pub", keys[0]
}

// login runs a command by the line that is printed for people.
func login(t *testing.T, line, command string) (string, error) {
	t.Helper()
	words := strings.Fields(line)
	known := filepath.Join(t.TempDir(), "known_hosts")
	options := []string{"-F", "none", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + known, "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes"}
	out, err := exec.CommandContext(t.Context(), words[0], append(append(options, words[1:]...), command)...).CombinedOutput()
	return string(out), err
}

// TestPlatforms boots a box as on every host, and logs in where that is possible.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, l := loaded(t, r)
		file, key := newKey(t)
		for _, c := range []struct {
			name   string
			caps   string // effective ones of a login
			env    string // a line that a login has
			status string
			script string // succeeds in the box
		}{
			{"docker", "a80425fb", "", " on docker,", "true"},
			{"vast", "a80405fb", "VAST_CONTAINERLABEL=C.10000001", " on vast,", "true"},
			{"vast-ssh", "a80405fb", "VAST_CONTAINERLABEL=C.10000001", "launcher owns port 22", `test "$(readlink -f /proc/1/exe)" != /init`},
			{"runpod", "a80425fb", "RUNPOD_POD_ID=pod0000000001", " on runpod,", `grep -q " /workspace " /proc/mounts && test $(df -k /dev/shm | awk 'END { print $2 }') = 1048576`},
			{"salad", "a00405fb", "SALAD_PROJECT_NAME=local", " on salad,", "! mknod /tmp/x c 10 200"},
			{"k8s", "", "", " on kubernetes", `test "$(id -u):$(id -g)" = 10001:0 && ! touch /etc/x && grep -q "CapBnd:.0000000000000000" /proc/self/status && grep -q "NoNewPrivs:.1" /proc/self/status`},
		} {
			t.Run(c.name, func(t *testing.T) {
				like, err := FindPlatform(c.name)
				must(t, err)
				box := start(t, r, image, l, Box{GPUs: "none", Like: like, Keys: []string{key}})
				status, err := box.Ready(t.Context(), time.Minute)
				if degraded := c.name == "k8s"; degraded != errors.Is(err, ErrDegraded) || !degraded && err != nil {
					t.Errorf("%v\n%s", err, status)
				}
				if !strings.Contains(status, c.status) {
					t.Errorf("the status lacks %q:\n%s", c.status, status)
				}
				line, err := box.SSH(t.Context(), file)
				if (err == nil) != (c.caps != "") {
					t.Errorf("%s: %v", line, err)
				}
				if c.caps != "" {
					out, err := login(t, line, "grep CapEff /proc/self/status; env")
					if err != nil || !strings.Contains(out, c.caps+"\n") || !strings.Contains("\n"+out, "\n"+c.env) {
						t.Errorf("%s: %v\n%s", line, err, out)
					}
				}
				var said bytes.Buffer
				if err := box.Exec(t.Context(), []string{"/bin/sh", "-c", c.script}, false, nil, &said, &said); err != nil {
					t.Errorf("%s: %v\n%s", c.script, err, &said)
				}
			})
		}
	})
}

// TestBox is a container with everything that can be asked for, up to its end.
func TestBox(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, l := loaded(t, r)
		shared := t.TempDir()
		box := start(t, r, image, l, Box{
			GPUs: "none", Like: Platforms[0], Volumes: []string{shared + ":/shared"}, Publish: []string{"127.0.0.1::8080"},
			Env: []string{"TEXT=two\nlines $HOME", "ROOT_PASSWORD=correct horse 7f3a", "PATH=/usr/bin:/bin", "NIX2VAST_GPU=off"},
		})
		if _, err := box.Ready(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		script := `printf '%s|' "$TEXT"; echo "$PATH"; cat; touch /shared/x; exit 7`
		err := box.Exec(t.Context(), []string{"/bin/sh", "-c", script}, false, strings.NewReader("input\n"), &out, &out)
		if want := "two\nlines $HOME|/usr/bin:/bin\ninput\n"; !errors.Is(err, Exit{7}) || out.String() != want {
			t.Errorf("%q, %v; want %q", &out, err, want)
		}
		if _, err := os.Stat(shared + "/x"); err != nil {
			t.Error(err)
		}
		if port, err := r.output(t.Context(), "port", box.Name, "8080/tcp"); err != nil || !strings.HasPrefix(port, "127.0.0.1:") {
			t.Errorf("%q, %v", port, err)
		}
		out.Reset()
		if err := box.Exec(t.Context(), nil, false, strings.NewReader("shopt -q login_shell && echo login\n"), &out, &out); err != nil || out.String() != "login\n" {
			t.Errorf("the shell: %q, %v", &out, err)
		}

		found, err := r.Running(t.Context(), image)
		if err != nil || found == nil || found.Name != box.Name {
			t.Errorf("%+v, %v", found, err)
		}
		var said, failed bytes.Buffer
		log := box.Follow(t.Context(), &said, &failed)
		must(t, box.Stop(t.Context()))
		must(t, log.End(t.Context(), time.Minute))
		text := said.String() + failed.String()
		if strings.Count(text, "ended with exit code 0") != 1 || strings.Count(text, "services: ok") != 1 || strings.Contains(text, "correct horse") {
			t.Errorf("the log:\n%s", text)
		}
		must(t, box.Result(t.Context()))
		if found, err := r.Running(t.Context(), image); err != nil || found != nil {
			t.Errorf("%+v, %v", found, err)
		}
		if _, err := r.Find(t.Context(), box.Name); err == nil || !strings.Contains(err.Error(), "does not run: "+r.Name+" start "+box.Name) {
			t.Error(err)
		}
		must(t, box.Remove(t.Context()))
		must(t, box.Remove(t.Context())) // once more is no error
		if _, err := r.Find(t.Context(), box.Name); err == nil || !strings.Contains(err.Error(), "has no container "+box.Name) {
			t.Error(err)
		}
	})
}

// TestAttach is a main command with our input and outputs.
func TestAttach(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, l := loaded(t, r)
		c, err := r.Create(t.Context(), image, l, Box{
			Name: NewName(image), GPUs: "none", Like: Platforms[0], Input: true, Command: []string{"sh", "-c", "cat; exit 7"},
		})
		must(t, err)
		t.Cleanup(func() { must(t, c.Remove(t.Context())) })
		var out, said bytes.Buffer
		if err := c.Attach(t.Context(), strings.NewReader("input\n"), &out, &said); !errors.Is(err, Exit{7}) || out.String() != "input\n" {
			t.Errorf("%v: %q\n%s", err, &out, &said)
		}
		if err := c.Result(t.Context()); !errors.Is(err, Exit{7}) {
			t.Error(err)
		}
	})
}

// TestStartFails has a sentence for each way, and leaves no container behind.
func TestStartFails(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, l := loaded(t, r)
		first := start(t, r, image, l, Box{GPUs: "none", Like: Platforms[0], Publish: []string{"127.0.0.1::8080"}})
		taken, err := r.output(t.Context(), "port", first.Name, "8080/tcp")
		must(t, err)
		for name, c := range map[string]struct {
			box  Box
			want string
		}{
			"name":   {Box{Name: first.Name}, "there is another container of that name: choose one with --name"},
			"port":   {Box{Publish: []string{taken + ":80"}}, "the port is taken on this machine: choose another with --publish"},
			"volume": {Box{Volumes: []string{"not:a:volume:at:all"}}, "volume"},
		} {
			c.box.GPUs, c.box.Like = "none", Platforms[0]
			if c.box.Name == "" {
				c.box.Name = NewName(image)
			}
			if _, err := r.Start(t.Context(), image, l, c.box); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "starting "+c.box.Name+": ") {
				t.Errorf("%s: %v", name, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// A start that somebody interrupts removes no container but its own.
		if _, err := r.Start(ctx, image, l, Box{Name: first.Name, GPUs: "none", Like: Platforms[0]}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if out, err := r.output(t.Context(), "ps", "--all", "--filter", "label="+imageLabel+"="+image.ConfigDigest, "--format", "{{.Names}}"); err != nil || out != first.Name {
			t.Errorf("left behind: %q (%v)", out, err)
		}
	})
}

// TestBootFails has the log's last lines in the error.
func TestBootFails(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, l := loaded(t, r)
		broken := filepath.Join(t.TempDir(), "config.json")
		must(t, os.WriteFile(broken, []byte("{"), 0o644))
		like := Platforms[0]
		box := start(t, r, image, l, Box{GPUs: "none", Like: like, Volumes: []string{broken + ":/etc/nix2vast/config.json"}})
		_, err := box.Ready(t.Context(), time.Minute)
		if err == nil || !strings.Contains(err.Error(), "ended while it booted, with exit code 78") || !strings.Contains(err.Error(), "/etc/nix2vast/config.json") {
			t.Error(err)
		}

		like.entrypoint = []string{"/bin/sh", "-c", "echo nothing here boots; sleep 1000"}
		box = start(t, r, image, l, Box{GPUs: "none", Like: like})
		_, err = box.Ready(t.Context(), time.Second)
		if err == nil || !strings.Contains(err.Error(), "has not booted after 1s") || !strings.Contains(err.Error(), "nothing here boots") {
			t.Error(err)
		}
		box.init = "/no-such-init"
		if _, err = box.Ready(t.Context(), time.Minute); err == nil || !strings.Contains(err.Error(), "is it an image of nix2vast?") {
			t.Error(err)
		}
	})
}

// TestCreate checks what no container tells: the arguments.
func TestCreate(t *testing.T) {
	t.Parallel()
	image := Image{}
	image.Plan.Name = "sample"
	l := Loaded{Names: []string{"sample:v1"}}
	create := Runtime{Name: Docker}.create(image, l, Box{
		Name: "box", Like: Platforms[0], Keys: []string{"key 1", "key 2"}, Env: []string{"TOKEN=secret", "PASSED", "DOCKER_HOST=there"},
		Input: true, Terminal: true, Remove: true, Command: []string{"sh"},
	}, []string{"--gpus", "all"}, 0)
	got := strings.Join(create.Args, " ")
	want := "create --pull never --name box --label dev.nix2vast.image= --gpus all --publish 127.0.0.1::22 --rm --interactive --tty " +
		"--env SSH_PUBLIC_KEYS --env TOKEN --env PASSED --env DOCKER_HOST=there sample:v1 sh"
	if got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	if want := []string{"SSH_PUBLIC_KEYS=key 1\nkey 2", "TOKEN=secret"}; !slices.Equal(create.Env, want) {
		t.Errorf("%q, want %q", create.Env, want)
	}
	if _, err := FindPlatform("lambda"); err == nil || err.Error() != `no platform is called "lambda"; there are docker, vast, vast-ssh, runpod, salad, k8s` {
		t.Error(err)
	}
	if name := NewName(image); !regexp.MustCompile(`^sample-[0-9a-f]{6}$`).MatchString(name) || name == NewName(image) {
		t.Error(name)
	}
}

// TestGPUs tells a machine with a GPU by the devices of its driver.
func TestGPUs(t *testing.T) {
	dev, bin := t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin)
	if HasGPU(dev) {
		t.Error("there is a GPU in an empty folder")
	}
	node := filepath.Join(dev, "nvidiactl") // opening a socket fails as opening a node without a driver does
	l, err := net.Listen("unix", node)
	must(t, err)
	if HasGPU(dev) {
		t.Error("a node that no driver answers for is taken for a GPU")
	}
	must(t, l.Close())
	must(t, os.WriteFile(filepath.Join(bin, "nvidia-smi"), []byte("#!/bin/sh\n"), 0o755))
	if HasGPU(dev) {
		t.Error("a program of the driver is taken for a GPU")
	}
	must(t, os.WriteFile(node, nil, 0o644))
	if !HasGPU(dev) {
		t.Error("the device is not seen")
	}
	docker := Runtime{Name: Docker}
	for _, c := range []struct {
		runtime Runtime
		info    string // of docker
		wanted  string
		here    bool
		options string
		note    string
	}{
		{docker, "{}", "auto", false, "", ""},
		{docker, "{}", "none", true, "", ""},
		{docker, `{"Runtimes":{"nvidia":{}}}`, "auto", true, "--gpus all", ""},
		{docker, `{"Runtimes":{"runc":{}}}`, "auto", true, "", "install nvidia-container-toolkit"},
		{docker, `{}`, "device=1", false, "--gpus device=1", ""},
		{Runtime{Name: Docker, Host: "ssh://there"}, `{"Runtimes":{"nvidia":{}}}`, "auto", true, "", ""},
		{Runtime{Name: Docker, Host: "ssh://there"}, "", "all", false, "--gpus all", ""},
		{Runtime{Name: Podman}, "", "all", false, "--device nvidia.com/gpu=all", ""},
		{Runtime{Name: Podman}, "", "1", false, "--device nvidia.com/gpu=1", ""},
	} {
		must(t, os.WriteFile(filepath.Join(bin, "docker"), fmt.Appendf(nil, "#!/bin/sh\necho '%s'\n", c.info), 0o755))
		options, note := c.runtime.gpus(t.Context(), c.wanted, c.here)
		if strings.Join(options, " ") != c.options || !strings.Contains(note, c.note) || (note == "") != (c.note == "") {
			t.Errorf("%+v: %q, %q", c, options, note)
		}
	}
}
