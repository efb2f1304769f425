package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/engine"
)

func (a *app) loadCommand() *cobra.Command {
	var runtime, tag string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "load PLAN", Short: "give the image to docker or podman on this machine", Args: cobra.ExactArgs(1),
		Long: `Load gives the image to docker or podman. They pull the layers that they lack from a
registry on the loopback, which makes them out of the Nix store. A docker on another
machine (DOCKER_HOST, docker context) gets a stream instead, as by docker load.

The runtime is that of --runtime, else of NIX2VAST_RUNTIME, else docker if it answers,
else podman.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			began := time.Now()
			image, err := a.image(cmd, args[0], unpacked)
			if err != nil {
				return err
			}
			names, err := image.Called(tag)
			if err != nil {
				return usageError{err}
			}
			r, err := engine.Pick(cmd.Context(), a.runtime(runtime))
			if err != nil {
				return err
			}
			done, err := a.load(cmd, r, image, names)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
			}
			a.say(cmd, "%s has %s, by %s: %d of %d layers sent, %s, %.1f s", r.Name, done.ID,
				done.Way, done.Layers, len(image.Layers), engine.Bytes(done.Bytes), time.Since(began).Seconds())
			fmt.Fprintln(cmd.OutOrStdout(), done.Names[0])
			return nil
		},
	}
	runtimeFlag(cmd, &runtime)
	cmd.Flags().StringVar(&tag, "tag", "", "tag, or name:tag, instead of the plan's")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was done as JSON")
	return cmd
}

// load is Runtime.Load with its progress on the standard error.
func (a *app) load(cmd *cobra.Command, r engine.Runtime, image engine.Image, names []string) (engine.Loaded, error) {
	progress := a.progress(image)
	defer progress.Finish()
	return r.Load(cmd.Context(), image, names, progress)
}
