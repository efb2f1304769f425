package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/rootfs"
)

// rootfsCommand is the builder of a derivation, and nothing for people.
func (a *app) rootfsCommand() *cobra.Command {
	var attrs string
	cmd := &cobra.Command{
		Use: "rootfs", Short: "Compose the root file system of an image, as the builder of a Nix derivation",
		Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, attrs, err := a.readAttrs(attrs)
			if err != nil {
				return err
			}
			if err := rootfs.Build(b, a.store, cmd.ErrOrStderr()); err != nil {
				return fmt.Errorf("composing the root file system of %s: %w", attrs, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&attrs, "attrs", "", "JSON `file` with the attributes; default: where Nix has put them")
	return cmd
}
