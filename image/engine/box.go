package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Box is how a container of an image is to be started.
type Box struct {
	Name string
	// Env is NAME=VALUE, or NAME for the value that this program has.
	Env []string
	// Volumes and Publish are as docker run takes them.
	Volumes, Publish []string
	// Keys are public keys that may log in, a line each.
	Keys []string
	// GPUs is what docker's --gpus takes; "auto" for all, if there are any; "none".
	GPUs string
	// Like is the host that the container is started as on.
	Like Platform
	// Command is the main command of the container: its end is the container's.
	Command []string
	// Input says that the main command reads our input, and Terminal that this is a terminal.
	Input, Terminal bool
	// Remove has the runtime remove the container as soon as it ends.
	Remove bool
}

// NewName is a name for a container that no other has.
func NewName(image Image) string {
	b := make([]byte, 3)
	rand.Read(b) // never fails
	return image.Plan.Name + "-" + hex.EncodeToString(b)
}

// imageLabel names the image of a container by the digest of its configuration, in
// whatever store it is.
const imageLabel = "dev.nix2vast.image"

// startLabel names the start that made a container, so that none is removed that another
// one made under the same name.
const startLabel = "dev.nix2vast.start"

// A Container is one that was started, or is being.
type Container struct {
	Runtime Runtime
	Name    string
	Note    string // what its owner should know of how it was started, "" if nothing
	init    string // the program that is asked for the status
}

// Start makes a container and starts it. What it made is gone again if that fails.
func (r Runtime) Start(ctx context.Context, image Image, loaded Loaded, b Box) (*Container, error) {
	c, err := r.Create(ctx, image, loaded, b)
	if err != nil {
		return nil, err
	}
	if _, err := r.output(ctx, "start", c.Name); err != nil {
		return nil, errors.Join(startError(c.Name, err), c.Remove(ctx))
	}
	return c, nil
}

// Create makes a container that is yet to be started.
func (r Runtime) Create(ctx context.Context, image Image, loaded Loaded, b Box) (*Container, error) {
	gpus, note := r.gpus(ctx, b.GPUs, HasGPU("/dev"))
	port := 0
	if b.Like.needsPort {
		var err error
		if port, err = freePort(ctx); err != nil {
			return nil, err
		}
	}
	c := r.named(b.Name)
	c.Note = note
	if e := image.Plan.Config.Entrypoint; len(e) > 0 {
		c.init = e[0]
	}
	start := NewName(image)
	create := r.create(image, loaded, b, append(gpus, "--label", startLabel+"="+start), port)
	if _, err := create.Output(ctx); err != nil {
		err = startError(b.Name, err)
		if ctx.Err() != nil && c.madeBy(ctx, start) {
			err = errors.Join(err, c.Remove(ctx)) // the daemon had got the request
		}
		return nil, err
	}
	if files := b.Like.files; files != nil {
		copy := r.command("cp", "-", b.Name+":/")
		copy.In = files(b)
		if err := copy.Run(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("putting the host's files into %s: %w", b.Name, err), c.Remove(ctx))
		}
	}
	return c, nil
}

// madeBy says whether the container comes from a start. It goes on when ctx has ended.
func (c *Container) madeBy(ctx context.Context, start string) bool {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer end()
	format := fmt.Sprintf("{{index .Config.Labels %q}}", startLabel)
	out, err := c.Runtime.output(ctx, "inspect", "--type", "container", "--format", format, c.Name)
	return err == nil && out == start
}

// create is the command that makes the container.
func (r Runtime) create(image Image, loaded Loaded, b Box, more []string, port int) Command {
	args := []string{"create", "--pull", "never", "--name", b.Name, "--label", imageLabel + "=" + image.ConfigDigest}
	if r.Name == Podman {
		// Podman's own check would need systemd. The wait for the box is the check here.
		args = append(args, "--no-healthcheck")
	}
	args = slices.Concat(args, more, b.Like.capabilities(r.Name), b.Like.options)
	publish := "127.0.0.1::22"
	if port > 0 {
		publish = fmt.Sprintf("127.0.0.1:%d:22", port)
	}
	args = append(args, "--publish", publish)
	for _, p := range b.Publish {
		args = append(args, "--publish", p)
	}
	for _, v := range b.Volumes {
		args = append(args, "--volume", v)
	}
	if b.Remove {
		args = append(args, "--rm")
	}
	if b.Input {
		args = append(args, "--interactive")
	}
	if b.Terminal {
		args = append(args, "--tty")
	}
	env := b.Like.environment(b, port)
	if key := b.Like.keyVariable; len(b.Keys) > 0 && key != "" {
		env = append(env, key+"="+strings.Join(b.Keys, "\n"))
	}
	options, own := passEnv(append(env, b.Env...))
	args = append(args, options...)
	command := b.Command
	if entry := b.Like.entrypoint; len(entry) > 0 {
		args = append(args, "--entrypoint", entry[0])
		command = append(append([]string(nil), entry[1:]...), command...)
	}
	create := r.command(append(append(args, loaded.Names[0]), command...)...)
	create.Env = own
	return create
}

// passEnv passes values on by the environment of the client, where no list of processes
// shows them and a line feed is a character like others. Those that the client would go by
// itself are in its arguments.
func passEnv(env []string) (args, own []string) {
	for _, e := range env {
		name, _, found := strings.Cut(e, "=")
		if found && clients(name) {
			args = append(args, "--env", e)
			continue
		}
		args = append(args, "--env", name)
		if found {
			own = append(own, e)
		}
	}
	return args, own
}

// clients says whether docker's or podman's program reads a variable.
func clients(name string) bool {
	switch strings.ToUpper(name) {
	case "PATH", "HOME", "USER", "TMPDIR", "TERM", "NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
		"STORAGE_DRIVER", "STORAGE_OPTS", "REGISTRY_AUTH_FILE", "SSH_AUTH_SOCK", "NOTIFY_SOCKET", "":
		return true
	}
	for _, prefix := range []string{"DOCKER_", "BUILDKIT_", "CONTAINER", "PODMAN_", "XDG_", "LD_", "GO", "DBUS_", "_", "LISTEN_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// startError turns what runtimes say when a container cannot be made or started into what
// to do about it.
func startError(name string, err error) error {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	for _, known := range []struct{ said, cure string }{
		{"is already in use", "there is another container of that name: choose one with --name"},
		{"port is already allocated", "the port is taken on this machine: choose another with --publish"},
		{"address already in use", "the port is taken on this machine: choose another with --publish"},
		{"could not select device driver", "docker has no runtime of NVIDIA's: install nvidia-container-toolkit, or use --gpus none"},
		{"nvidia.com/gpu", "podman has no description of the GPU: run nvidia-ctk cdi generate, or use --gpus none"},
	} {
		if strings.Contains(failed.Said, known.said) {
			return fmt.Errorf("starting %s: %s (%w)", name, known.cure, err)
		}
	}
	return fmt.Errorf("starting %s: %w", name, err)
}

// freePort is one of the loopback that nothing listens on.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// HasGPU says whether this machine has a driver of NVIDIA's that works; on Windows that is
// its own, behind /dev/dxg. dev is /dev. A node that no driver answers for is left over, and
// the programs of a driver say nothing of one.
func HasGPU(dev string) bool {
	for _, name := range []string{"nvidiactl", "dxg"} {
		if f, err := os.OpenFile(filepath.Join(dev, name), os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
			return true
		}
	}
	return false
}

// gpus are the options that give GPUs to a container. Where there is one and docker has no
// runtime to pass it on, the note says so.
func (r Runtime) gpus(ctx context.Context, wanted string, here bool) (options []string, note string) {
	switch {
	case wanted == "none", wanted == "auto" && !(here && r.local()):
		return nil, ""
	case r.Name == Podman && wanted != "auto" && wanted != "all":
		return []string{"--device", "nvidia.com/gpu=" + wanted}, ""
	case wanted != "auto" && r.Name == Docker:
		return []string{"--gpus", wanted}, ""
	}
	const cure = "this machine has a GPU, but the container does not get it: "
	if r.Name == Podman {
		if wanted == "auto" && !described() {
			return nil, cure + "podman has no description of it: run nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
		}
		return []string{"--device", "nvidia.com/gpu=all"}, ""
	}
	info, err := r.output(ctx, "info", "--format", "{{json .}}")
	if err != nil || !strings.Contains(info, `"nvidia`) {
		return nil, cure + "docker has no runtime of NVIDIA's: install nvidia-container-toolkit"
	}
	return []string{"--gpus", "all"}, ""
}

// described says whether there is a file of the Container Device Interface for GPUs.
func described() bool {
	for _, pattern := range []string{"/etc/cdi/nvidia*", "/var/run/cdi/nvidia*"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}
