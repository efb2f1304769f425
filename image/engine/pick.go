package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The runtimes there are.
const (
	Docker = "docker"
	Podman = "podman"
)

// Runtime is docker or podman, by its command-line program.
type Runtime struct {
	Name string // Docker or Podman
	// Host is where docker's daemon listens: "unix:///var/run/docker.sock",
	// "ssh://user@host". It is empty for podman.
	Host string
}

// Pick finds the runtime to use: the wanted one, or where that is "", docker if it
// answers, else podman.
func Pick(ctx context.Context, wanted string) (Runtime, error) {
	switch wanted {
	case Docker:
		return pickDocker(ctx)
	case Podman:
		return pickPodman(ctx)
	case "":
	default:
		return Runtime{}, fmt.Errorf("the runtime %q is neither docker nor podman", wanted)
	}
	docker, err := pickDocker(ctx)
	if err == nil || ctx.Err() != nil {
		return docker, err
	}
	podman, perr := pickPodman(ctx)
	if perr == nil {
		return podman, nil
	}
	return Runtime{}, fmt.Errorf("there is no container runtime here: %w; %w; "+
		"without one, `nix2vast image archive` writes a file to take elsewhere", err, perr)
}

func pickDocker(ctx context.Context) (Runtime, error) {
	version, err := Command{Program: Docker, Args: []string{"version", "--format", "{{.Server.Version}}"}}.Output(ctx)
	var failed *CommandError
	switch {
	case errors.As(err, &failed):
		return Runtime{}, fmt.Errorf("docker does not answer (%s): start its service, or let your user into its group", failed.Said)
	case err != nil:
		return Runtime{}, err
	case version == "" || version == "<no value>":
		return Runtime{}, errors.New("the program docker is not Docker's: use --runtime podman")
	}
	// An older client knows no contexts, and has a socket of this machine or DOCKER_HOST,
	// which is found out by nobody's request when an image is loaded.
	host, err := Command{Program: Docker, Args: []string{"context", "inspect", "--format", "{{.Endpoints.docker.Host}}"}}.Output(ctx)
	if err != nil && ctx.Err() != nil {
		return Runtime{}, err
	}
	return Runtime{Name: Docker, Host: host}, nil
}

func pickPodman(ctx context.Context) (Runtime, error) {
	_, err := Command{Program: Podman, Args: []string{"version", "--format", "{{.Client.Version}}"}}.Output(ctx)
	var failed *CommandError
	switch {
	case errors.As(err, &failed):
		return Runtime{}, fmt.Errorf("podman does not work: %w", err)
	case err != nil:
		return Runtime{}, err
	}
	return Runtime{Name: Podman}, nil
}

// local says whether the runtime's daemon, if it has one, may reach this machine's
// loopback. Where it cannot after all, nobody asks the registry.
func (r Runtime) local() bool {
	return r.Host == "" || strings.HasPrefix(r.Host, "unix://") || strings.HasPrefix(r.Host, "npipe://")
}

func (r Runtime) command(args ...string) Command { return Command{Program: r.Name, Args: args} }

// output runs one command of the runtime and returns what it printed.
func (r Runtime) output(ctx context.Context, args ...string) (string, error) {
	return r.command(args...).Output(ctx)
}
