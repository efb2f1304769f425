package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/plan"
)

func (a *app) planCommand() *cobra.Command {
	var attrs, output string
	c := &cobra.Command{
		Use: "plan", Short: "write a plan, as the builder of a Nix derivation or from a file", Args: cobra.NoArgs,
		Long: `Write a plan from the attributes of a derivation.

As the builder of a derivation with __structuredAttrs it needs no arguments: Nix says
where the attributes are, and where the plan goes. Elsewhere name both. The attributes
are listed in the manual page of nix2vast.`,
		Example: `  builder = "${nix2vast}/bin/nix2vast"; args = [ "image" "plan" ];
  nix2vast image plan --attrs attrs.json -o plan.json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.plan(cmd, attrs, output) },
	}
	c.Flags().StringVar(&attrs, "attrs", "", "JSON `file` with the attributes; default: where Nix has put them")
	c.Flags().StringVarP(&output, "output", "o", "", "`file` to write; default: the output that Nix asks for")
	return c
}

func (a *app) plan(cmd *cobra.Command, attrs, output string) error {
	b, attrs, err := a.readAttrs(attrs)
	if err != nil {
		return err
	}
	p, out, err := plan.Build(b, a.readStore)
	if err != nil {
		return fmt.Errorf("planning the image of %s: %w", attrs, err)
	}
	if output == "" {
		output = out
	}
	if output == "" {
		return usagef("the attributes name no output; say with --output where the plan goes")
	}
	if b, err = p.Marshal(); err != nil {
		return err
	}
	if err := replaceFile(output, b); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	a.say(cmd, "%s:%s: %d store paths, planned in %s", p.Name, p.Tag, len(p.Closure), output)
	return nil
}

// readAttrs reads the attributes from the first place where there are any.
func (a *app) readAttrs(file string) ([]byte, string, error) {
	files := a.settings.attrs
	if file != "" {
		files = []string{file}
	}
	if len(files) == 0 {
		return nil, "", usagef("this is no Nix build; say with --attrs where the attributes are")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil {
			return b, file, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", fmt.Errorf("reading the attributes: %w", err)
		}
	}
	return nil, "", fmt.Errorf("reading the attributes: there is no %s; does the derivation set __structuredAttrs?",
		strings.Join(files, " and no "))
}

// readStore reads a file, which --store moves where it is in the store.
func (a *app) readStore(path string) ([]byte, error) {
	if inside, ok := a.inStore(path); ok {
		path = inside
	}
	return os.ReadFile(path)
}

// replaceFile writes a file that is never half there. In the store Nix sees to that, and
// nothing else may be made there.
func replaceFile(name string, b []byte) error {
	if filepath.Dir(name) == plan.StoreDir {
		return os.WriteFile(name, b, 0o644)
	}
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing, once it was renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
