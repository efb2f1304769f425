package boot

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
)

// tailnetName is the service that keeps the box in its tailnet.
const tailnetName = "tailnet"

// TailnetVerb is what our own program is called with, and TailnetServe behind it, to become
// the tailnet's.
const (
	TailnetVerb  = tailnetName
	TailnetServe = "--serve"
)

// tailnetProgram is its name among the programs that are attached.
const tailnetProgram = "tailnet"

// tailnetMemory bounds what its memory grows to with what goes through it: without a limit
// that was more than a gibibyte, and this one costs no speed.
const tailnetMemory = "256MiB"

// tailnetExpendable is added to our own oom_score_adj: where memory is short it goes before
// what the renter runs, which is marked with less.
const tailnetExpendable = 200

// RunTailnet turns this process into the tailnet's program. It returns where that fails.
func RunTailnet(root string) error {
	dir, err := runDir(root)
	if err != nil {
		return err
	}
	return runProgram(root, tailnetProgram, "--run", dir)
}

// wantsTailnet says whether the environment or the image asks for a tailnet.
func (c *Container) wantsTailnet() bool {
	t := c.Settings.Tailnet
	return t.Mode != TailnetOff && (t.Asked || t.Mode == TailnetRequire || c.Config.Tailscale.Enable)
}

// tailnetService is a program of its own since its memory grows with its traffic, and it parses
// what comes from a network. It is after nothing and nothing is after it. A key that cannot be
// read is a problem of the status, and somebody can still log the box in.
func (c *Container) tailnetService() (services.Service, error) {
	program, err := os.Executable()
	if err != nil {
		return services.Service{}, fmt.Errorf("finding our own program, for the service %s: %w", tailnetName, err)
	}
	config, problems := c.tailnetConfig()
	c.Problems = append(c.Problems, problems...)
	file, err := sealedFile(tailnetName, config)
	if err != nil {
		return services.Service{}, fmt.Errorf("keeping the configuration of the service %s: %w", tailnetName, err)
	}
	if dir, err := c.runDir(); err == nil {
		_ = os.Remove(filepath.Join(dir, wire.StatusFile)) // of the run before this one
	}
	svc := services.Service{
		Name:        tailnetName,
		Description: "the box in its tailnet",
		Type:        services.Notify,
		ExecStart:   services.Argv(program, TailnetVerb, TailnetServe),
		Descriptors: []services.Descriptor{{Name: wire.ConfigName, File: file}},
		Restart:     services.RestartAlways, RestartSec: new(services.Seconds(1)), RestartMaxDelaySec: services.Duration(time.Minute),
		TimeoutStopSec: services.Seconds(6), // an ephemeral node logs out
		Execution: services.Execution{
			Nice:             5, // it starts beside sshd, and somebody may be waiting to log in
			OOMScoreAdjust:   new(min(ownScore()+tailnetExpendable, 1000)),
			Environment:      map[string]string{"GOMEMLIMIT": tailnetMemory},
			UnsetEnvironment: tailnetVariables(),
		},
	}
	if !config.Logs {
		svc.Environment["TS_NO_LOGS_NO_SUPPORT"] = "true"
	}
	return svc, nil
}

// tailnetVariables are those that the configuration stands for: it is to be the only source.
func tailnetVariables() (names []string) {
	for _, setting := range knownTailnet() {
		for _, name := range setting.Names {
			if strings.HasPrefix(name, "TS_") {
				names = append(names, name)
			}
		}
	}
	return names
}

// ownScore is our own oom_score_adj, 0 where it cannot be told. Less than it takes a privilege.
func ownScore() int {
	b, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(b))) // the kernel writes a number
	return n
}

// tailnetConfig puts the secrets, from wherever they are, into the configuration.
func (c *Container) tailnetConfig() (wire.Config, []string) {
	t := c.Settings.Tailnet
	config := t.Config
	var problems []string
	take := func(field *string, from secretSource) {
		value, problem := from.read(c.Root)
		if problem != "" {
			problems = append(problems, problem)
		}
		if value != "" {
			*field = string(value)
		}
	}
	take(&config.AuthKey, t.Key)
	take(&config.AuthKey, t.ClientSecret) // one of the two is set
	take(&config.IDToken, t.IDToken)
	if t.ClientSecret.Name != "" {
		config.ClientID = "" // the secret says it
	}
	if config.Hostname == "" {
		name, _ := os.Hostname() // "" becomes box
		if config.Hostname = hostLabel(name); config.Hostname == "" {
			config.Hostname = "box"
		}
	}
	if !config.Metrics && !config.Health {
		config.LocalAddress = ""
	}
	return config, problems
}

// read returns the secret. A problem without a secret is why there is none.
func (s secretSource) read(root string) (Secret, string) {
	if s.File == "" {
		return s.Value, ""
	}
	text, err := readInput(root, s.File)
	if err != nil {
		return "", fmt.Sprintf("%s cannot be used: %v", s.Name, err)
	}
	return cleanKey("the content of "+s.Name, Secret(text))
}

// sealedFile is a file in memory that holds v as JSON and that nobody can change: each start of a
// service reads it from its beginning.
func sealedFile(name string, v any) (*os.File, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("making a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(text)
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing a file in memory: %w", err), f.Close())
	}
	return f, nil
}
