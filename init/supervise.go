package boot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
)

// NewSupervised is a container that only supervises the services of one config
// file: none of the boot's steps is taken, so that nothing below / is changed.
// dir takes the place of the root: the control socket lies in dir/run/nix2vast.
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
		Version: version, Progress: NewProgress(),
	}, nil
}

// Supervised starts the services of the config and no other.
var Supervised = Step{Name: "services", Run: func(ctx context.Context, c *Container) (string, error) {
	var errs []error
	var list []services.Service
	names := slices.Sorted(maps.Keys(c.Config.Services))
	parsed, bad := services.ParseAll(names, func(name string) []byte { return c.Config.Services[name] })
	for i, svc := range parsed {
		if errs = append(errs, bad[i]); bad[i] == nil {
			list = append(list, svc)
		}
	}
	if err := c.Supervisor.SetEnviron(ctx, c.Environ); err != nil {
		return "", err
	}
	errs = append(errs, c.Supervisor.Add(ctx, list...))
	return fmt.Sprintf("started %d", len(list)), errors.Join(errs...)
}}
