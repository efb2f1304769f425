// Nix2vast makes container images from what Nix built, without writing them down first.
//
// Nix writes a plan: a JSON file of a few kilobytes which says what is in an image, by
// store path and hash, and how it is started. Everything else is read out of the Nix store
// when somebody wants it, layer by layer, and only what the other side lacks.
//
//	nix2vast image inspect [PLAN]   list layers, sizes, and what another plan has otherwise
//	nix2vast image plan             write a plan; the builder of a derivation
//	nix2vast image sbom PLAN        list what is in the image, as SPDX
//	nix2vast image load PLAN        give the image to docker or podman
//	nix2vast image push PLAN        send it to a registry
//	nix2vast image run PLAN         start it as a container, as a host would
//	nix2vast image shell PLAN       start it and be in it
//	nix2vast image oci PLAN         write it as a folder, the OCI image layout
//	nix2vast image archive PLAN     write it as an archive for docker load
//	nix2vast image stage [PLAN]     write it as folders for the COPY lines of a Dockerfile
//	nix2vast image serve PLAN       be a registry that has this one image
//	nix2vast completion bash|zsh|fish
//	nix2vast version
//
// PLAN is the file, or a folder or link that leads to it: the result that nix build left.
// With --store DIR the store paths are read below DIR, as Nix' own --store has it.
//
// Each verb says with --help what it takes. Results go to standard output, and everything
// else to standard error, of which --quiet leaves only errors.
//
// # A plan from a Nix build
//
// The derivation sets __structuredAttrs, exportReferencesGraph.graph and image, and its
// builder is this program with the arguments image plan; https://nix.dev/manual/nix/latest/language/advanced-attributes
// tells of the first two. The attributes of image:
//
//	name, tag, tags      what the image is called; tags are further ones
//	registries           where a push goes that names no place, as ghcr.io/owner
//	architecture         amd64 or arm64
//	created              in RFC 3339; default 1970-01-01T00:00:01Z
//	revision, source     of the source, for the labels org.opencontainers.image.…
//	config               as https://github.com/opencontainers/image-spec/blob/main/config.md has it
//	annotations          of the manifest, beside those made of the above
//	rootfs               the store path that becomes /
//	modes                octal numbers by path, where those of rootfs are others than 0755 and
//	                     0644; or the path of a JSON file with them
//	files                a list of {path, target, mode}: store paths that are one file each
//	groups               a list of {name, roots}: which packages change together, from what
//	                     changes least to what changes most
//	database             whether Nix in the image is told what is in its store
//	layers               {max, own, part}: how many, and from how many bytes a path is one
//
// # Environment
//
//	XDG_CACHE_HOME       where digests of layers are remembered, in nix2vast/layers; default ~/.cache
//	NIX2VAST_RUNTIME     docker or podman; default: docker if it answers
//	REGISTRY_USER, REGISTRY_TOKEN
//	                     who pushes, and the password; then GITHUB_TOKEN or GH_TOKEN with
//	                     GITHUB_ACTOR for ghcr.io, then what docker login or podman login knows
//	NO_COLOR             set to anything: no colours on a terminal, https://no-color.org
//	NIX_ATTRS_JSON_FILE, NIX_BUILD_TOP
//	                     set by Nix: where the attributes are
//
// # Exit codes
//
// 0 done; 1 failed; 2 wrong usage; 129 its terminal was closed, 130 interrupted, 143 terminated.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/fleek-platform/nix2vast/image/engine"
)

// version is set by the linker.
var version = "dev"

const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 128 // and the number of the signal
)

func main() {
	ctx, stop := catchSignals(context.Background())
	a := &app{settings: readSettings()}
	code := a.run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// interrupted is why a context ended: somebody wants the program to.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string {
	switch i.signal {
	case syscall.SIGINT:
		return "interrupted"
	case syscall.SIGHUP:
		return "the terminal was closed"
	}
	return "terminated"
}

// catchSignals ends the context at the first signal; the second one ends the program.
func catchSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			number, _ := s.(syscall.Signal) // Notify was asked for no other
			cancel(interrupted{number})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// run is one run of the program, and returns its exit code.
func (a *app) run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := a.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var why interrupted
	var wrong usageError
	var exit engine.Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code // of a program in a container, which has said what there was to say
	case errors.As(context.Cause(ctx), &why):
		fmt.Fprintln(stderr, "nix2vast:", why)
		return exitInterrupted + int(why.signal)
	case !a.started || errors.As(err, &wrong):
		fmt.Fprintf(stderr, "nix2vast: %v; see %s --help\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintln(stderr, "nix2vast:", err)
	return exitFailed
}

// usageError is one of the command line that the command itself finds.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
