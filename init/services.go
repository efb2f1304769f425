package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
)

// Services starts the services: sshd and the driver's oneshot at once, unless one of
// the config is to come before the driver's; then, once
// their definitions have been read, those of the image's config, the enabled unit
// files and the main command. It does not wait for them.
var Services = Step{Name: "services", Run: startServices}

// mainName is the service that runs the container's command.
const mainName = "main"

func startServices(ctx context.Context, c *Container) (string, error) {
	if err := c.Supervisor.SetEnviron(ctx, c.Environ); err != nil {
		return "", err
	}
	// Whatever became of the definitions: there are no more of them.
	defer func() { _ = c.Supervisor.Release(context.WithoutCancel(ctx)) }() // it fails where the container ends anyway
	c.defined.mu.Lock()
	defer c.defined.mu.Unlock()
	builtin, err := c.builtin()
	errs := []error{err}
	c.defined.builtin = builtin
	held := precedes(c.Config, gpuName)
	early := slices.DeleteFunc(slices.Clone(builtin), func(svc services.Service) bool {
		return svc.Foreground || held && svc.Name == gpuName
	})
	errs = append(errs, c.Supervisor.Add(ctx, early...)) // a slow definition must not keep anybody from logging in
	if c.wantsTailnet() {
		svc, err := c.tailnetService() // it may read a file that the renter names
		if errs = append(errs, err); err == nil {
			c.defined.builtin = append(c.defined.builtin, svc)
		}
	}
	d, err := c.definitions(c.Config)
	errs = append(errs, err)
	c.defined.problems = sentences(err)
	c.Problems = append(c.Problems, d.notes...)
	note, err := writeFiles(c.Root, d.files)
	late := slices.DeleteFunc(slices.Clone(d.list), func(svc services.Service) bool {
		return slices.ContainsFunc(early, func(e services.Service) bool { return e.Name == svc.Name })
	})
	errs = append(errs, err, c.Supervisor.Add(ctx, late...))
	started := "started " + strings.Join(names(d.list), ", ")
	if note != "" {
		started = note + ", " + started
	}
	return started, errors.Join(errs...)
}

// names are those of services; of the wanted ones alone, where some are given.
func names(list []services.Service, wanted ...string) []string {
	var all []string
	for _, svc := range list {
		if len(wanted) == 0 || slices.Contains(wanted, svc.Name) {
			all = append(all, svc.Name)
		}
	}
	return all
}

// builtin lists the services that no file defines. One that cannot be made is an
// error, and the others stay.
func (c *Container) builtin() ([]services.Service, error) {
	var list []services.Service
	var errs []error
	if err := c.sshdProblem(); err == nil {
		list = append(list, c.sshdService())
	} else if !errors.Is(err, errPlatformSSH) && !errors.Is(err, errNoSSH) {
		errs = append(errs, err)
	}
	if program, err := os.Executable(); err != nil {
		errs = append(errs, fmt.Errorf("finding our own program, for the services that run it: %w", err))
	} else {
		if c.Settings.GPU != GPUOff {
			list = append(list, gpuService(program))
		}
		if c.Settings.MetricsAddr != "" {
			list = append(list, metricsService(program, c.Settings.MetricsAddr))
		}
		if c.Config.NixStore != "" {
			list = append(list, nixService(program, names(list, sshdName)))
		}
	}
	if len(c.Command) > 0 {
		list = append(list, services.Service{
			Name: mainName, Description: "the container's command", ExecStart: services.Argv(c.Command...),
			Restart: services.RestartNo, Essential: true, Foreground: true,
			Execution:      services.Execution{WorkingDirectory: c.startedIn},
			TimeoutStopSec: services.Duration(max(c.Settings.StopTimeout-time.Second, time.Second)),
		})
	}
	return list, errors.Join(errs...)
}

// leaveDirectory notes the directory that the engine started us in for the main
// command, the image's or -w, and goes to the root: init would keep what is mounted
// there busy. Engines enter it before they switch to the user of --user, who may not.
func (c *Container) leaveDirectory() {
	dir, err := os.Getwd()
	if err == nil {
		err = unix.Access(dir, unix.X_OK)
	}
	if err != nil {
		dir = "/"
		if len(c.Command) > 0 {
			c.Problems = append(c.Problems, fmt.Sprintf("the main command starts in /, since the working directory cannot be entered: %v", err))
		}
	}
	c.startedIn = dir
	_ = os.Chdir("/") // where not, nothing is lost but that
}

// errPlatformSSH is returned where the host's launcher runs sshd itself.
var errPlatformSSH = errors.New("the platform's launcher owns port 22 and runs sshd")

const (
	sshdName    = "sshd"
	sshdProgram = "/usr/sbin/sshd"
)

// errNoSSH is returned where the image's author wants no server.
var errNoSSH = errors.New("the image has no SSH server, as its author wanted")

// sshdProblem says why there is no sshd to start.
func (c *Container) sshdProblem() error {
	if _, err := os.Stat(filepath.Join(c.Root, ".launch")); err == nil {
		return errPlatformSSH
	}
	if c.Config.NoSSH {
		return errNoSSH
	}
	if _, err := os.Stat(filepath.Join(c.Root, sshdProgram)); err != nil {
		return fmt.Errorf("the image has no SSH server: %w", err)
	}
	return nil
}

// sshdService answers on its port once it is ready. KillMode process lets open
// sessions live through a restart of the server.
func (c *Container) sshdService() services.Service {
	return services.Service{
		Name:        sshdName,
		Description: "OpenSSH server",
		ExecStart:   services.Argv(sshdProgram, "-D", "-e"),
		KillMode:    services.KillProcess,
		Probe: &services.Probe{
			TCP:    fmt.Sprintf("127.0.0.1:%d", c.Settings.SSHPort),
			Send:   "SSH-2.0-init\r\n",
			Expect: "SSH-2.0-",
		},
	}
}
