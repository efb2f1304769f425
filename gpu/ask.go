package gpu

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlDevice answers for the kernel module as a whole.
const controlDevice = "/dev/nvidiactl"

// A verdict is a state with its sentences.
type verdict struct {
	state        State
	reason, cure string
}

const (
	cureRecreate = "recreate the container: its runtime did not finish the injection"
	cureDenied   = "recreate the container: the host took the devices away again, as systemctl daemon-reload does with docker's cgroup rules"
	cureNoDriver = "load the driver's kernel module on the host (modprobe nvidia; its log is in dmesg), or take another host"
	cureMismatch = "reboot the host, or reload its kernel module: its driver was updated while it ran"
	cureHost     = "look at the host's dmesg for Xid errors, or take another host"
)

// report completes a report about d, asking the driver as far as that is
// possible.
func (w *work) report(ctx context.Context, d driver) Report {
	r := Report{Version: d.version, Mode: d.mode, Devices: d.devices, Programs: slices.Sorted(maps.Values(d.programs))}
	for _, l := range d.libraries {
		r.Libraries = append(r.Libraries, l.path)
	}
	slices.Sort(r.Libraries)
	if d.there() {
		r.Vendor = "nvidia"
	}
	v := w.judge(ctx, d, &r)
	r.State, r.Reason, r.Cure = v.state, v.reason, v.cure
	r.Notes, r.Problems = w.notes, append(w.problems, d.problems...)
	return r
}

func (w *work) judge(ctx context.Context, d driver, r *Report) verdict {
	switch {
	case !d.there() && d.requested == "":
		return verdict{Absent, "no GPU was asked for, and none is here", ""}
	case !d.there():
		return verdict{Requested, d.requested + " asks for a GPU, but the container's runtime injected nothing",
			"start the container with --gpus all or --device nvidia.com/gpu=all, on a host that has the driver and its container toolkit"}
	case len(d.missing) > 0:
		return verdict{Partial, "the injection lacks " + d.lack(), cureRecreate}
	}
	if d.mode != "wsl" { // which has neither the device nor the version in /proc
		kernel, err := w.askDevice()
		r.Kernel = kernel
		if v := judgeDevice(err); v.state != "" {
			return v
		}
		if v := judgeVersions(kernel, d.version); v.state != "" {
			return v
		}
	}
	return w.askProgram(ctx, d, r)
}

// askDevice opens the control device and asks for the kernel module's version.
// It returns a version even when only /proc tells it.
func (w *work) askDevice() (version string, err error) {
	version = w.procVersion()
	f, err := os.OpenFile(w.file(controlDevice), os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return version, err
	}
	defer f.Close()
	answer, err := deviceVersion(f)
	if answer != "" {
		version = answer
	}
	return version, err
}

var procVersion = lazy(`(?m)^NVRM version:.*?\s(\d{3,4}\.\d{1,3}(?:\.\d{1,3})?)\s`)

// procVersion is the version that the kernel module tells about itself. It is
// the host's: that it is there does not mean that anything was injected.
func (w *work) procVersion() string {
	text, err := os.ReadFile(w.file("/proc/driver/nvidia/version"))
	if err != nil {
		return ""
	}
	if m := procVersion().FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// deviceVersion asks the open control device: NV_ESC_CHECK_VERSION_STR of
// NVIDIA's open kernel module (nv-ioctl-numbers.h, nv-ioctl.h: nv_ioctl_rm_api_version_t).
// Modules before 530.30.02 do not know the question and answer nothing.
func deviceVersion(f *os.File) (string, error) {
	question := struct {
		command uint32
		reply   uint32
		version [64]byte
	}{command: '2'} // NV_RM_API_VERSION_CMD_QUERY
	const request = 3<<30 | uint(unsafe.Sizeof(question))<<16 | 'F'<<8 | 210 // _IOWR('F', 210, …)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(unsafe.Pointer(&question)))
	if errno == unix.EINVAL {
		return "", nil
	}
	if errno != 0 {
		return "", &fs.PathError{Op: "ioctl", Path: controlDevice, Err: errno}
	}
	return unix.ByteSliceToString(question.version[:]), nil
}

// judgeDevice says what an error of the control device means; the zero verdict
// is for none.
func judgeDevice(err error) verdict {
	switch {
	case err == nil:
		return verdict{}
	case errors.Is(err, fs.ErrPermission):
		return verdict{Denied, controlDevice + " is here but may not be opened", cureDenied}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTTY):
		return verdict{Partial, controlDevice + " is not a device of the driver: " + err.Error(), cureRecreate}
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return verdict{NoDriver, "no kernel module answers behind " + controlDevice, cureNoDriver}
	}
	return verdict{NoDriver, "the kernel module does not answer: " + err.Error(), cureNoDriver}
}

// judgeVersions says whether the two halves of the driver fit; "" is unknown.
func judgeVersions(kernel, libraries string) verdict {
	if kernel == "" || libraries == "" || kernel == libraries {
		return verdict{}
	}
	return verdict{Mismatch, fmt.Sprintf("the kernel module is %s, the libraries are %s", kernel, libraries), cureMismatch}
}

// askProgram has nvidia-smi ask the driver through the libraries, as every
// other program will.
func (w *work) askProgram(ctx context.Context, d driver, r *Report) verdict {
	ways := w.askable(d, "nvidia-smi")
	if len(ways) == 0 || w.Run == nil {
		return verdict{Injected, "the libraries are complete and linked; there is no program to ask the driver with", ""}
	}
	for _, path := range ways {
		output, exit, err := w.run(ctx, path, "-L")
		if errors.Is(err, context.DeadlineExceeded) {
			return verdict{NoDriver, fmt.Sprintf("%s gave no answer within %v", path, programTimeout), cureHost}
		}
		if err != nil {
			w.problem(fmt.Errorf("asking the driver: %w", err))
			continue
		}
		v := judgeExit(path, output, exit)
		if v.state == Ready {
			r.GPUs = w.listGPUs(ctx, path)
			v.reason = fmt.Sprintf("the driver answers; GPUs: %d", len(r.GPUs))
		}
		return v
	}
	return verdict{Injected, "the libraries are complete and linked; nvidia-smi does not run, so the driver cannot be asked", ""}
}

// run bounds a program by programTimeout.
func (w *work) run(ctx context.Context, argv ...string) ([]byte, int, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	return w.Run(ctx, argv...)
}

// judgeExit says what an exit status of nvidia-smi means: nvidia-smi(1), RETURN
// VALUE, and what NVML's own codes are where it passes these on.
func judgeExit(path string, output []byte, exit int) verdict {
	said := fmt.Sprintf("%s exited with %d: %s", path, exit, lastLine(output))
	switch {
	case exit == 0:
		return verdict{Ready, "", ""}
	case exit == 18 || strings.Contains(string(output), "version mismatch"):
		return verdict{Mismatch, said, cureMismatch}
	case exit == 4 || exit == 255 && strings.Contains(string(output), "Unknown Error"):
		return verdict{Denied, said, cureDenied}
	case exit == 12 || exit == 126 || exit == 127:
		return verdict{Partial, said, cureRecreate}
	case exit == 9:
		return verdict{NoDriver, "nvidia-smi finds the libraries, but no kernel module answers", cureNoDriver}
	}
	return verdict{NoDriver, said, cureHost}
}

// listGPUs describes the devices; one whose line is odd is left out.
func (w *work) listGPUs(ctx context.Context, smi string) []GPU {
	output, exit, err := w.run(ctx, smi, "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
	if err == nil && exit != 0 {
		err = fmt.Errorf("it exited with %d: %s", exit, lastLine(output))
	}
	if err != nil {
		w.problem(fmt.Errorf("listing the GPUs with %s: %w", smi, err))
		return nil
	}
	lines := csv.NewReader(strings.NewReader(string(output)))
	lines.TrimLeadingSpace = true
	lines.FieldsPerRecord = 4
	records, err := lines.ReadAll()
	if err != nil {
		w.problem(fmt.Errorf("reading the list of GPUs: %w", err))
	}
	var gpus []GPU
	for _, f := range records {
		index, err := strconv.Atoi(f[0])
		if err != nil {
			w.problem(fmt.Errorf("reading the list of GPUs: %w", err))
			continue
		}
		memory, _ := strconv.Atoi(f[3]) // "[N/A]" where it is the machine's
		gpus = append(gpus, GPU{Index: index, UUID: f[1], Name: f[2], MemoryMiB: memory})
	}
	return gpus
}
