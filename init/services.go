package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
)

// Services starts the services: sshd, the driver's oneshot, the main command,
// those of the image's config and the enabled unit files. It does not wait for
// them.
var Services = Step{Name: "services", Run: startServices}

// mainName is the service that runs the container's command.
const mainName = "main"

func startServices(ctx context.Context, c *Container) (string, error) {
	if err := c.Supervisor.SetEnviron(ctx, c.Environ); err != nil {
		return "", err
	}
	c.defined.mu.Lock()
	defer c.defined.mu.Unlock()
	builtin, err := c.builtin()
	errs := []error{err}
	c.defined.builtin = builtin
	d, err := c.definitions(c.Config)
	errs = append(errs, err)
	c.defined.problems = sentences(err)
	c.Problems = append(c.Problems, d.notes...)
	note, err := writeFiles(c.Root, d.files)
	errs = append(errs, err, c.Supervisor.Add(ctx, d.list...))
	names := make([]string, len(d.list))
	for i := range d.list {
		names[i] = d.list[i].Name
	}
	started := "started " + strings.Join(names, ", ")
	if note != "" {
		started = note + ", " + started
	}
	return started, errors.Join(errs...)
}

// builtin lists the services that no file defines. One that cannot be made is an
// error, and the others stay.
func (c *Container) builtin() ([]services.Service, error) {
	var list []services.Service
	var errs []error
	if err := c.sshdProblem(); err == nil {
		list = append(list, c.sshdService())
	} else if !errors.Is(err, errPlatformSSH) {
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
	}
	if len(c.Command) > 0 {
		list = append(list, services.Service{
			Name: mainName, Description: "the container's command", ExecStart: services.Argv(c.Command...),
			Restart: services.RestartNo, Essential: true, Foreground: true,
			Execution:      services.Execution{WorkingDirectory: c.workingDirectory()},
			TimeoutStopSec: services.Duration(max(c.Settings.StopTimeout-time.Second, time.Second)),
		})
	}
	return list, errors.Join(errs...)
}

// workingDirectory is the one that the engine started us in: the image's, or -w.
// Engines enter it before they switch to the user of --user, who may not.
func (c *Container) workingDirectory() string {
	dir, err := os.Getwd()
	if err == nil {
		err = unix.Access(dir, unix.X_OK)
	}
	if err != nil {
		c.Problems = append(c.Problems, fmt.Sprintf("the main command starts in /, since the working directory cannot be entered: %v", err))
		return "/"
	}
	return dir
}

// errPlatformSSH is returned where the host's launcher runs sshd itself.
var errPlatformSSH = errors.New("the platform's launcher owns port 22 and runs sshd")

const (
	sshdName    = "sshd"
	sshdProgram = "/usr/sbin/sshd"
)

// sshdProblem says why there is no sshd to start.
func (c *Container) sshdProblem() error {
	if _, err := os.Stat(filepath.Join(c.Root, ".launch")); err == nil {
		return errPlatformSSH
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
