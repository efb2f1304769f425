package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fleek-platform/nix2vast/image/engine"
)

func (a *app) archiveCommand() *cobra.Command {
	var file, format, tag string
	var form form
	cmd := &cobra.Command{
		Use: "archive PLAN", Short: "write the image as one file, for docker load and podman load", Args: cobra.ExactArgs(1),
		Long: `Archive writes the image as one file: for docker load and podman load, or with
--format oci as an OCI layout in a tar file. The same plan gives the same bytes.

  nix2vast image archive PLAN | ssh HOST docker load
  nix2vast image archive PLAN -o image.tar`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "docker" && format != "oci" {
				return usagef("the format %q is neither docker nor oci", format)
			}
			if file == "-" && term.IsTerminal(int(os.Stdout.Fd())) {
				return usagef("an archive is nothing for a terminal: name a file with -o, or pipe it somewhere")
			}
			image, err := a.image(cmd, args[0], form)
			if err != nil {
				return err
			}
			names, err := image.Called(tag)
			if err != nil {
				return usageError{err}
			}
			progress := a.progress(image)
			defer progress.Finish()
			write := func(w io.Writer) error { return image.DockerArchive(cmd.Context(), w, names, progress) }
			if format == "oci" {
				write = func(w io.Writer) error { return image.OCIArchive(cmd.Context(), w, names, progress) }
			}
			if file == "-" {
				return write(cmd.OutOrStdout())
			}
			if err := engine.WriteFile(file, write); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), names[0]+"@"+image.Digest)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "-", "file to write, - for the standard output")
	cmd.Flags().StringVar(&format, "format", "docker", "docker or oci")
	cmd.Flags().StringVar(&tag, "tag", "", "tag, or name:tag, instead of the plan's")
	form.flags(cmd)
	return cmd
}

func (a *app) ociCommand() *cobra.Command {
	var tag string
	var form form
	cmd := &cobra.Command{
		Use: "oci PLAN DIR", Short: "write the image into a folder, as an OCI layout", Args: cobra.ExactArgs(2),
		Long: `Oci writes the image as an OCI image layout. A folder that does not exist is there when
it is whole; to a layout the image is added, and the blobs that it has are kept.

  nix2vast image oci PLAN DIR && skopeo inspect oci:DIR:TAG`,
		RunE: func(cmd *cobra.Command, args []string) error {
			image, err := a.image(cmd, args[0], form)
			if err != nil {
				return err
			}
			names, err := image.Called(tag)
			if err != nil {
				return usageError{err}
			}
			progress := a.progress(image)
			defer progress.Finish()
			if err := image.Layout(cmd.Context(), args[1], names, progress); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), names[0]+"@"+image.Digest)
			return nil
		},
	}
	cmd.Flags().StringVar(&tag, "tag", "", "tag, or name:tag, instead of the plan's")
	form.flags(cmd)
	return cmd
}
