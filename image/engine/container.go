package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Exit is the exit code of a container or of a program in it, which becomes our own.
type Exit struct{ Code int }

func (e Exit) Error() string { return fmt.Sprintf("it ends with exit code %d", e.Code) }

// ExitCode is what the program is to end with.
func (e Exit) ExitCode() int { return e.Code }

// ErrDegraded says that a box is up, but not all of it as it should be.
var ErrDegraded = errors.New("not everything in it is as it should be")

// Ready waits until the boot of the container is over, for so long at most, and returns
// what init says of it. A boot that is over and not good is ErrDegraded.
func (c *Container) Ready(ctx context.Context, limit time.Duration) (status string, err error) {
	ctx, end := context.WithTimeoutCause(ctx, limit+grace, errors.New("the runtime does not answer"))
	defer end()
	deadline := time.Now().Add(limit)
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	refused := 0
	for {
		left := max(time.Until(deadline), time.Second).Round(time.Millisecond)
		status, err = c.Runtime.output(ctx, "exec", c.Name, c.init, "status", "--wait", left.String())
		var failed *CommandError
		switch {
		case err == nil:
			return status, nil
		case !errors.As(err, &failed):
			return "", fmt.Errorf("waiting for %s: %w", c.Name, err)
		case failed.Code == 1 && status != "":
			return status, ErrDegraded
		}
		if code, running, err := c.state(ctx); err != nil {
			return "", err
		} else if !running {
			return "", c.failure(ctx, fmt.Sprintf("%s ended while it booted, with exit code %d", c.Name, code))
		}
		if failed.Code == 126 || failed.Code == 127 {
			refused++ // a container that is about to end does it, too
		}
		if refused > 5 {
			return "", fmt.Errorf("asking %s for its status: there is no %s in it that runs: is it an image of nix2vast?", c.Name, c.init)
		}
		if time.Now().After(deadline) {
			return "", c.failure(ctx, fmt.Sprintf("%s has not booted after %v", c.Name, limit))
		}
		select { // under a launcher it takes a while until there is an init to ask
		case <-retry.C:
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for %s: %w", c.Name, context.Cause(ctx))
		}
	}
}

// failure is an error that has the last lines of the log.
func (c *Container) failure(ctx context.Context, what string) error {
	var log strings.Builder
	last := c.Runtime.command("logs", "--tail", "15", c.Name)
	last.Out, last.Err = &log, &log
	if err := last.Run(ctx); err != nil || log.Len() == 0 {
		return fmt.Errorf("%s; its log is empty: is its entrypoint an init of nix2vast?", what)
	}
	return fmt.Errorf("%s; --keep leaves it for a closer look. Its log ends with:\n%s", what, strings.TrimRight(log.String(), "\n"))
}

// state is that of the container, and its exit code once it has ended.
func (c *Container) state(ctx context.Context) (code int, running bool, err error) {
	out, err := c.Runtime.output(ctx, "inspect", "--type", "container", "--format", "{{.State.ExitCode}} {{.State.Running}}", c.Name)
	number, word, _ := strings.Cut(out, " ")
	if err == nil {
		code, err = strconv.Atoi(number)
	}
	if err != nil {
		return 0, false, fmt.Errorf("asking %s for the state of %s: %w", c.Runtime.Name, c.Name, err)
	}
	return code, word == "true", nil
}

// SSH is the line that logs in to the container. It is an error if nothing that speaks SSH
// answers there.
func (c *Container) SSH(ctx context.Context, keyFile string) (string, error) {
	out, err := c.Runtime.output(ctx, "port", c.Name, "22/tcp")
	if err != nil {
		return "", fmt.Errorf("port 22 of %s is not published: %w", c.Name, err)
	}
	first, _, _ := strings.Cut(out, "\n")
	port := first[strings.LastIndexByte(first, ':')+1:]
	if _, err := strconv.Atoi(port); err != nil {
		return "", fmt.Errorf("%s tells no port of %s: %q", c.Runtime.Name, c.Name, out)
	}
	line := "ssh -p " + port
	if private := strings.TrimSuffix(keyFile, ".pub"); private != keyFile {
		if _, err := os.Stat(private); err == nil {
			line += " -i " + private
		}
	}
	// The next box on this port has other host keys: each is known by its own name.
	line += " -o HostKeyAlias=" + c.Name + " -o StrictHostKeyChecking=accept-new root@127.0.0.1"
	if jump, ok := strings.CutPrefix(c.Runtime.Host, "ssh://"); ok {
		return strings.Replace(line, "ssh ", "ssh -J "+jump+" ", 1), nil
	}
	if !c.Runtime.local() {
		return line, nil // of the other machine
	}
	return line, greets(ctx, "127.0.0.1:"+port)
}

// greets checks that an SSH server answers.
func greets(ctx context.Context, address string) error {
	ctx, end := context.WithTimeout(ctx, greeting)
	defer end()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("port 22 does not answer: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	b := make([]byte, len("SSH-"))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != "SSH-" {
		return errors.New("port 22 answers with no SSH server: see what the status says of ssh")
	}
	return nil
}

// greeting is the longest time for an SSH server to say its first word.
const greeting = 5 * time.Second

// Result is nil for a container that ended with 0 or that still runs, else an Exit.
func (c *Container) Result(ctx context.Context) error {
	code, running, err := c.state(ctx)
	if err != nil || running || code == 0 {
		return err
	}
	return Exit{code}
}

// Attach starts the container with our input and outputs, and waits for its end. Its exit
// code, if it is not 0, is an Exit.
func (c *Container) Attach(ctx context.Context, in io.Reader, out, err io.Writer) error {
	args := []string{"start", "--attach"}
	if in != nil {
		args = append(args, "--interactive")
	}
	return exit(ctx, c.Runtime, c.Name, args, nil, in, out, err)
}

// Exec runs a program in the container, by default a login shell, with our input and
// outputs. Its exit code, if it is not 0, is an Exit.
func (c *Container) Exec(ctx context.Context, command []string, terminal bool, in io.Reader, out, err io.Writer) error {
	if len(command) == 0 {
		command = []string{"/bin/sh", "-c", "command -v bash >/dev/null && exec bash -l; exec sh -l"}
	}
	args := []string{"exec", "--interactive"}
	if terminal {
		args = append(args, "--tty")
	}
	return exit(ctx, c.Runtime, c.Name, args, command, in, out, err)
}

func exit(ctx context.Context, r Runtime, name string, args, command []string, in io.Reader, out, err io.Writer) error {
	run := r.command(append(append(args, name), command...)...)
	run.In, run.Out, run.Err = in, out, err
	failure := run.Run(ctx)
	var failed *CommandError
	if errors.As(failure, &failed) {
		return Exit{failed.Code}
	}
	return failure
}

// Stop ends the container as docker stop does. It goes on when ctx has ended.
func (c *Container) Stop(ctx context.Context) error {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), 3*grace)
	defer end()
	if _, err := c.Runtime.output(ctx, "stop", c.Name); err != nil {
		return fmt.Errorf("stopping %s: %w", c.Name, err)
	}
	return nil
}

// Remove ends the container at once and removes it with its unnamed volumes. It goes on
// when ctx has ended, and a container that is not there is no error.
func (c *Container) Remove(ctx context.Context) error {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), 3*grace)
	defer end()
	_, err := c.Runtime.output(ctx, "rm", "--force", "--volumes", c.Name)
	if err != nil && !strings.Contains(strings.ToLower(err.Error()), "no such container") {
		return fmt.Errorf("removing %s: %w", c.Name, err)
	}
	return nil
}

// Running finds a container of this image that runs, the newest of several. It returns
// nil if there is none.
func (r Runtime) Running(ctx context.Context, image Image) (*Container, error) {
	out, err := r.output(ctx, "ps", "--filter", "label="+imageLabel+"="+image.ConfigDigest, "--format", "{{.Names}}")
	if err != nil {
		return nil, fmt.Errorf("looking for a container of %s: %w", image.Names()[0], err)
	}
	name, _, _ := strings.Cut(out, "\n")
	if name == "" {
		return nil, nil
	}
	return r.named(name), nil
}

// Find is the container of that name, which has to run.
func (r Runtime) Find(ctx context.Context, name string) (*Container, error) {
	c := r.named(name)
	_, running, err := c.state(ctx)
	var failed *CommandError
	switch {
	case errors.As(err, &failed):
		return nil, fmt.Errorf("%s has no container %s, and there is no plan of that name: %w", r.Name, name, err)
	case err != nil:
		return nil, err
	case !running:
		return nil, fmt.Errorf("the container %s does not run: %s start %[1]s", name, r.Name)
	}
	return c, nil
}

func (r Runtime) named(name string) *Container {
	return &Container{Runtime: r, Name: name, init: "/init"}
}
