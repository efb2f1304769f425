package checks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostLdconfig is where Debian's hosts have it; the runtimes run the host's.
const hostLdconfig = "/sbin/ldconfig"

// requested is the environment that the image sets to get the driver.
var requested = []string{"NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}

// report waits until init's report of this boot says the state, and returns it.
func (b *box) report(state string) (r report) {
	b.t.Helper()
	var data []byte
	// A tmpfs on /run is seen through the process only.
	file := fmt.Sprintf("/proc/%d/root/run/nix2vast/gpu.json", b.pid)
	seen := within(30*time.Second, func() bool {
		info, err := os.Stat(file)
		if err != nil || info.ModTime().Before(b.started) {
			return false
		}
		data, err = os.ReadFile(file)
		b.must(err)
		r = decode(b.t, string(data))
		return r.State == state
	})
	if !seen {
		b.t.Fatalf("init's report does not become %q; the last one:\n%s", state, data)
	}
	return r
}

// boot starts the box, waits for the report, and asserts what everybody sees of it.
func (b *box) boot(runtime, state string, environ ...string) report {
	b.t.Helper()
	b.start(runtime, environ...)
	r := b.report(state)
	if out, code := b.exec("/init", "gpu", "--json"); decode(b.t, out).State != state {
		b.t.Errorf("init gpu --json ends with %d and prints\n%s", code, out)
	}
	if out, _ := b.exec("/init", "status"); !strings.Contains(out, state) {
		b.t.Errorf("init status does not say %q:\n%s", state, out)
	}
	return r
}

// TestDriverBefore is the measure of the tests below: without init, the same
// injection into the same image leaves nvidia-smi without a loader, or with a
// loader and without its libraries.
func TestDriverBefore(t *testing.T) {
	t.Parallel()
	h := driver(t, "550")
	for name, runtime := range map[string]string{"cdi": h.cdi(), "legacy": h.legacy(t, hostLdconfig)} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.Command = []string{"/bin/sh", "-c", "nvidia-smi; echo exit $?"}
			b.start(runtime, requested...)
			b.wait()
			if out := b.log(); !strings.HasSuffix(out, "exit 127\n") && !strings.HasSuffix(out, "exit 12\n") {
				t.Errorf("nvidia-smi without init: %q, want it to end with 127 or 12", out)
			}
		})
	}
}

func TestDriverCDI(t *testing.T) {
	t.Parallel()
	for _, branch := range []string{"535", "550"} {
		t.Run(branch, func(t *testing.T) {
			t.Parallel()
			h := driver(t, branch)
			b := newBox(t)
			r := b.boot(h.cdi(), "no-driver", requested...)
			if r.Version != h.version || r.Mode != "cdi" || r.Vendor != "nvidia" {
				t.Errorf("the report says %s %s by %s, want nvidia %s by cdi", r.Vendor, r.Version, r.Mode, h.version)
			}
			if len(r.Problems) > 0 {
				t.Errorf("problems: %q", r.Problems)
			}
			b.usable(h)
		})
	}
}

// TestDriverLegacy is about the directory: the legacy runtime chooses it by the
// image's /etc/debian_version.
func TestDriverLegacy(t *testing.T) {
	t.Parallel()
	for dir, marked := range map[string]bool{"/usr/lib/x86_64-linux-gnu": true, "/usr/lib64": false} {
		t.Run(strings.ReplaceAll(dir[1:], "/", "-"), func(t *testing.T) {
			t.Parallel()
			h := driver(t, "550")
			b := newBox(t)
			if !marked {
				b.must(os.Remove(b.path("/etc/debian_version")))
			}
			r := b.boot(h.legacy(t, hostLdconfig), "no-driver", requested...)
			if want := dir + "/libcuda.so." + h.version; !strings.Contains(strings.Join(r.Libraries, "\n"), want) {
				t.Errorf("libraries %q, want %s among them", r.Libraries, want)
			}
			b.usable(h)
		})
	}
}

// TestDriverPartial is the injection that toolkits make whose ldconfig does not
// run: no link, no cache.
func TestDriverPartial(t *testing.T) {
	t.Parallel()
	h := driver(t, "550")
	runtime := h.legacy(t, "/nonexistent/ldconfig")
	bare := newBox(t)
	bare.Command = []string{"/bin/sh", "-c", "cd /usr/lib/*-linux-gnu && echo libcuda.so*"}
	bare.start(runtime, requested...)
	bare.wait()
	if got, want := bare.log(), "libcuda.so libcuda.so."+h.version+"\n"; got != want {
		t.Fatalf("without init there is %q, want %q", got, want)
	}

	b := newBox(t)
	r := b.boot(runtime, "no-driver", requested...)
	if len(r.Problems) > 0 {
		t.Errorf("problems: %q", r.Problems)
	}
	b.usable(h)
}

// TestDriverAbsent boots where nobody asked for a GPU: not a moment is waited.
func TestDriverAbsent(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	want := "absent"
	if _, err := os.Stat("/proc/driver/nvidia"); err == nil {
		want = "requested-not-injected" // "all", which the image sets, asks for this machine's GPU
	}
	b.boot(plain, want, "NVIDIA_VISIBLE_DEVICES=all", "NIX2VAST_GPU_WAIT=0")
	if log := b.log(); strings.Contains(log, "waiting for the driver") {
		t.Errorf("init waits for a driver that nobody asked for:\n%s", log)
	}
	if _, code := b.exec("/init", "status", "--wait", "30s"); code == 2 || code == 3 {
		t.Errorf("init status ends with %d: the box is still booting", code)
	}
}

// TestDriverRequestedNotInjected asks for a GPU on a machine whose runtime knows
// nothing of that. The wait is bounded, and said.
func TestDriverRequestedNotInjected(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	r := b.boot(plain, "requested-not-injected", "NVIDIA_VISIBLE_DEVICES=0", "NIX2VAST_GPU_WAIT=700ms")
	if r.Reason == "" || r.Cure == "" {
		t.Errorf("reason %q and cure %q: want both", r.Reason, r.Cure)
	}
	for _, sentence := range []string{"waiting for the driver", "the driver did not come"} {
		if !strings.Contains(b.log(), sentence) {
			t.Errorf("the log does not say %q", sentence)
		}
	}
}

// TestDriverDenied has everything injected and the devices refused by the
// device cgroup: systemd's daemon-reload does that to running containers
// (NVIDIA/nvidia-container-toolkit#48).
func TestDriverDenied(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.NoDevices = true
	r := b.boot(driver(t, "550").legacy(t, hostLdconfig), "denied", requested...)
	if r.Cure == "" {
		t.Error("no cure is given")
	}
	if out, code := b.sh("nvidia-smi"); code == 9 || code == 12 || code == 127 {
		t.Errorf("nvidia-smi ends with %d: its libraries are not found, or the device is not denied\n%s", code, out)
	}
}

// TestDriverLate has the driver mounted into the running container, while init
// waits for it.
func TestDriverLate(t *testing.T) {
	t.Parallel()
	h := driver(t, "550")
	b := newBox(t)
	b.start(plain, "NVIDIA_VISIBLE_DEVICES=0", "NIX2VAST_GPU_WAIT=30s")
	if !within(20*time.Second, func() bool { return strings.Contains(b.log(), "waiting for the driver") }) {
		t.Fatal("init does not say that it waits for the driver")
	}
	// The devices come last, as far from the libraries as a loaded machine makes
	// it: what lacks them is not complete, however quiet it is.
	files := h.files(t)
	slices.Reverse(files)
	half := len(files) / 2
	b.inject(files[:half])
	b.inject(files[half:])
	b.report("no-driver")
	if !strings.Contains(b.log(), "the driver is there") {
		t.Error("the log does not say that the driver came")
	}
	b.usable(h)
}

// TestDriverSwap stops the box, updates the host's driver, and starts it again
// on the same file system, which has the mount points of the old one: empty
// files, one for each library, with the names that programs would find.
func TestDriverSwap(t *testing.T) {
	t.Parallel()
	older, newer := driver(t, "535"), driver(t, "550")
	b := newBox(t)
	b.boot(older.cdi(), "no-driver", requested...)
	b.usable(older)
	b.stop()

	left := b.path("/usr/lib/x86_64-linux-gnu/libcuda.so." + older.version)
	if info, err := os.Stat(left); err != nil || info.Size() != 0 {
		t.Fatalf("the stopped box has no empty %s: this is not the state to test", left)
	}
	r := b.boot(newer.cdi(), "no-driver", requested...)
	if r.Version != newer.version {
		t.Errorf("the report says driver %s, want %s", r.Version, newer.version)
	}
	b.usable(newer)
	out, _ := b.sh(`find /usr/lib /usr/lib64 /run/opengl-driver -name "*` + older.version + `*" 2>/dev/null
		find -L /usr/lib /usr/lib64 /run/opengl-driver -name "lib*nvidia*" -type l 2>/dev/null
		grep -l "` + older.version + `" /etc/ld.so.cache 2>/dev/null`)
	if out != "" {
		t.Errorf("of driver %s there is still, or dangles:\n%s", older.version, out)
	}

	// And once more, with nothing new: the same files, byte for byte.
	before, _ := b.sh(fingerprint)
	b.stop()
	b.boot(newer.cdi(), "no-driver", requested...)
	if after, _ := b.sh(fingerprint); after != before {
		t.Errorf("another boot with the same driver changes\n%s\nto\n%s", before, after)
	}
	b.usable(newer)
}

// fingerprint prints what init makes of a driver. The cache is left out: the
// runtime's hook writes it anew at every start, before init.
const fingerprint = `cd /; find run/opengl-driver lib64 sbin/ldconfig -type l | sort | while read -r l; do echo "$l $(readlink "$l")"; done
	sha256sum run/nix2vast/bin/* etc/ld.so.conf etc/ld.so.conf.d/*nix2vast*`

// TestDriverDamaged injects programs that are no programs. They are reported,
// the libraries work all the same, and no copy of them is left anywhere.
func TestDriverDamaged(t *testing.T) {
	t.Parallel()
	h := driver(t, "550")
	whole, err := os.ReadFile(filepath.Join(h.dir, "host/usr/bin/nvidia-smi"))
	if err != nil {
		t.Fatal(err)
	}
	corrupt := append([]byte{}, whole...)
	for i := range corrupt[64:4096] { // all of the program headers and the dynamic section's start
		corrupt[64+i] = 0xff
	}
	damaged := map[string][]byte{
		"corrupt":   corrupt,
		"header":    whole[:64],
		"truncated": whole[:len(whole)/2],
		"empty":     {},
		"text":      []byte("<html>404 Not Found</html>\n"),
	}
	for name, smi := range damaged {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nvidia-smi")
			if err := os.WriteFile(file, smi, 0o755); err != nil {
				t.Fatal(err)
			}
			b := newBox(t)
			r := b.boot(h.cdiWith(t, "/usr/bin/nvidia-smi", file), "no-driver", requested...)
			if !strings.Contains(strings.Join(r.Problems, "\n"), "nvidia-smi") {
				t.Errorf("problems %q: want a sentence about nvidia-smi", r.Problems)
			}
			if out, _ := b.sh("ls /run/nix2vast/bin | grep -v nvidia-cuda-mps"); out != "" {
				t.Errorf("left in /run/nix2vast/bin: %s", out)
			}
			b.found(h)
		})
	}
}

// TestDriverDamagedLibrary injects half of libcuda: a partial injection, which
// costs the bounded wait, is named, and leaves what does not need it working.
func TestDriverDamagedLibrary(t *testing.T) {
	t.Parallel()
	h := driver(t, "550")
	libcuda := "/usr/lib/x86_64-linux-gnu/libcuda.so." + h.version
	whole, err := os.ReadFile(h.dir + "/host" + libcuda)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "libcuda")
	if err := os.WriteFile(file, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	r := b.boot(h.cdiWith(t, libcuda, file), "partial", append(requested, "NIX2VAST_GPU_WAIT=500ms")...)
	if !strings.Contains(r.Reason, "libcuda.so.1") || !strings.Contains(strings.Join(r.Problems, "\n"), libcuda) {
		t.Errorf("reason %q, problems %q: want libcuda in both", r.Reason, r.Problems)
	}
	if _, err := os.Lstat(b.path("/run/opengl-driver/lib/libcuda.so.1")); err == nil {
		t.Error("the damaged library is in the link farm")
	}
	if out, code := b.sh("nvidia-smi"); code != 9 {
		t.Errorf("nvidia-smi ends with %d, want 9\n%s", code, out)
	}
}

// TestDriverReadOnly has only /run to write to: what lies there works.
func TestDriverReadOnly(t *testing.T) {
	t.Parallel()
	h := driver(t, "550")
	b := newBox(t)
	b.ReadOnly = true
	r := b.boot(h.cdi(), "no-driver", requested...)
	if len(r.Problems) == 0 {
		t.Error("no problem is reported: want a sentence about what could not be written")
	}
	if out, code := b.sh("nvidia-smi"); code != 9 {
		t.Errorf("nvidia-smi ends with %d, want 9\n%s", code, out)
	}
}
