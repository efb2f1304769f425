package main

import (
	"errors"
	"os"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fleek-platform/nix2vast/image/engine"
	"github.com/fleek-platform/nix2vast/image/layer"
)

// image opens a plan and finds out its digests.
func (a *app) image(cmd *cobra.Command, path string, f form) (engine.Image, error) {
	c, err := layer.Compression(f.compression).At(int(f.level))
	if err != nil {
		return engine.Image{}, usageError{err}
	}
	p, layers, err := a.open(path)
	if err != nil {
		return engine.Image{}, err
	}
	return engine.Open(cmd.Context(), p, layers, a.store, a.cache(), c)
}

// progress goes to the standard error, which people read while the result goes elsewhere.
func (a *app) progress(image engine.Image) *engine.Progress {
	if a.quiet {
		return nil
	}
	return engine.NewProgress(os.Stderr, term.IsTerminal(int(os.Stderr.Fd())), len(image.Layers))
}

// runtime is the flag's, else the environment's, else "".
func (a *app) runtime(flag string) string {
	if flag != "" {
		return flag
	}
	return a.settings.runtime
}

func runtimeFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "runtime", "", "docker or podman (default $NIX2VAST_RUNTIME, else the one that answers)")
}

// form is how the layers of an image are compressed.
type form struct {
	compression string
	level       level
}

// unpacked is what engines on this machine get.
var unpacked = form{compression: string(layer.None)}

func (f *form) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.compression, "compression", unpacked.compression, "of the layers: none, gzip or zstd (which Docker reads from version 23 on)")
	levelFlag(cmd, &f.level, "of gzip 1 to 9, of zstd 1 to 22: higher is smaller and slower (default one that is quick and small)")
}

// level is a flag, 0 where it is not given.
type level int

func (l *level) String() string { return strconv.Itoa(int(*l)) }
func (l *level) Type() string   { return "int" }

func (l *level) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("it is a number: of gzip 1 to 9, of zstd 1 to 22")
	}
	*l = level(n)
	return nil
}

func levelFlag(cmd *cobra.Command, to *level, usage string) {
	cmd.Flags().Var(to, "compression-level", usage)
	values := func(cmd *cobra.Command, _ []string, _ string) (list []cobra.Completion, _ cobra.ShellCompDirective) {
		c := layer.Compression(cmd.Flag("compression").Value.String())
		if c == "both" {
			c = layer.Gzip // which has fewer
		}
		for _, z := range c.Levels()[1:] {
			list = append(list, strconv.Itoa(z.Level()))
		}
		return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
	if err := cmd.RegisterFlagCompletionFunc("compression-level", values); err != nil {
		panic(err) // the flag is defined above
	}
}
