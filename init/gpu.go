package boot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/gpu"
	"github.com/fleek-platform/nix2vast/services"
)

// gpuName is the service that makes the driver usable; others may be After it.
const gpuName = "gpu"

// gpuReport is where its latest report lies, in the run directory.
const gpuReport = "gpu.json"

// gpuService is a oneshot of its own process: a driver file that breaks our
// parsers, or a device that hangs, takes that process and not PID 1. It ends
// well when there is nothing to do or the driver answers; otherwise the
// supervisor's back-off is the retry, for a driver that comes late.
func gpuService(program string) services.Service {
	return services.Service{
		Name:               gpuName,
		Description:        "make the host's driver usable",
		Type:               services.Oneshot,
		ExecStart:          services.Argv(program, "gpu", "--setup"),
		Restart:            services.RestartOnFailure,
		RestartSec:         new(services.Seconds(1)),
		RestartMaxDelaySec: services.Duration(time.Minute),
		TimeoutStartSec:    services.Duration(time.Minute),
		Execution:          services.Execution{Nice: 15}, // it starts beside sshd, and somebody may be waiting to log in
	}
}

// SetupGPU does the work of the gpu service, writes what it changed to w and the
// report for status to the run directory, and returns the service's exit code.
func SetupGPU(ctx context.Context, c *Container, w io.Writer) int {
	c.Log = services.PlainLogger(w)
	report := gpu.Setup(ctx, gpu.Options{
		Root: c.Root, Environ: c.Settings.Environ,
		Loader: c.Config.Loader, Ldconfig: c.Config.Ldconfig, SearchDirs: c.Settings.GPUDirs,
		Wait: cmp.Or(c.Settings.GPUWait, -1), Log: c.Log, // 0 is no wait here, the default there
		Run: func(ctx context.Context, argv ...string) ([]byte, int, error) {
			return services.Capture(ctx, c.Settings.Environ, argv...)
		},
	})
	for _, note := range report.Notes {
		c.Log.Info(note)
	}
	before, err := ReadGPU(c.Root)
	if err != nil || describeGPU(before) != describeGPU(report) {
		for _, problem := range report.Problems {
			c.Log.Warn(problem)
		}
		c.Log.Info(describeGPU(report))
	}
	// A later try changes little; status tells all that this boot changed.
	report.Notes = append(before.Notes, report.Notes...)
	if err := writeReport(c.Root, report); err != nil {
		c.Log.Warn("the report could not be kept for status", zap.Error(err))
	}
	if gpuGood(report.State, c.Settings.GPU) {
		return 0
	}
	return 1
}

// describeGPU is the report in one line.
func describeGPU(r gpu.Report) string {
	text := string(r.State)
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	if r.Cure != "" {
		text += "; " + r.Cure
	}
	return text
}

// gpuGood says whether a box in this state is healthy: one without any GPU is,
// unless its owner said that there has to be one.
func gpuGood(s gpu.State, mode string) bool {
	switch s {
	case gpu.Ready, gpu.Injected:
		return true
	case gpu.Absent:
		return mode != GPURequire
	}
	return false
}

func writeReport(root string, r gpu.Report) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the GPU report: %w", err)
	}
	dir, err := runDir(root)
	if err != nil {
		return err
	}
	_, err = writeFile("/", filepath.Join(dir, gpuReport), append(b, '\n'), 0o644)
	return err
}

// ReadGPU returns the latest report of the gpu service.
func ReadGPU(root string) (gpu.Report, error) {
	var r gpu.Report
	dir, err := runDir(root)
	if err != nil {
		return r, err
	}
	b, err := os.ReadFile(filepath.Join(dir, gpuReport))
	if errors.Is(err, fs.ErrNotExist) {
		return r, errors.New("nothing is known of a GPU: the service gpu has not ended yet, or NIX2VAST_GPU is off")
	}
	if err != nil {
		return r, fmt.Errorf("reading the GPU report: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("reading the GPU report: %w", err)
	}
	return r, nil
}

// GPUText is the report for a person.
func GPUText(r gpu.Report) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-10s %s\n", key, value)
		}
	}
	line("state", string(r.State))
	line("reason", r.Reason)
	line("cure", r.Cure)
	line("vendor", r.Vendor)
	line("driver", r.Version)
	line("kernel", r.Kernel)
	line("injected", r.Mode)
	for _, g := range r.GPUs {
		line("gpu", fmt.Sprint(g))
	}
	for _, list := range []struct {
		key   string
		items []string
	}{{"library", r.Libraries}, {"program", r.Programs}, {"device", r.Devices}, {"changed", r.Notes}, {"problem", r.Problems}} {
		for _, item := range list.items {
			line(list.key, item)
		}
	}
	return b.String()
}
