package main

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nix2vast": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CACHE_HOME", e.WorkDir+"/cache")
			return nil
		},
	})
}

// TestManualHasEveryVerb wants each verb in the package comment.
func TestManualHasEveryVerb(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "main.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	manual := file.Doc.Text()
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		if !c.HasSubCommands() && !strings.Contains(manual, "\t"+c.CommandPath()) {
			t.Errorf("the package comment lacks %q", c.CommandPath())
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || c.Short[:1] != strings.ToLower(c.Short[:1]) {
			t.Errorf("%s: the line %q has a capital in front, or a dot behind", c.CommandPath(), c.Short)
		}
		for _, sub := range c.Commands() {
			look(sub)
		}
	}
	look((&app{}).command())
}

// TestInterrupted holds that a signal is told from a failure that it causes.
func TestInterrupted(t *testing.T) {
	for signal, want := range map[syscall.Signal]struct {
		code int
		said string
	}{
		syscall.SIGINT:  {130, "nix2vast: interrupted\n"},
		syscall.SIGTERM: {143, "nix2vast: terminated\n"},
		syscall.SIGHUP:  {129, "nix2vast: the terminal was closed\n"},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(interrupted{signal})
		var out, errs bytes.Buffer
		a := &app{}
		if code := a.run(ctx, []string{"image", "inspect", "nowhere"}, &out, &errs); code != want.code {
			t.Errorf("%v gives %d, want %d", signal, code, want.code)
		}
		if text := errs.String(); text != want.said {
			t.Errorf("%v says %q", signal, text)
		}
	}
}

// TestSignalEndsTheContext sends this process real ones.
func TestSignalEndsTheContext(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		ctx, stop := catchSignals(context.Background())
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		if cause := context.Cause(ctx); cause != (interrupted{s}) {
			t.Errorf("the cause is %v, want %v", cause, s)
		}
		stop()
	}
}
