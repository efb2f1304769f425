package checks

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// foreignLoader is the dynamic loader that every program not built by Nix asks for.
const foreignLoader = "/lib64/ld-linux-x86-64.so.2"

// A program is testdata/cuda.c, linked the way that one kind of program is.
type program struct {
	name    string
	loader  string
	runpath string
}

// programs are the kinds that have to find the driver, none of them by
// LD_LIBRARY_PATH: built by Nix with and without nixpkgs' addDriverRunpath, and
// foreign ones such as the driver's own programs and Python wheels.
func (b *box) programs() []program {
	b.t.Helper()
	var config struct{ Loader string }
	data, err := os.ReadFile(b.path("/etc/nix2vast/config.json"))
	b.must(err, json.Unmarshal(data, &config))
	if !strings.HasPrefix(config.Loader, "/nix/store/") {
		b.t.Fatalf("the image's config names the loader %q", config.Loader)
	}
	glibc := filepath.Dir(config.Loader)
	return []program{
		{"nix", config.Loader, glibc},
		{"nix-runpath", config.Loader, glibc + ":/run/opengl-driver/lib"},
		{"foreign", foreignLoader, ""},
	}
}

// install compiles the programs and their library into the box's /opt.
func (b *box) install(programs []program) {
	b.t.Helper()
	opt := b.path("/opt")
	b.must(os.MkdirAll(opt, 0o755))
	compile := func(args ...string) {
		b.t.Helper()
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			b.t.Fatalf("gcc %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	compile("-shared", "-fPIC", "-o", opt+"/libnested.so", "testdata/nested.c", "-ldl")
	for _, p := range programs {
		args := []string{"-o", filepath.Join(opt, p.name), "testdata/cuda.c", "-ldl", "-Wl,--dynamic-linker=" + p.loader}
		if p.runpath != "" {
			args = append(args, "-Wl,--enable-new-dtags,-rpath,"+p.runpath)
		}
		compile(args...)
	}
}

// usable asserts everything that a person means by "the driver works", as far
// as a machine without the kernel's driver can tell: nvidia-smi ends with 9
// (it found the library that asks the driver, and no kernel module), and
// everything holds that found asserts.
func (b *box) usable(h host) {
	b.t.Helper()
	for _, smi := range []string{"nvidia-smi", "/run/nix2vast/bin/nvidia-smi", "/usr/bin/nvidia-smi"} {
		if out, code := b.sh("unset LD_LIBRARY_PATH; exec " + smi); code != 9 {
			b.t.Errorf("%s ends with %d, want 9 (driver not loaded)\n%s", smi, code, out)
		}
	}
	if out, _ := b.sh("command -v nvidia-smi"); out != "/run/nix2vast/bin/nvidia-smi\n" {
		b.t.Errorf("nvidia-smi on PATH is %q, want our copy in /run/nix2vast/bin", out)
	}
	b.found(h)
}

// found asserts that programs and tools find the driver's libraries.
func (b *box) found(h host) {
	b.t.Helper()
	programs := b.programs()
	b.install(programs)
	for _, p := range programs {
		b.loads(p, "libcuda.so.1", fmt.Sprintf("cuDriverGetVersion 0 %d", h.number))
		b.loads(p, "libcuda.so", fmt.Sprintf("cuDriverGetVersion 0 %d", h.number))
		b.loads(p, "libnvidia-ml.so.1", "nvmlInit 9") // NVML_ERROR_DRIVER_NOT_LOADED
		b.loads(p, "/opt/libnested.so,libnvidia-ptxjitcompiler.so.1", "libnvidia-ptxjitcompiler.so.1: loaded")
	}
	// A glibc from elsewhere (nix shell) does not know the image's cache: what
	// nixpkgs marks with addDriverRunpath has to work by the link farm alone.
	out, code := b.exec(programs[1].loader, "--inhibit-cache", "/opt/"+programs[1].name, "libcuda.so.1")
	if want := "libcuda.so.1 is /run/opengl-driver/lib/libcuda.so.1, "; code != 0 || !strings.HasPrefix(out, want) {
		b.t.Errorf("%s program without a cache: exit %d, printed %q; want %q", programs[1].name, code, out, want)
	}
	b.listed("libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1")
}

// loads asserts that a program finds a library and gets an answer from it.
func (b *box) loads(p program, library, want string) {
	b.t.Helper()
	out, code := b.sh("unset LD_LIBRARY_PATH; exec /opt/" + p.name + " " + library)
	if code != 0 || !strings.HasSuffix(strings.TrimSpace(out), want) {
		b.t.Errorf("%s program loading %s: exit %d, printed %q; want %q", p.name, library, code, out, want)
	}
}

// listed asserts that "/sbin/ldconfig -p" leads to the libraries: what Python's
// ctypes.util.find_library and Triton go by. The expression is Python's own
// (Lib/ctypes/util.py, _findSoname_ldconfig), which reads the first match.
func (b *box) listed(libraries ...string) {
	b.t.Helper()
	out, code := b.exec("/sbin/ldconfig", "-p")
	if code != 0 {
		b.t.Errorf("/sbin/ldconfig -p ends with %d\n%s", code, out)
		return
	}
	for _, library := range libraries {
		line := regexp.MustCompile(`\s+(` + regexp.QuoteMeta(library) + `) \(libc6,x86-64[^)]*\) => (\S+)`).FindStringSubmatch(out)
		if line == nil {
			b.t.Errorf("/sbin/ldconfig -p does not list %s\n%s", library, out)
			continue
		}
		if _, code := b.exec("/bin/sh", "-c", "test -s "+line[2]); code != 0 {
			b.t.Errorf("/sbin/ldconfig -p says %s is %s, which is not there or empty", library, line[2])
		}
	}
	found := regexp.MustCompile(`\s+(libcuda\.[^\s]+) \(libc6,x86-64`).FindStringSubmatch(out)
	if found == nil || !(found[1] == "libcuda.so.1" || found[1] == "libcuda.so") {
		b.t.Errorf("find_library(\"cuda\") would be %q, want libcuda.so.1 or libcuda.so", found)
	}
}

// A report is what init gpu --json prints.
type report struct {
	State, Reason, Cure, Vendor, Version, Kernel, Mode string
	Libraries, Programs, Devices, Notes, Problems      []string
}

// decode reads a report.
func decode(t *testing.T, data string) (r report) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), &r); err != nil {
		t.Fatalf("not a report: %v\n%s", err, data)
	}
	return r
}
