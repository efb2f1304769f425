package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fleek-platform/nix2vast/image/engine"
)

// starting is what the flags of run and shell say.
type starting struct {
	runtime, name, gpus, platform string
	env, volumes, publish, keys   []string
	detach, keep                  bool
	wait                          time.Duration
}

func (s *starting) flags(cmd *cobra.Command) {
	runtimeFlag(cmd, &s.runtime)
	f := cmd.Flags()
	f.StringVar(&s.name, "name", "", "name of the container (default the image's, with something behind it that no other has)")
	f.StringVar(&s.gpus, "gpus", "auto", "auto: all of them, if there are any; none; or as docker run takes it")
	f.StringVar(&s.platform, "platform-like", "docker", "start it as this host does; see below")
	f.StringArrayVarP(&s.env, "env", "e", nil, "NAME=VALUE, or NAME to pass on; may be given again")
	f.StringArrayVarP(&s.volumes, "volume", "v", nil, "as docker run takes it; may be given again")
	f.StringArrayVarP(&s.publish, "publish", "p", nil, "as docker run takes it; may be given again. SSH is on a port of the loopback in any case")
	f.StringArrayVar(&s.keys, "key", nil, "file of a public key that may log in (default ~/.ssh/id_*.pub and what ssh-add -L lists)")
	f.DurationVar(&s.wait, "wait", 2*time.Minute, "longest time to boot")
}

func (a *app) runCommand() *cobra.Command {
	var s starting
	var remove bool
	cmd := &cobra.Command{
		Use: "run PLAN [-- COMMAND...]", Short: "start a container of the image, on this machine", Args: cobra.MinimumNArgs(1),
		Long: `Run loads the image, starts a container of it and waits until init says that it is
ready. Then it prints the line that logs in, and follows the log until Ctrl-C, or until its
terminal is closed: that stops and removes the container. With -d it leaves the container
and says how to stop it.

A COMMAND is the main command of the container: it has this terminal, and its exit code is
ours. The standard output carries the container's, or with -d its name.

--platform-like starts it as a host would:

` + platformHelp(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.detach && remove && s.keep {
				return usagef("--rm and --keep contradict each other")
			}
			image, err := a.image(cmd, args[0], unpacked)
			if err != nil {
				return err
			}
			r, loaded, box, err := a.prepare(cmd, s, image)
			if err != nil {
				return err
			}
			box.Command, box.Remove = args[1:], remove && s.detach
			switch {
			case s.detach:
				_, err = a.detached(cmd, s, r, image, loaded, box)
				return err
			case len(box.Command) > 0:
				return a.attached(cmd, s, r, image, loaded, box)
			}
			return a.foreground(cmd, s, r, image, loaded, box)
		},
	}
	s.flags(cmd)
	cmd.Flags().BoolVarP(&s.detach, "detach", "d", false, "leave the container once it is ready")
	cmd.Flags().BoolVar(&remove, "rm", false, "with -d: remove the container as soon as it ends")
	cmd.Flags().BoolVar(&s.keep, "keep", false, "do not remove the container at the end, nor when it does not boot")
	return cmd
}

func platformHelp() string {
	var b strings.Builder
	for _, p := range engine.Platforms {
		fmt.Fprintf(&b, "  %-9s %s\n", p.Name, strings.ReplaceAll(wrap(p.About, 76), "\n", "\n            "))
	}
	return strings.TrimRight(b.String(), "\n")
}

// wrap breaks a text into lines of so many characters.
func wrap(text string, width int) string {
	var b strings.Builder
	n := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case n+1+len(word) > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}

// prepare loads the image and finds out how the container is to be started.
func (a *app) prepare(cmd *cobra.Command, s starting, image engine.Image) (r engine.Runtime, l engine.Loaded, b engine.Box, err error) {
	if b.Like, err = engine.FindPlatform(s.platform); err != nil {
		return r, l, b, usageError{err}
	}
	if b.Keys, err = engine.Keys(cmd.Context(), a.settings.home, s.keys); err != nil {
		return
	}
	if r, err = engine.Pick(cmd.Context(), a.runtime(s.runtime)); err != nil {
		return
	}
	if l, err = a.load(cmd, r, image, image.Names()); err != nil {
		return
	}
	b.Name, b.Env, b.Volumes, b.Publish, b.GPUs = s.name, s.env, s.volumes, s.publish, s.gpus
	if b.Name == "" {
		b.Name = engine.NewName(image)
	}
	return
}

// tell is say where lines of a container come in between.
func (a *app) tell(cmd *cobra.Command, format string, values ...any) {
	a.say(cmd, "nix2vast: "+format, values...)
}

// attached runs the main command with our terminal.
func (a *app) attached(cmd *cobra.Command, s starting, r engine.Runtime, image engine.Image, l engine.Loaded, b engine.Box) error {
	b.Input, b.Terminal = true, terminal()
	c, err := r.Create(cmd.Context(), image, l, b)
	if err != nil {
		return err
	}
	err = c.Attach(cmd.Context(), os.Stdin, os.Stdout, os.Stderr)
	if s.keep {
		return err
	}
	return errors.Join(err, c.Remove(cmd.Context()))
}

// terminal says whether a person sits at both ends.
func terminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}

// detached starts a container and leaves it when it is ready.
func (a *app) detached(cmd *cobra.Command, s starting, r engine.Runtime, image engine.Image, l engine.Loaded, b engine.Box) (*engine.Container, error) {
	c, err := r.Start(cmd.Context(), image, l, b)
	if err != nil {
		return nil, err
	}
	if err := a.ready(cmd, s, c, len(b.Keys)); err != nil {
		if !s.keep {
			err = errors.Join(err, c.Remove(cmd.Context()))
		}
		return nil, err
	}
	a.tell(cmd, "a shell in it: nix2vast image shell %s", c.Name)
	if b.Remove {
		a.tell(cmd, "stop and remove it: %s stop %s", r.Name, c.Name)
	} else {
		a.tell(cmd, "stop it: %s stop %s; remove it: %[1]s rm -f -v %[2]s", r.Name, c.Name)
	}
	fmt.Fprintln(cmd.OutOrStdout(), c.Name)
	return c, nil
}

// ready waits for the boot and prints the status and how to log in.
func (a *app) ready(cmd *cobra.Command, s starting, c *engine.Container, keys int) error {
	if c.Note != "" {
		a.tell(cmd, "%s", c.Note)
	}
	a.tell(cmd, "waiting until %s is ready, for %v at most", c.Name, s.wait)
	began := time.Now()
	status, err := c.Ready(cmd.Context(), s.wait)
	if err != nil && !errors.Is(err, engine.ErrDegraded) {
		return err
	}
	word := "ready"
	if err != nil {
		word = "up, but " + err.Error()
	}
	a.tell(cmd, "%s is %s, after %.1f s\n%s", c.Name, word, time.Since(began).Seconds(), status)
	key := ""
	if len(s.keys) > 0 {
		key = s.keys[0]
	}
	line, err := c.SSH(cmd.Context(), key)
	switch {
	case err == nil:
		a.tell(cmd, "log in: %s", line)
	case keys == 0:
		a.tell(cmd, "nobody can log in by ssh, since no public key was found: name one with --key, or make one with ssh-keygen")
	default:
		a.tell(cmd, "nobody can log in by ssh: %v", err)
	}
	return nil
}

// foreground follows the log until a signal or the end of the container. A signal stops
// the container, and its log is followed to its end.
func (a *app) foreground(cmd *cobra.Command, s starting, r engine.Runtime, image engine.Image, l engine.Loaded, b engine.Box) error {
	ctx := cmd.Context()
	c, err := r.Start(ctx, image, l, b)
	if err != nil {
		return err
	}
	log := c.Follow(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr())
	err = a.ready(cmd, s, c, len(b.Keys))
	if err == nil {
		a.tell(cmd, "Ctrl-C stops and removes it; its log follows")
		select {
		case <-log.Done():
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil: // which is how this ends
		err = errors.Join(c.Stop(ctx), log.End(ctx, logEnd))
	case err == nil:
		err = errors.Join(log.End(ctx, logEnd), c.Result(ctx))
	default: // it may still run, and the error has the end of its log
		log.Cut()
	}
	if s.keep {
		return err
	}
	return errors.Join(err, c.Remove(ctx))
}

// logEnd is the longest time that the log of a container which has ended takes to end.
const logEnd = 10 * time.Second

func (a *app) shellCommand() *cobra.Command {
	var s starting
	cmd := &cobra.Command{
		Use: "shell PLAN|CONTAINER [-- COMMAND...]", Short: "open a shell in a container of the image", Args: cobra.MinimumNArgs(1),
		Long: `Shell opens a login shell in a container: the one of that name, or one of that plan which
runs. Where none runs it starts one, and removes it when the shell ends. With a COMMAND it
runs that instead, and ends with its exit code.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, started, err := a.container(cmd, s, args[0])
			if err != nil {
				return err
			}
			err = c.Exec(cmd.Context(), args[1:], terminal(), os.Stdin, os.Stdout, os.Stderr)
			if started {
				err = errors.Join(err, c.Remove(cmd.Context()))
			}
			return err
		},
	}
	s.flags(cmd)
	return cmd
}

// container finds the one that is meant, or starts it.
func (a *app) container(cmd *cobra.Command, s starting, what string) (c *engine.Container, started bool, err error) {
	if _, err := os.Stat(what); err != nil && !strings.ContainsRune(what, '/') && !strings.HasSuffix(what, ".json") {
		r, err := engine.Pick(cmd.Context(), a.runtime(s.runtime))
		if err != nil {
			return nil, false, err
		}
		c, err := r.Find(cmd.Context(), what)
		return c, false, err
	}
	image, err := a.image(cmd, what, unpacked)
	if err != nil {
		return nil, false, err
	}
	r, err := engine.Pick(cmd.Context(), a.runtime(s.runtime))
	if err != nil {
		return nil, false, err
	}
	if c, err = r.Running(cmd.Context(), image); err != nil || c != nil {
		return c, false, err
	}
	r, l, b, err := a.prepare(cmd, s, image)
	if err != nil {
		return nil, false, err
	}
	if c, err = r.Start(cmd.Context(), image, l, b); err != nil {
		return nil, false, err
	}
	if err := a.ready(cmd, s, c, len(b.Keys)); err != nil {
		return nil, false, errors.Join(err, c.Remove(cmd.Context()))
	}
	return c, true, nil
}
