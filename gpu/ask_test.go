package gpu

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJudgeDevice(t *testing.T) {
	for _, test := range []struct {
		err  error
		want State
	}{
		{nil, ""},
		{unix.EPERM, Denied}, // the device cgroup
		{unix.EACCES, Denied},
		{unix.ENOENT, Partial},
		{unix.ENOTTY, Partial},
		{unix.ENXIO, NoDriver},
		{unix.ENODEV, NoDriver},
		{unix.EIO, NoDriver},
	} {
		err := test.err
		if err != nil {
			err = &fs.PathError{Op: "open", Path: controlDevice, Err: err}
		}
		v := judgeDevice(err)
		if v.state != test.want || (v.state != "") != (v.reason != "" && v.cure != "") {
			t.Errorf("%v: %+v, want %s", test.err, v, test.want)
		}
	}
}

// TestAskProgram has a real program exit as nvidia-smi does. WSL is the one way
// of injection without a device that only a driver could answer on.
func TestAskProgram(t *testing.T) {
	script := func(exit, text string) func(h *host) {
		return func(h *host) {
			h.copy(compile(h.t, `#include <stdio.h>
				int main(void) { puts("`+text+`"); return `+exit+`; }`, "-static"), "/usr/lib/wsl/drivers/nv_1/nvidia-smi")
		}
	}
	for _, test := range []struct {
		name  string
		smi   func(h *host)
		want  State
		cause string
	}{
		{"answers", func(h *host) {}, Ready, "GPUs: 2"},
		{"no driver", script("9", "NVIDIA-SMI has failed"), NoDriver, "no kernel module answers"},
		{"no library", script("12", "could not find libnvidia-ml.so"), Partial, "could not find libnvidia-ml.so"},
		{"mismatch", script("18", "Failed to initialize NVML: Driver/library version mismatch"), Mismatch, "version mismatch"},
		{"mismatch of old", script("255", "Failed to initialize NVML: Driver/library version mismatch"), Mismatch, "version mismatch"},
		{"denied", script("255", "Failed to initialize NVML: Unknown Error"), Denied, "Unknown Error"},
		{"mismatch by its code", script("18", "API mismatch"), Mismatch, "API mismatch"},
		{"crashes", func(h *host) {
			h.copy(compile(h.t, "int main(void) { __builtin_trap(); }", "-static"), "/usr/lib/wsl/drivers/nv_1/nvidia-smi")
		}, Injected, "does not run"},
		{"no permission", script("4", "Insufficient Permissions"), Denied, "Insufficient"},
		{"a GPU is lost", script("15", "GPU is lost"), NoDriver, "GPU is lost"},
		{"hangs", func(h *host) {
			h.copy(compile(h.t, `#include <unistd.h>
				int main(void) { pause(); }`, "-static"), "/usr/lib/wsl/drivers/nv_1/nvidia-smi")
		}, NoDriver, "gave no answer"},
		{"cannot start", func(h *host) {
			h.write("/usr/lib/wsl/drivers/nv_1/nvidia-smi", "\x7fELF")
		}, Injected, "does not run"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			wsl(h)
			test.smi(h)
			o := h.options()
			if test.name == "hangs" {
				o.Run = func(ctx context.Context, argv ...string) ([]byte, int, error) {
					if strings.HasSuffix(argv[0], "nvidia-smi") { // ten seconds are long for a test
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, 1)
						defer cancel()
					}
					return h.run(ctx, argv...)
				}
			}
			r := Setup(t.Context(), o)
			if r.State != test.want || !strings.Contains(r.Reason, test.cause) {
				t.Errorf("got %s: %s, want %s: %s", r.State, r.Reason, test.want, test.cause)
			}
			if (r.Cure == "") != (r.State == Ready || r.State == Injected) {
				t.Errorf("the cure: %q", r.Cure)
			}
			want := []GPU{{0, "GPU-0001", "A Card", 81559}, {1, "GPU-0002", "A Card", 0}}
			if r.State == Ready && r.GPUs[0].String() != "0: A Card, 81559 MiB, GPU-0001" {
				t.Errorf("in words: %v", r.GPUs)
			}
			if r.State == Ready && !reflect.DeepEqual(r.GPUs, want) {
				t.Errorf("GPUs: %+v", r.GPUs)
			}
		})
	}
}

func TestJudgeVersions(t *testing.T) {
	for _, test := range []struct {
		kernel, libraries string
		want              State
	}{
		{newVersion, newVersion, ""},
		{"", newVersion, ""},
		{newVersion, "", ""},
		{newVersion, oldVersion, Mismatch},
	} {
		v := judgeVersions(test.kernel, test.libraries)
		if v.state != test.want || v.state != "" && !strings.Contains(v.reason, test.kernel+", the libraries are "+test.libraries) {
			t.Errorf("%q and %q: %+v", test.kernel, test.libraries, v)
		}
	}
}

// TestKernelVersion reads what kernel modules of several kinds wrote to /proc.
func TestKernelVersion(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8 12:41:17 UTC 2025\nGCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n", "550.163.01"},
		{"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22)\n", "580.65.06"},
		{"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  575.51  Release Build\n", "575.51"},
		{"GCC version:  gcc version 12.2.0\n", ""},
	} {
		h := newHost(t)
		h.write("/proc/driver/nvidia/version", test.text)
		w := newWork(h.options())
		if got := w.procVersion(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if version, err := w.askDevice(); version != test.want || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without a device: %q, %v", version, err)
		}
	}
}

// TestDeviceVersion asks a file that is no device of a driver. What a driver
// answers can be seen with a driver only.
func TestDeviceVersion(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if version, err := deviceVersion(f); version != "" || !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %q, %v", version, err)
	}
}
