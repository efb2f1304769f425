package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// app is what the commands share.
type app struct {
	settings settings
	store    string // the folder that the store paths are in, "" for /
	cacheDir string
	quiet    bool
	started  bool // the command line was understood; what fails now is the work
}

// verbGroups is the order of the help. A verb that is in none comes last.
var verbGroups = []struct {
	title string
	verbs []string
}{
	{"See what it is:", []string{"inspect", "plan", "sbom"}},
	{"Bring it somewhere:", []string{"load", "push", "oci", "archive", "stage", "serve"}},
	{"Start it:", []string{"run", "shell"}},
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "nix2vast", Short: "containers that Nix built, for rented GPUs",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Hidden: true}) // --help is enough
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but the result, and errors")
	image := &cobra.Command{
		Use: "image", Short: "inspect, load, push and run an image, given its plan",
		Example: "  nix build .#sample && nix2vast image inspect\n  nix2vast image push result --tag v1",
	}
	flags := image.PersistentFlags()
	flags.StringVar(&a.store, "store", "", "folder in which /nix/store is, where not in /")
	flags.StringVar(&a.cacheDir, "cache", a.settings.cacheDir, "where digests of layers are remembered")
	image.AddCommand(
		a.planCommand(),
		a.rootfsCommand(),
		a.inspectCommand(),
		a.stageCommand(),
		a.loadCommand(),
		a.pushCommand(),
		a.sbomCommand(),
		a.serveCommand(),
		a.archiveCommand(),
		a.ociCommand(),
		a.runCommand(),
		a.shellCommand(),
	)
	for _, g := range verbGroups {
		for _, c := range image.Commands() {
			if slices.Contains(g.verbs, c.Name()) {
				c.GroupID = g.title
				if !image.ContainsGroup(g.title) {
					image.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
				}
			}
		}
	}
	root.AddCommand(image, completionCommand(), versionCommand())
	// Cobra's own lines name flags where only a verb does anything.
	root.SetUsageTemplate(strings.NewReplacer("{{if .Runnable}}", "{{if not .HasSubCommands}}",
		"[command]", "VERB").Replace(root.UsageTemplate()))
	a.uniform(root)
	return root
}

// uniform makes all commands alike: usage errors are told from failures, verbs from
// misspelt ones, and plans are completed.
func (a *app) uniform(c *cobra.Command) {
	for _, sub := range c.Commands() {
		a.uniform(sub)
	}
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() {
		c.Args, c.RunE = cobra.ArbitraryArgs, verbs
		return
	}
	count := c.Args
	c.Args = func(cmd *cobra.Command, args []string) error {
		if count != nil && count(cmd, args) != nil { // which says it in numbers only
			return usagef("it is: %s", cmd.UseLine())
		}
		return nil
	}
	if c.ValidArgsFunction == nil && strings.Contains(c.Use, "PLAN") {
		c.ValidArgsFunction = completePlan
	}
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a.started = true
		return run(cmd, args)
	}
}

// verbs is what a command does of which only the verbs do something.
func verbs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("%q is no verb; did you mean %s", args[0], strings.Join(near, " or "))
	}
	return usagef("%q is no verb", args[0])
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), version)
			return nil
		},
	}
}

// open reads a plan and divides it into layers.
func (a *app) open(path string) (plan.Plan, []layer.Layer, error) {
	file, err := a.find(path)
	if err != nil {
		return plan.Plan{}, nil, err
	}
	p, err := plan.Read(file)
	if err != nil {
		return p, nil, err
	}
	layers, err := layer.Plan(p)
	return p, layers, err
}

func (a *app) cache() layer.Cache {
	return layer.Cache{Dir: a.cacheDir, Warn: func(err error) {
		fmt.Fprintf(os.Stderr, "nix2vast: %v; it goes on, and reads the same again the next time\n", err)
	}}
}

// say tells what is done on standard error.
func (a *app) say(cmd *cobra.Command, format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	}
}
