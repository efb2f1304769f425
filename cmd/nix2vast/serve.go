package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/engine"
)

func (a *app) serveCommand() *cobra.Command {
	var address string
	var form form
	cmd := &cobra.Command{
		Use: "serve PLAN", Short: "be a registry with this one image, for pulls", Args: cobra.ExactArgs(1),
		Long: `Serve is a registry that has this one image. It makes a layer out of the Nix store
while somebody pulls it, and ends with Ctrl-C. It asks for no password and speaks no
TLS, so it listens on the loopback only, unless --address says otherwise.

It prints what to pull:

  docker pull 127.0.0.1:PORT/NAME:TAG
  podman pull --tls-verify=false 127.0.0.1:PORT/NAME:TAG`,
		RunE: func(cmd *cobra.Command, args []string) error {
			image, err := a.image(cmd, args[0], form)
			if err != nil {
				return err
			}
			progress := a.progress(image)
			server, err := engine.NewRegistry(image, progress).Listen(cmd.Context(), address)
			if err != nil {
				return err
			}
			defer server.Close()
			if host, _, err := net.SplitHostPort(address); err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
				a.tell(cmd, "everybody who reaches %s can pull this image", address)
			}
			fmt.Fprintln(cmd.OutOrStdout(), server.Reference()+"@"+image.Digest)
			err = server.Wait(cmd.Context())
			progress.Finish()
			return err
		},
	}
	cmd.Flags().StringVar(&address, "address", "127.0.0.1:0", "host:port to listen at; port 0 is any free one")
	form.flags(cmd)
	return cmd
}
