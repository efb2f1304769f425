package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func sh(script string, args ...string) Command {
	return Command{Program: "/bin/sh", Args: append([]string{"-c", script}, args...)}
}

func TestCommandFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ script, want string }{
		{`echo first >&2; echo "Error response from daemon: no such thing" >&2; exit 4`, "/bin/sh -c: no such thing"},
		{`echo "docker: Error response from daemon: taken." >&2; printf "See 'docker run --help'.\n\n" >&2; exit 125`, "/bin/sh -c: taken."},
		{`echo "Error response from daemon: why" >&2; echo "Error: failed to start containers: box" >&2; exit 1`, "/bin/sh -c: why"},
		{`exit 3`, "/bin/sh -c ends with exit code 3"},
		{`i=0; while [ $i -lt 2000 ]; do echo "a line of some length" >&2; i=$((i+1)); done; echo last >&2; exit 1`, "/bin/sh -c: last"},
	} {
		err := sh(c.script).Run(t.Context())
		var failed *CommandError
		if !errors.As(err, &failed) || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.script, err, c.want)
		}
	}
	if err := (Command{Program: "no-such-program"}).Run(t.Context()); err == nil || err.Error() != "no-such-program is not installed, or not in PATH" {
		t.Error(err)
	}
}

// TestCommandInterrupted has a program that cleans up when it is interrupted, and says
// when it is ready for that.
func TestCommandInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := bytes.NewBuffer(nil)
	c := sh(`trap 'echo cleaned; exit 9' INT; echo up >&2; while :; do sleep 0.05; done`)
	c.Out, c.Err = out, w
	go func() {
		r.Read(make([]byte, 3))
		cancel()
	}()
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.Close()
	if out.String() != "cleaned\n" {
		t.Errorf("it prints %q", out)
	}
}

func TestCommandEnvironment(t *testing.T) {
	t.Setenv("INHERITED", "yes")
	c := sh(`echo "$INHERITED $OWN"; cat`)
	c.Env, c.In = []string{"OWN=a\nb"}, strings.NewReader("input")
	if out, err := c.Output(t.Context()); err != nil || out != "yes a\nb\ninput" {
		t.Errorf("%q, %v", out, err)
	}
}
