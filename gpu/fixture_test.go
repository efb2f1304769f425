package gpu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// There is no GPU where these tests run, and NVIDIA's files may not be part of
// the repository: libraries and programs here are small ones that gcc makes,
// under the driver's names. The driver's real files are tested in checks/.

const (
	oldVersion = "535.261.03"
	newVersion = "550.163.01"
	store      = "/nix/store/00000000000000000000000000000000-"
	glibc      = store + "glibc-2.40"
	ldconfig   = store + "glibc-2.40-bin/bin/ldconfig"
	debianLibs = "/usr/lib/x86_64-linux-gnu"
)

// builds keeps what gcc made, for all tests of a run.
var builds struct {
	sync.Mutex
	dir string
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && strings.HasPrefix(os.Args[1], "child-") {
		os.Exit(child(os.Args[1], os.Args[2]))
	}
	dir, err := os.MkdirTemp("", "gpu-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	builds.dir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// compile returns the path of what gcc makes of a C source.
func compile(t testing.TB, source string, flags ...string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := fmt.Sprintf("%x", strings.Join(append(flags, source), " "))
	out := filepath.Join(builds.dir, key[max(0, len(key)-180):]+fmt.Sprint(len(key)))
	if _, err := os.Stat(out); err == nil {
		return out
	}
	cmd := exec.Command("gcc", append([]string{"-x", "c", "-o", out, "-"}, flags...)...)
	cmd.Stdin = strings.NewReader(source)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc %v: %v\n%s", flags, err, text)
	}
	return out
}

// A host is a root file system as a container's runtime leaves it.
type host struct {
	t       testing.TB
	root    string
	mounted []string
	environ []string
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, root: t.TempDir()}
	h.copy(hostFile(t, "/lib64/ld-linux-x86-64.so.2"), glibc+"/lib/ld-linux-x86-64.so.2")
	h.copy(hostFile(t, "/lib/x86_64-linux-gnu/libc.so.6"), glibc+"/lib/libc.so.6")
	h.copy(hostFile(t, "/sbin/ldconfig.real", "/sbin/ldconfig"), ldconfig)
	h.write("/etc/ld.so.conf.d/50-image.conf", glibc+"/lib\n")
	h.mkdir("/dev")
	h.writeMounts()
	return h
}

// hostFile is the first of these files of this machine that exists.
func hostFile(t testing.TB, paths ...string) string {
	t.Helper()
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	t.Fatalf("none of %v is on this machine", paths)
	return ""
}

func (h *host) path(p string) string { return filepath.Join(h.root, p) }

func (h *host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) mkdir(p string) { h.t.Helper(); h.must(os.MkdirAll(h.path(p), 0o755)) }

func (h *host) write(p, content string) {
	h.t.Helper()
	h.mkdir(filepath.Dir(p))
	h.must(os.WriteFile(h.path(p), []byte(content), 0o755))
}

func (h *host) copy(from, to string) {
	h.t.Helper()
	data, err := os.ReadFile(from)
	h.must(err)
	h.write(to, string(data))
}

func (h *host) link(p, target string) {
	h.t.Helper()
	h.mkdir(filepath.Dir(p))
	h.must(os.Symlink(target, h.path(p)))
}

// library puts a real shared library with this soname at p.
func (h *host) library(p, soname string) {
	h.t.Helper()
	h.copy(compile(h.t, "int f(void) { return 0; }", "-shared", "-fPIC", "-nostdlib", "-Wl,-soname,"+soname), p)
}

// smi puts a program at p that behaves as nvidia-smi does as far as loading its
// library goes: 12 where that is not found, else the given exit status.
func (h *host) smi(p string, exit int, flags ...string) {
	h.t.Helper()
	h.copy(compile(h.t, fmt.Sprintf(`
		#include <dlfcn.h>
		#include <stdio.h>
		int main(int argc, char **argv) {
			if (!dlopen("libnvidia-ml.so.1", RTLD_NOW)) { puts(dlerror()); return 12; }
			if (argc > 2) puts("0, GPU-0001, A Card, 81559\n1, GPU-0002, A Card, [N/A]");
			return %d;
		}`, exit), flags...), p)
}

// mount says that p is a mount point; lines are as Linux 6.18 wrote them for
// mounts by runc and NVIDIA's toolkit.
func (h *host) mount(points ...string) {
	h.t.Helper()
	for _, p := range points {
		h.mounted = append(h.mounted, fmt.Sprintf("5%02d 489 254:0 /somewhere%s %s ro,nosuid,nodev,relatime - ext4 /dev/vda rw", len(h.mounted), p, strings.ReplaceAll(p, " ", `\040`)))
	}
	h.writeMounts()
}

func (h *host) mountTmpfs(p string) {
	h.mounted = append(h.mounted, fmt.Sprintf("5%02d 489 0:51 / %s rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=64k", len(h.mounted), p))
	h.writeMounts()
}

// writeMounts replaces the file at once, so that a waiting reader never sees a half.
func (h *host) writeMounts() {
	h.t.Helper()
	lines := append([]string{"489 466 0:48 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d"}, h.mounted...)
	h.write("/proc/self/mountinfo.new", strings.Join(lines, "\n")+"\n")
	h.must(os.Rename(h.path("/proc/self/mountinfo.new"), h.path("/proc/self/mountinfo")))
}

// libraries mounts the usual ones of a version in dir, without any links.
func (h *host) libraries(dir, version string) {
	h.t.Helper()
	for _, name := range []string{"libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so"} {
		h.library(dir+"/"+name+"."+version, name+".1")
		h.mount(dir + "/" + name + "." + version)
	}
}

// devices makes nodes behind which no driver is: opening a socket fails with
// ENXIO, as a device without a driver does.
func (h *host) devices() {
	h.t.Helper()
	for _, name := range []string{"nvidiactl", "nvidia0", "nvidia-uvm"} {
		h.must(unix.Mknod(h.path("/dev/"+name), unix.S_IFSOCK|0o666, 0))
	}
}

// cdi injects a whole driver as NVIDIA's toolkit 1.20 does.
func (h *host) cdi(version string) {
	h.t.Helper()
	h.libraries(debianLibs, version)
	h.links(debianLibs, version)
	h.smi("/usr/bin/nvidia-smi", 9)
	h.mount("/usr/bin/nvidia-smi")
	h.devices()
	h.environ = []string{"NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_CTK_LIBCUDA_DIR=" + debianLibs}
}

// links makes the links that the toolkit's create-symlinks hook makes.
func (h *host) links(dir, version string) {
	h.t.Helper()
	for _, name := range []string{"libcuda.so", "libnvidia-ml.so", "libnvidia-ptxjitcompiler.so"} {
		_ = os.Remove(h.path(dir + "/" + name + ".1"))
		h.link(dir+"/"+name+".1", name+"."+version)
	}
	_ = os.Remove(h.path(dir + "/libcuda.so"))
	h.link(dir+"/libcuda.so", "libcuda.so.1")
}

func (h *host) options() Options {
	return Options{Root: h.root, Environ: h.environ, Loader: glibc + "/lib/ld-linux-x86-64.so.2", Ldconfig: ldconfig, Wait: -1, Run: h.run}
}

func (h *host) setup() Report { return Setup(h.t.Context(), h.options()) }

// run starts a program with the host's root as its root.
func (h *host) run(ctx context.Context, argv ...string) ([]byte, int, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Err = []string{}, "/", nil
	cmd.SysProcAttr = namespaces(0)
	cmd.SysProcAttr.Chroot = h.root
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return output, -1, ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if exit.Exited() {
			return output, exit.ExitCode(), nil
		}
	}
	return output, 0, err
}

// namespaces are what chroot, and mounts, need of a user who is not root.
func namespaces(flags uintptr) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: flags}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

// leadsTo checks where a link of the root ends.
func (h *host) leadsTo(p, want string) {
	h.t.Helper()
	if got := tree(h.root).inside(p); got != want || tree(h.root).stat(p) == nil {
		h.t.Errorf("%s leads to %s (there: %v), want %s", p, got, tree(h.root).stat(p) != nil, want)
	}
}

func (h *host) gone(p string) {
	h.t.Helper()
	if _, err := os.Lstat(h.path(p)); err == nil {
		h.t.Errorf("%s is still there", p)
	}
}

// again checks that a second Setup finds nothing to do.
func (h *host) again() {
	h.t.Helper()
	if r := h.setup(); len(r.Notes) > 0 {
		h.t.Errorf("the second setup changed something: %q", r.Notes)
	}
}

// eventually waits until a condition holds, at most 10 s.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end, tick := time.After(10*time.Second), time.NewTicker(5*time.Millisecond); !holds(); {
		select {
		case <-end:
			t.Fatalf("waited 10 s for %s", what)
		case <-tick.C:
		}
	}
}
