package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"
)

// commandOutput is how much of a command's output is kept, in bytes.
const commandOutput = 1 << 20

// Capture runs a short-lived program and returns what it wrote to stdout and
// stderr together, cut at 1 MiB, and its exit code. When ctx
// ends, its process group is killed. An exit code other than 0 is no error; a
// program that could not be started, or that ctx or a signal ended, is.
func Capture(ctx context.Context, environ []string, argv ...string) (output []byte, code int, err error) {
	var out limited
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = environ
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return out.Bytes(), 0, nil
	case ctx.Err() != nil:
		return out.Bytes(), -1, fmt.Errorf("%s was killed: %w", argv[0], context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		return out.Bytes(), exit.ExitCode(), nil
	}
	return out.Bytes(), -1, fmt.Errorf("running %s: %w", argv[0], err)
}

// limited keeps the first commandOutput bytes and takes the rest without keeping it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	if room := commandOutput - l.Len(); room > 0 {
		l.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}
