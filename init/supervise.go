package boot

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fleek-platform/nix2vast/image"
)

// NewSupervised is a container that only supervises the services of one config
// file: none of the boot's steps is taken, so that nothing below / is changed but
// by the services. dir takes the place of the root: the control socket lies in dir/run/nix2vast.
func NewSupervised(file, dir, version string) (*Container, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the services: %w", err)
	}
	config, err := image.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("reading the services of %s: %w", file, err)
	}
	environ := Environ()
	settings, problems := ParseSettings(environ)
	return &Container{
		Root: dir, Config: config, Settings: settings, Problems: problems, Environ: environ,
		Version: version, Progress: NewProgress(), defined: &defined{only: file}, runDir: runDirOnce(dir),
	}, nil
}

// Supervised starts the services of the config and no other.
var Supervised = Step{Name: "services", Run: func(ctx context.Context, c *Container) (string, error) {
	if err := c.Supervisor.SetEnviron(ctx, c.Environ); err != nil {
		return "", err
	}
	list, files, err := fromConfig("/", c.defined.only, c.Config, c.Environ)
	warnings, errs := splitWarnings(err)
	c.Problems = append(c.Problems, warnings...)
	_, err = writeFiles("/", files) // they stand in the definitions by these paths
	errs = append(errs, err, awaitHooks(list), c.Supervisor.Add(ctx, list...), c.Supervisor.Release(ctx))
	return fmt.Sprintf("started %d", len(list)), errors.Join(errs...)
}}
