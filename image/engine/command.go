package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Command is one run of another program.
type Command struct {
	Program string
	Args    []string
	// Env is added to the environment that the program inherits. What is in it appears in
	// no list of processes, as Args do.
	Env      []string
	In       io.Reader // nothing to read, if nil
	Out, Err io.Writer // nowhere, if nil; the end of Err is kept for the error in any case
	// Apart keeps Ctrl-C at our terminal from the program: it ends with ctx alone. Such a
	// program writes to no terminal itself.
	Apart bool
}

var errNotInstalled = errors.New("not installed, or not in PATH")

// grace is what a program gets to clean up after it was interrupted.
const grace = 10 * time.Second

// A CommandError is the failure of a program that ran.
type CommandError struct {
	Verb string // the program and its first argument
	Code int    // its exit code, -1 if a signal ended it
	Said string // its last line on the standard error
}

func (e *CommandError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s ends with exit code %d", e.Verb, e.Code)
	}
	return e.Verb + ": " + e.Said
}

// Run runs the program to its end. Where ctx ends first the program is interrupted, as by
// Ctrl-C, and killed after ten seconds; the error is then that of ctx. A program that
// fails is a *CommandError.
func (c Command) Run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.Program, c.Args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	cmd.Stdin, cmd.Stdout = c.In, c.Out
	if c.Apart {
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	}
	if len(c.Env) > 0 {
		cmd.Env = append(cmd.Environ(), c.Env...)
	}
	last := &tail{}
	cmd.Stderr = last
	if c.Err != nil {
		cmd.Stderr = io.MultiWriter(c.Err, last)
	}
	// A terminal has to arrive as it is: a copy of ours would be a pipe.
	if f, ok := c.Err.(*os.File); ok {
		cmd.Stderr = f
	}
	err := cmd.Run()
	verb := strings.Join(append([]string{c.Program}, c.Args[:min(1, len(c.Args))]...), " ")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", verb, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is %w", c.Program, errNotInstalled)
	case errors.As(err, &exit):
		return &CommandError{Verb: verb, Code: exit.ExitCode(), Said: last.line()}
	}
	return fmt.Errorf("%s: %w", verb, err)
}

// Output runs the program and returns what it printed, without the space around it.
func (c Command) Output(ctx context.Context) (string, error) {
	var out bytes.Buffer
	c.Out = &out
	err := c.Run(ctx)
	return strings.TrimSpace(out.String()), err
}

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

var noNews = regexp.MustCompile(`^(See|Run) '|^(Error: )?failed to start containers: \S+$`)

// line is the last one that says something, without the words that programs put in front
// of every error. Docker ends with a pointer to its help, or with what it was told to do:
// that is no news.
func (t *tail) line() string {
	lines := strings.Split(string(t.b), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		if line == "" || noNews.MatchString(line) {
			continue
		}
		for _, prefix := range []string{"docker: ", "Error response from daemon: ", "Error: ", "error: "} {
			line = strings.TrimPrefix(line, prefix)
		}
		return line
	}
	return ""
}
