package gpu

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSetup(t *testing.T) {
	tests := []struct {
		name   string
		host   func(h *host)
		state  State
		mode   string
		libs   string // where libcuda.so.1 leads to; "" for no farm of ours
		patch  bool   // whether nvidia-smi is patched
		reason string // part of it
	}{
		{"nothing", func(h *host) {}, Absent, "", "", false, "no GPU was asked for"},
		{"void", func(h *host) { h.environ = []string{"NVIDIA_VISIBLE_DEVICES=void"} }, Absent, "", "", false, ""},
		{"all of none", func(h *host) {
			h.environ = []string{"NVIDIA_VISIBLE_DEVICES=all"}
			h.write("/sys/bus/pci/devices/0000:00:01.0/vendor", "0x1af4\n") // not NVIDIA's
			h.write("/sys/bus/pci/devices/0000:00:01.0/class", "0x030000\n")
			h.write("/sys/bus/pci/devices/0000:00:02.0/vendor", "0x10de\n") // no GPU but its sound
			h.write("/sys/bus/pci/devices/0000:00:02.0/class", "0x040300\n")
		}, Absent, "", "", false, "no GPU was asked for"},
		{"requested by number", func(h *host) { h.environ = []string{"NVIDIA_VISIBLE_DEVICES=0"} }, Requested, "", "", false, "NVIDIA_VISIBLE_DEVICES=0"},
		{"all of those on the bus", func(h *host) {
			h.environ = []string{"NVIDIA_VISIBLE_DEVICES=all"}
			h.write("/sys/bus/pci/devices/0000:65:00.0/vendor", "0x10de\n")
			h.write("/sys/bus/pci/devices/0000:65:00.0/class", "0x030200\n")
		}, Requested, "", "", false, "NVIDIA_VISIBLE_DEVICES=all"},
		{"all of the host's driver", func(h *host) {
			h.environ = []string{"NVIDIA_VISIBLE_DEVICES=all"}
			h.write("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8 12:41:17 UTC 2025\n")
		}, Requested, "", "", false, "NVIDIA_VISIBLE_DEVICES=all"},
		{"cdi", func(h *host) { h.cdi(newVersion) },
			NoDriver, "cdi", debianLibs + "/libcuda.so." + newVersion, true, "no kernel module answers"},
		{"legacy in lib64", func(h *host) { legacy(h, "/usr/lib64") },
			NoDriver, "legacy", "/usr/lib64/libcuda.so." + newVersion, true, ""},
		{"legacy in Debian's directory", func(h *host) { legacy(h, debianLibs) },
			NoDriver, "legacy", debianLibs + "/libcuda.so." + newVersion, true, ""},
		{"legacy without links and cache", func(h *host) { // where the host's ldconfig could not run
			legacy(h, debianLibs)
			h.must(os.Remove(h.path(debianLibs + "/libcuda.so")))
		}, NoDriver, "legacy", debianLibs + "/libcuda.so." + newVersion, true, ""},
		{"utility only", func(h *host) {
			legacy(h, debianLibs)
			h.environ[1] = "NVIDIA_DRIVER_CAPABILITIES=utility"
			h.must(os.Remove(h.path(debianLibs + "/libcuda.so." + newVersion)))
			h.must(os.Remove(h.path("/dev/nvidia-uvm")))
		}, NoDriver, "legacy", "", true, ""},
		{"no GPU wanted", func(h *host) {
			legacy(h, debianLibs)
			h.environ[0] = "NVIDIA_VISIBLE_DEVICES=none"
			h.must(os.Remove(h.path("/dev/nvidia0")))
			h.must(os.Remove(h.path("/dev/nvidia-uvm")))
		}, NoDriver, "legacy", debianLibs + "/libcuda.so." + newVersion, true, ""},
		{"a mounted directory", func(h *host) {
			h.libraries("/usr/local/nvidia/lib64", newVersion)
			h.smi("/usr/local/nvidia/bin/nvidia-smi", 9)
			h.mounted = nil
			h.mount("/usr/local/nvidia")
			h.devices()
		}, NoDriver, "directory", "/usr/local/nvidia/lib64/libcuda.so." + newVersion, true, ""},
		{"wsl", wsl, Ready, "wsl", "/usr/lib/wsl/drivers/nv_1/libcuda.so.1.1", true, "GPUs: 2"},
		{"a NixOS host", func(h *host) {
			driver := store + "nvidia-x11"
			h.libraries(driver+"/lib", newVersion)
			h.links(driver+"/lib", newVersion)
			for _, name := range tree(h.root).names(driver + "/lib") { // as nixpkgs' buildEnv does
				h.link("/run/opengl-driver/lib/"+name, driver+"/lib/"+name)
			}
			h.mounted = nil
			h.mount("/run/opengl-driver", driver)
			h.devices()
		}, NoDriver, "nixos", "", false, ""},
		{"devices only", func(h *host) { h.devices() }, Partial, "devices", "", false, "libcuda.so.1"},
		{"libraries only", func(h *host) { h.libraries(debianLibs, newVersion) }, Partial, "legacy", debianLibs + "/libcuda.so." + newVersion, false, "/dev/nvidiactl"},
		{"no program", func(h *host) {
			wsl(h)
			h.must(os.Remove(h.path("/usr/bin/nvidia-smi")))
			h.must(os.Remove(h.path("/usr/lib/wsl/drivers/nv_1/nvidia-smi")))
		}, Injected, "wsl", "/usr/lib/wsl/drivers/nv_1/libcuda.so.1.1", false, "no program to ask"},
		{"a file for a device", func(h *host) {
			h.cdi(newVersion)
			h.must(os.Remove(h.path("/dev/nvidiactl")))
			h.write("/dev/nvidiactl", "")
		}, Partial, "cdi", debianLibs + "/libcuda.so." + newVersion, true, "not a device of the driver"},
		{"an image that brings an older driver", func(h *host) {
			h.cdi(oldVersion)
			h.library(debianLibs+"/libcuda.so."+newVersion, "libcuda.so.1")
		}, NoDriver, "cdi", debianLibs + "/libcuda.so." + oldVersion, true, ""},
		{"two versions", func(h *host) {
			h.cdi(newVersion)
			h.library(debianLibs+"/libcuda.so."+oldVersion, "libcuda.so.1")
			h.mount(debianLibs + "/libcuda.so." + oldVersion)
		}, Partial, "cdi", debianLibs + "/libcuda.so." + newVersion, true, "one version"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			test.host(h)
			before := detected(h)
			if before.State == Ready || len(before.Notes) > 0 {
				t.Errorf("before setup: %s, %q", before.State, before.Notes)
			}
			r := h.setup()
			if r.State != test.state || r.Mode != test.mode || !strings.Contains(r.Reason, test.reason) {
				t.Errorf("got %s by %q because %q, want %s by %q", r.State, r.Mode, r.Reason, test.state, test.mode)
			}
			if len(r.Problems) > 0 {
				t.Errorf("problems: %q", r.Problems)
			}
			if test.libs != "" {
				for _, name := range []string{"libcuda.so", "libcuda.so.1", "libcuda.so.1"} {
					h.leadsTo(farmDir+"/"+name, test.libs)
				}
			}
			if _, err := os.Stat(h.path(programDir + "/nvidia-smi")); (err == nil) != test.patch {
				t.Errorf("patched nvidia-smi: %v", err)
			}
			if h.again(); detected(h).State != test.state {
				t.Errorf("detect: %+v", detected(h))
			}
		})
	}
}

func legacy(h *host, dir string) {
	h.libraries(dir, newVersion)
	h.link(dir+"/libcuda.so", "libcuda.so.1") // all that libnvidia-container links itself
	h.smi("/usr/bin/nvidia-smi", 9)
	h.mount("/usr/bin/nvidia-smi")
	h.mountTmpfs("/proc/driver/nvidia")
	h.devices()
	h.environ = []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}
}

func wsl(h *host) {
	dir := "/usr/lib/wsl/drivers/nv_1"
	h.library(dir+"/libcuda.so.1.1", "libcuda.so.1")
	h.library(dir+"/libnvidia-ml.so.1", "libnvidia-ml.so.1")
	h.library("/usr/lib/wsl/lib/libdxcore.so", "libdxcore.so")
	h.smi(dir+"/nvidia-smi", 0)
	h.mount(dir, "/usr/lib/wsl/lib/libdxcore.so")
	h.link("/usr/bin/nvidia-smi", dir+"/nvidia-smi")
	h.must(unix.Mknod(h.path("/dev/dxg"), unix.S_IFSOCK|0o666, 0))
}

// TestPrograms runs programs in the box as it is after a setup, with no
// environment: what the whole package is for.
func TestPrograms(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	for _, name := range []string{"libcuda.so.1", "libcuda.so", "libnvidia-ptxjitcompiler.so.1"} {
		h.copy(compile(t, `#include <dlfcn.h>
			#include <stdio.h>
			int main(void) { if (!dlopen("`+name+`", RTLD_NOW)) { puts(dlerror()); return 1; } return 0; }`), "/bin/open-"+name)
	}
	smi := []string{"/usr/bin/nvidia-smi"}
	if _, exit, err := h.run(t.Context(), smi...); err == nil && exit == 9 {
		t.Fatal("nvidia-smi works before the setup")
	}
	h.setup()
	for _, argv := range [][]string{smi, {programDir + "/nvidia-smi"}} {
		if out, exit, err := h.run(t.Context(), argv...); err != nil || exit != 9 {
			t.Errorf("%v: exit %d, %v\n%s", argv, exit, err, out)
		}
	}
	for _, name := range []string{"libcuda.so.1", "libcuda.so", "libnvidia-ptxjitcompiler.so.1"} {
		if out, exit, err := h.run(t.Context(), "/bin/open-"+name); err != nil || exit != 0 {
			t.Errorf("opening %s: exit %d, %v\n%s", name, exit, err, out)
		}
	}
	out, exit, err := h.run(t.Context(), ldconfig, "-C", cachePath, "-p") // as the script does; no shell is here
	if err != nil || exit != 0 {
		t.Fatalf("ldconfig -p: exit %d, %v", exit, err)
	}
	for _, want := range []string{"libcuda.so.1 (libc6,x86-64) => " + farmDir + "/libcuda.so.1", "libcuda.so (libc6,x86-64) => " + farmDir + "/libcuda.so"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ldconfig -p does not list %q:\n%s", want, out)
		}
	}
}

// TestDriverSwap restarts a box on a host whose driver was updated: the files
// that the old one was mounted on stay, empty.
func TestDriverSwap(t *testing.T) {
	h := newHost(t)
	h.cdi(oldVersion)
	h.library(debianLibs+"/libnvidia-nvvm.so."+oldVersion, "libnvidia-nvvm.so.4")
	h.link(debianLibs+"/libnvidia-nvvm.so.4", "libnvidia-nvvm.so."+oldVersion)
	h.mount(debianLibs + "/libnvidia-nvvm.so." + oldVersion)
	h.link("/usr/local/nvidia/lib64/libnvidia-gone.so.1", "libnvidia-gone.so."+oldVersion)
	h.write(confDir+"/zz-nvcr-1.conf", "/usr/lib64\n")
	if r := h.setup(); r.Version != oldVersion {
		t.Fatalf("version %q", r.Version)
	}
	h.leadsTo(farmDir+"/libnvidia-nvvm.so.4", debianLibs+"/libnvidia-nvvm.so."+oldVersion)

	stop(h)
	for _, name := range []string{"libcuda.so.", "libnvidia-ml.so.", "libnvidia-ptxjitcompiler.so.", "libnvidia-nvvm.so."} {
		h.must(os.Truncate(h.path(debianLibs+"/"+name+oldVersion), 0))
	}
	h.write(confDir+"/zz-nvcr-2.conf", "/usr/lib64\n")
	h.cdi(newVersion)
	r := h.setup()
	if r.Version != newVersion || r.State != NoDriver {
		t.Errorf("got %s, version %q: %s", r.State, r.Version, r.Reason)
	}
	if !slices.Contains(r.Notes, "removed 4 empty leftovers of "+oldVersion) {
		t.Errorf("notes: %q", r.Notes)
	}
	h.gone(debianLibs + "/libcuda.so." + oldVersion)
	h.gone(debianLibs + "/libnvidia-nvvm.so.4")
	h.gone("/usr/local/nvidia/lib64/libnvidia-gone.so.1")
	h.gone(farmDir + "/libnvidia-nvvm.so.4")
	h.gone(confDir + "/zz-nvcr-2.conf")
	h.leadsTo(farmDir+"/libcuda.so.1", debianLibs+"/libcuda.so."+newVersion)
	h.leadsTo(debianLibs+"/libcuda.so.1", debianLibs+"/libcuda.so."+newVersion)
	h.again()

	// And then on a host without a driver.
	stop(h)
	for _, p := range []string{debianLibs + "/libcuda.so." + newVersion, debianLibs + "/libnvidia-ml.so." + newVersion,
		debianLibs + "/libnvidia-ptxjitcompiler.so." + newVersion, "/usr/bin/nvidia-smi"} {
		h.must(os.Truncate(h.path(p), 0))
	}
	if r = h.setup(); r.State != Absent || len(r.Problems) > 0 {
		t.Errorf("without a driver: %s, %q", r.State, r.Problems)
	}
	for _, p := range []string{debianLibs + "/libcuda.so.1", "/usr/bin/nvidia-smi", programDir + "/nvidia-smi", farmDir + "/libcuda.so.1"} {
		h.gone(p)
	}
	if data, _ := os.ReadFile(h.path(cachePath)); strings.Contains(string(data), "libcuda") {
		t.Error("the cache still lists libcuda")
	}
	h.again()
}

// stop takes away what a stop takes away: mounts and devices, not files.
func stop(h *host) {
	h.mounted, h.environ = nil, nil
	h.writeMounts()
	h.must(os.RemoveAll(h.path("/dev")))
	h.mkdir("/dev")
}

// TestFaultOfOurs has a panic end in the report.
func TestFaultOfOurs(t *testing.T) {
	h := newHost(t)
	o := h.options()
	o.Run = func(context.Context, ...string) ([]byte, int, error) { panic("a fault") }
	r := Setup(t.Context(), o)
	if r.State != Partial || !strings.Contains(r.Reason, "a fault") || len(r.Notes) == 0 {
		t.Errorf("got %s: %s, notes %q", r.State, r.Reason, r.Notes)
	}
}

func TestFarmLeavesWhatIsNotTheDriver(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	for _, name := range []string{"libGL.so.1", "libOpenCL.so.1", "libcudart.so.12", "libc.so.6", "libnvidia-container.so.1"} {
		h.library(debianLibs+"/"+name, name)
		h.mount(debianLibs + "/" + name)
	}
	h.write(debianLibs+"/libnvidia-cfg.so."+newVersion, "") // about to be mounted on, maybe
	h.write("/etc/OpenCL/vendors/nvidia.icd", "libnvidia-opencl.so.1\n")
	h.write("/usr/share/glvnd/egl_vendor.d/10_nvidia.json", "") // left behind
	h.write("/etc/OpenCL/vendors/pocl.icd", "libpocl.so\n")
	h.setup()
	for _, name := range tree(h.root).names(farmDir) {
		if !strings.HasPrefix(name, "libcuda.so") && !strings.HasPrefix(name, "libnvidia-ml.so") && !strings.HasPrefix(name, "libnvidia-ptxjitcompiler.so") {
			t.Errorf("%s is in the farm", name)
		}
	}
	h.leadsTo(debianLibs+"/libnvidia-cfg.so."+newVersion, debianLibs+"/libnvidia-cfg.so."+newVersion)
	h.leadsTo("/run/opengl-driver/etc/OpenCL/vendors/nvidia.icd", "/etc/OpenCL/vendors/nvidia.icd")
	h.gone("/run/opengl-driver/etc/OpenCL/vendors/pocl.icd")
	h.gone("/run/opengl-driver/share/glvnd/egl_vendor.d/10_nvidia.json")

	h.link(farmDir+"/mesa.so", "/somebody/else's")
	h.library(debianLibs+"/libnvidia-nvvm.so."+newVersion, "libnvidia-nvvm.so.4")
	h.mount(debianLibs + "/libnvidia-nvvm.so." + newVersion)
	if r := h.setup(); len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "mesa.so in it is not of a driver") {
		t.Errorf("problems: %q", r.Problems)
	}
}

func TestDamagedLibrary(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	whole := h.path(debianLibs + "/libcuda.so." + newVersion)
	info, err := os.Stat(whole)
	h.must(err)
	h.must(os.Truncate(whole, info.Size()/2))
	r := h.setup()
	if r.State != Partial || !strings.Contains(r.Reason, "libcuda.so.1") {
		t.Errorf("got %s: %s", r.State, r.Reason)
	}
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "libcuda.so."+newVersion+" is damaged") {
		t.Errorf("problems: %q", r.Problems)
	}
}

// detected says what is there now and changes nothing.
func detected(h *host) Report {
	w := newWork(h.options())
	return w.report(context.Background(), w.detect())
}
