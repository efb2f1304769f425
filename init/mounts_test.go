package boot

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMountsInAnEmptyRoot(t *testing.T) {
	c := &Container{Root: t.TempDir(), Settings: Settings{LogDir: "/data/logs", Workspace: "/workspace"}}
	note := step(t, c, Mounts)
	for path, want := range map[string]os.FileMode{
		"run/sshd": os.ModeDir | 0o755, "run/nix2vast": os.ModeDir | 0o755, "var/empty": os.ModeDir | 0o755,
		"tmp": os.ModeDir | os.ModeSticky | 0o777, "var/tmp": os.ModeDir | os.ModeSticky | 0o777,
		"data/logs": os.ModeDir | 0o755, "workspace": os.ModeDir | 0o755, "dev/shm": os.ModeDir | os.ModeSticky | 0o777,
		"dev/null": os.ModeDevice | os.ModeCharDevice | 0o666, "dev/tty": os.ModeDevice | os.ModeCharDevice | 0o666,
	} {
		wantMode(t, c.Root, path, want)
		if !strings.Contains(note, "made /"+path) {
			t.Errorf("note %q lacks %s", note, path)
		}
	}
	for _, d := range devices {
		var theirs, ours unix.Stat_t
		if err := errors.Join(unix.Stat(d.path, &theirs), unix.Stat(filepath.Join(c.Root, d.path), &ours)); err != nil {
			t.Fatal(err)
		}
		if ours.Rdev != theirs.Rdev {
			t.Errorf("%s is device %x, want %x", d.path, ours.Rdev, theirs.Rdev)
		}
	}
	if target, err := os.Readlink(filepath.Join(c.Root, "dev/stdin")); target != "/proc/self/fd/0" {
		t.Errorf("/dev/stdin leads to %q, %v", target, err)
	}
}

func TestMountsRepairs(t *testing.T) {
	root := newRoot(t, map[string]string{"/dev/null": "somebody wrote this", "/run/nix2vast/control.sock": ""})
	for _, dir := range []string{"run/sshd", "var/empty", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Chmod(filepath.Join(root, dir), 0o775), os.Chown(filepath.Join(root, dir), 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	note := step(t, &Container{Root: root}, Mounts)
	for _, path := range []string{"/run/sshd", "/var/empty", "/tmp"} {
		if !strings.Contains(note, "repaired the owner or mode of "+path) {
			t.Errorf("note %q lacks %s", note, path)
		}
	}
	for path, want := range map[string]os.FileMode{
		"run/sshd": os.ModeDir | 0o755, "var/empty": os.ModeDir | 0o755, "tmp": os.ModeDir | os.ModeSticky | 0o777,
		"dev/null": os.ModeDevice | os.ModeCharDevice | 0o666,
	} {
		wantMode(t, root, path, want)
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(root, path), &stat); err != nil || stat.Uid != 0 {
			t.Errorf("%s belongs to %d, %v", path, stat.Uid, err)
		}
	}
	// We are not PID 1: the socket may be a running init's.
	get(t, root, "run/nix2vast/control.sock")
}

func TestWipe(t *testing.T) {
	root := newRoot(t, map[string]string{
		"/run/nix2vast/control.sock": "", "/run/nix2vast/a.pid": "", "/run/nix2vast/gpu.json": "", "/run/nix2vast/state.json": "",
		"/run/nix2vast/bin/nvidia-smi": "", "/run/nix2vast/theirs": "",
	})
	if err := wipe(root); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("find", filepath.Join(root, runPath), "-type", "f", "-printf", "%P ").Output()
	if got := string(out); err != nil || strings.Contains(got, "sock") || strings.Contains(got, "pid") || strings.Contains(got, "json") ||
		!strings.Contains(got, "bin/nvidia-smi") || !strings.Contains(got, "theirs") {
		t.Errorf("left: %s, %v", got, err)
	}
}

func TestMountsAsPID1(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	root := t.TempDir()
	note, err := prepare(root, true, defaultLogDir, "/workspace")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, f := range filesystems {
			if err := unix.Unmount(filepath.Join(root, f.path), unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
	}()
	for path, want := range map[string]int64{"proc": unix.PROC_SUPER_MAGIC, "sys": unix.SYSFS_MAGIC, "dev/pts": unix.DEVPTS_SUPER_MAGIC, "dev/shm": unix.TMPFS_MAGIC} {
		var stat unix.Statfs_t
		if err := unix.Statfs(filepath.Join(root, path), &stat); err != nil || stat.Type != want {
			t.Errorf("%s has type %x, %v; note %q", path, stat.Type, err, note)
		}
	}
	if note, err := prepare(root, true, defaultLogDir, "/workspace"); note != "" || err != nil {
		t.Errorf("a second time: %q, %v", note, err)
	}
	mounted, err := os.ReadFile("/proc/self/mountinfo")
	if n := bytes.Count(mounted, []byte(" "+root+"/")); err != nil || n != len(filesystems) {
		t.Errorf("%d mounts, %v", n, err)
	}
}

// withoutCapability takes a capability from the thread that the test runs on.
func withoutCapability(t *testing.T, capability int) {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&head, &data[0]); err != nil {
		t.Fatal(err)
	}
}

func TestMountsThatAreForbidden(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	withoutCapability(t, unix.CAP_SYS_ADMIN)
	note, err := prepare(t.TempDir(), true)
	if err != nil || strings.Contains(note, "mounted") || !strings.Contains(note, "made /proc") {
		t.Errorf("%q, %v", note, err)
	}
}

func TestDevicesThatAreForbidden(t *testing.T) {
	withoutCapability(t, unix.CAP_MKNOD)
	root := newRoot(t, map[string]string{"/dev/null": "somebody wrote this"})
	_, err := prepare(root, false)
	if err == nil || !strings.Contains(err.Error(), "making /dev/null: operation not permitted") {
		t.Errorf("%v", err)
	}
	get(t, root, "dev/null") // still better than nothing
	wantMode(t, root, "run/sshd", os.ModeDir|0o755)
}

func TestMountsOnAReadOnlyRoot(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	root := newRoot(t, map[string]string{"/run/x": "", "/proc/x": "", "/dev/x": ""})
	bind(t, root, root)
	defer func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}

	// Without the right to mount there is one sentence for it all.
	note, err := prepare(root, false, defaultLogDir, "/workspace")
	if note != "" || err == nil || strings.Count(err.Error(), "\n") > 0 ||
		!strings.Contains(err.Error(), "the file system is read-only") || !strings.Contains(err.Error(), ": /run/nix2vast, /run/sshd, ") {
		t.Errorf("%q, %v", note, err)
	}
	// With it /run is there, and the socket has a place.
	note, err = prepare(root, true, defaultLogDir, "/workspace")
	if !strings.Contains(note, "mounted a tmpfs on the read-only /run") || err == nil || strings.Contains(err.Error(), "/run/sshd") {
		t.Errorf("%q, %v", note, err)
	}
	wantMode(t, root, "run/sshd", os.ModeDir|0o755)
}
