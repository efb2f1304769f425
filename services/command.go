package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

const (
	commandOutput = 1 << 20 // how much of a command's output Capture keeps, in bytes
	probeOutput   = 4 << 10 // and captureAs

	// captureDelay is how long the output is waited for where the program has ended
	// and something that it started holds it open.
	captureDelay = 500 * time.Millisecond
)

// Capture runs a short-lived program and returns what it wrote to stdout and
// stderr together, cut at 1 MiB, and its exit code. When ctx ends, its process group is
// killed, and what descends from it. An exit code other than 0 is no error; a program
// that could not be started, or that ctx or a signal ended, is.
func Capture(ctx context.Context, environ []string, argv ...string) (output []byte, code int, err error) {
	return CaptureInput(ctx, nil, environ, argv...)
}

// CaptureInput is Capture for a program that reads stdin; nil is an empty one.
func CaptureInput(ctx context.Context, stdin io.Reader, environ []string, argv ...string) (output []byte, code int, err error) {
	var out limited
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin = environ, stdin
	code, err = capture(ctx, cmd, &out)
	return out.Bytes(), code, err
}

// captureAs is Capture for a command of a service: the program is searched in the
// PATH of env, runs in dir as cred (nil: as init), and the last 4 KiB of its
// output are kept. What it leaves in its process group is killed.
func captureAs(ctx context.Context, dir string, env []string, cred *syscall.Credential, argv []string) (output []byte, code int, err error) {
	path, err := lookPath(argv[0], env, dir)
	if err != nil {
		return nil, -1, err
	}
	stdin, err := emptyInput()
	if err != nil {
		return nil, -1, fmt.Errorf("opening an empty standard input: %w", err)
	}
	defer stdin.Close()
	var out tail
	cmd := exec.CommandContext(ctx, path)
	cmd.Args, cmd.Dir, cmd.Stdin = argv, dir, stdin
	cmd.Env = append([]string{}, env...) // nil would be init's own, with what is secret in it
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	code, err = capture(ctx, cmd, &out)
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // ESRCH: nothing is left
	}
	return out.b, code, err
}

func capture(ctx context.Context, cmd *exec.Cmd, out io.Writer) (code int, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return killAll(cmd.Process.Pid) }
	cmd.WaitDelay = captureDelay
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return 0, nil
	case ctx.Err() != nil:
		return -1, fmt.Errorf("%s was killed: %w", cmd.Args[0], context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	}
	return -1, fmt.Errorf("running %s: %w", cmd.Args[0], err)
}

// killAll kills a process group by its leader, and what has left the group and still
// descends from that. The list is made first: a parent that still lived would make more
// of them, and what has lost its parent is not found any more.
func killAll(pid int) error {
	list := descendants(pid)
	err := syscall.Kill(-pid, syscall.SIGKILL)
	for _, pid := range list {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return err
}

// limited keeps the first commandOutput bytes and takes the rest without keeping it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if room := commandOutput - l.Len(); room > 0 {
		l.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}

// tail keeps the last probeOutput bytes.
type tail struct{ b []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b[max(0, len(b)-probeOutput):]...)
	if extra := len(t.b) - probeOutput; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(b), nil
}
