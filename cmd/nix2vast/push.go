package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fleek-platform/nix2vast/image/engine"
	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
	"github.com/fleek-platform/nix2vast/image/plan"
	"github.com/fleek-platform/nix2vast/image/registry"
)

// pushFlags are the flags of image push.
type pushFlags struct {
	tag, compression string
	level            level
	only             string
	jobs             int
	sbom, provenance bool
	username         string
	passwordStdin    bool
	dryRun, json     bool
	allowHTTP        bool
	ca               string
}

const pushLong = `Push sends an image to registries: to each DESTINATION, such as
ghcr.io/owner/name:tag, or to those that the plan names.

Layers that the registry has are not sent, and not read. A cut connection is
continued. Tags are set last, when everything that they need is there.

--compression-level is another image than that without it, or with another level: all of
its layers are sent. With both, gzip and zstd have the same level. There are four kinds of
zstd: 1 and 2, 3 to 5, 6 to 9, and above.

Credentials are taken from the first of these that has any:
  --username and --password-stdin
  REGISTRY_USER and REGISTRY_TOKEN
  GITHUB_TOKEN or GH_TOKEN, with GITHUB_ACTOR as the user; for ghcr.io only
  gh auth token; for ghcr.io only
  what docker login and podman login left, and credential helpers

The result, on standard output, is each image's repository, tag and digest.`

func (a *app) pushCommand() *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use: "push PLAN [DESTINATION...]", Short: "send an image to registries", Long: pushLong,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.push(cmd, f, args[0], args[1:]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tag, "tag", "", "tag, instead of the plan's tags")
	flags.StringVar(&f.only, "only", "", "of the plan's registries those of this host alone, such as ghcr.io")
	flags.StringVar(&f.compression, "compression", "gzip", "gzip; zstd, which Docker before 23 cannot read; none;"+
		" both: gzip, and zstd under the tags with -zstd behind them")
	levelFlag(cmd, &f.level, "of gzip 1 to 9, of zstd 1 to 22, of both 1 to 9 for each: higher is smaller and slower"+
		" (default one that is quick and small)")
	flags.IntVar(&f.jobs, "jobs", 4, "how many layers are sent at once")
	flags.BoolVar(&f.sbom, "sbom", false, "attach a list of the packages, SPDX 2.3")
	flags.BoolVar(&f.provenance, "provenance", false, "attach a statement of what the image was made of, in-toto and SLSA")
	flags.StringVar(&f.username, "username", "", "user at the registry")
	flags.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password, or token, from the standard input")
	flags.BoolVar(&f.dryRun, "dry-run", false, "look only: log in, and say what would be sent")
	flags.BoolVar(&f.json, "json", false, "write the result as JSON")
	flags.BoolVar(&f.allowHTTP, "allow-http", false, "permit plain HTTP, which anybody on the way can read and change")
	flags.StringVar(&f.ca, "tls-ca", "", "file of certificates, in PEM form, that are trusted besides the system's")
	values := cobra.FixedCompletions([]string{"gzip", "zstd", "both", "none"}, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc("compression", values); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

func (a *app) push(cmd *cobra.Command, f pushFlags, path string, args []string) error {
	compressions, err := f.compressions()
	if err != nil {
		return err
	}
	p, layers, err := a.open(path)
	if err != nil {
		return err
	}
	if f.only != "" {
		p.Registries = slices.DeleteFunc(p.Registries, func(r string) bool {
			host, _, _ := strings.Cut(r, "/")
			return host != f.only
		})
	}
	destinations, err := registry.Resolve(p, args, f.tag, f.allowHTTP)
	if err != nil {
		return usageError{err}
	}
	sources, err := a.credentials(cmd.InOrStdin(), f)
	if err != nil {
		return err
	}
	file, err := a.find(path)
	if err != nil {
		return err
	}
	artifacts, err := f.artifacts(p, file)
	if err != nil {
		return err
	}
	push := &registry.Push{
		Plan: p, Layers: layers, Store: a.store, Cache: a.cache(), Destinations: destinations,
		Compressions: compressions, Jobs: f.jobs, DryRun: f.dryRun, Artifacts: artifacts,
		Login: func(ctx context.Context, r name.Repository) (registry.Login, error) { return sources.Login(ctx, r) },
		Verify: func(ctx context.Context, layers []layer.Layer) error {
			return layer.Verify(ctx, layers, a.store, a.cache())
		},
		Net: registry.Net{AllowHTTP: f.allowHTTP},
	}
	if !a.quiet {
		push.Progress = registry.NewProgress(cmd.ErrOrStderr(), columns(cmd.ErrOrStderr()))
	}
	if f.ca != "" {
		if push.Net.CA, err = os.ReadFile(f.ca); err != nil {
			return fmt.Errorf("reading the certificates of --tls-ca: %w", err)
		}
	}
	result, err := push.Run(cmd.Context())
	if err != nil {
		return fmt.Errorf("pushing %s: %w", p.Name, err)
	}
	return a.report(cmd, f, result)
}

func (f pushFlags) compressions() ([]layer.Compression, error) {
	var list []layer.Compression
	switch c := layer.Compression(f.compression); c {
	case layer.Gzip, layer.Zstd, layer.None:
		list = append(list, c)
	case "both":
		list = append(list, layer.Gzip, layer.Zstd)
	default:
		return nil, usagef("--compression %s: it is one of gzip, zstd, both and none", f.compression)
	}
	for n, c := range list {
		var err error
		if list[n], err = c.At(int(f.level)); err != nil {
			return nil, usagef("--compression-level: %w", err)
		}
	}
	return list, nil
}

// maxPassword is how long a password may be, in bytes: tokens of clouds have some thousand.
const maxPassword = 64 << 10

// credentials are where the registries' may be from.
func (a *app) credentials(stdin io.Reader, f pushFlags) (registry.Sources, error) {
	l := a.settings.logins
	s := registry.Sources{
		Username: f.username, RegistryUser: l.user, RegistryToken: l.token,
		GitHubToken: l.githubToken, GitHubActor: l.githubUser, GitHubFrom: l.githubFrom,
		Keychain: authn.DefaultKeychain,
		GH: func(ctx context.Context) (registry.Secret, error) {
			token, err := engine.GitHubToken(ctx)
			return registry.Secret(token), err
		},
	}
	if !f.passwordStdin {
		return s, nil
	}
	line, err := bufio.NewReader(io.LimitReader(stdin, maxPassword)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("reading the password from the standard input: %w", err)
	}
	s.Password = registry.Secret(strings.TrimRight(line, "\r\n"))
	if s.Password == "" {
		return s, errors.New("--password-stdin: the standard input holds no password")
	}
	return s, nil
}

// artifacts are what is to be attached to the image.
func (f pushFlags) artifacts(p plan.Plan, path string) ([]func(registry.Subject) (registry.Artifact, error), error) {
	var list []func(registry.Subject) (registry.Artifact, error)
	if f.sbom {
		list = append(list, func(registry.Subject) (registry.Artifact, error) {
			b, err := registry.SBOM(p)
			return registry.Artifact{Title: "SBOM", Type: registry.SPDXType, Data: b}, err
		})
	}
	if f.provenance {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the plan: %w", err)
		}
		digest := oci.Digest(b)
		list = append(list, func(image registry.Subject) (registry.Artifact, error) {
			b, err := registry.Provenance(p, digest, image)
			return registry.Artifact{Title: "provenance", Type: registry.ProvenanceType, Data: b}, err
		})
	}
	return list, nil
}

// report writes the result, and for people what it took.
func (a *app) report(cmd *cobra.Command, f pushFlags, r registry.Result) error {
	did := "sent"
	if r.DryRun {
		did = "would send about"
	}
	for _, i := range r.Images {
		a.say(cmd, "%s: %s %s in %d layers; %d were there, %d mounted; %.1f s",
			i.Compression, did, registry.Bytes(i.Bytes), i.Uploaded, i.Present, i.Mounted, r.Seconds)
		if !f.json {
			fmt.Fprintln(cmd.OutOrStdout(), i.Reference)
		}
	}
	if !f.json {
		return nil
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// columns is how wide a terminal is, 0 where w is none.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 80 // as wide as any
	}
	return n
}

func (a *app) sbomCommand() *cobra.Command {
	return &cobra.Command{
		Use: "sbom PLAN", Short: "list the packages of an image as SPDX 2.3", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, _, err := a.open(args[0])
			if err != nil {
				return err
			}
			b, err := registry.SBOM(p)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(b)
			return err
		},
	}
}
