package boot

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace runs the test that calls it once more, as a process with mounts
// of its own, and returns true there. Outside it returns false when that
// process is done, and has failed the test if it did.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if flag.Arg(0) == "namespace" {
		ours, err := os.Readlink("/proc/self/ns/mnt")
		theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", os.Getppid()))
		if err != nil || err2 != nil || ours == theirs {
			t.Fatalf("not in a namespace: %s, %s, %v, %v", ours, theirs, err, err2)
		}
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s", "namespace")
	// Unshareflags makes the mounts private before the first one of ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in a namespace: %v\n%s", err, out)
	}
	return false
}

func bind(t *testing.T, source, target string) {
	t.Helper()
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("mounting %s on %s: %v", source, target, err)
	}
}

func tmpfs(t *testing.T, target string) {
	t.Helper()
	if err := unix.Mount("tmpfs", target, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatalf("mounting a tmpfs on %s: %v", target, err)
	}
}

// private gives this namespace copies of /etc, /root and /run, so that steps
// can work on the root that programs see.
func private(t *testing.T) {
	t.Helper()
	copies := t.TempDir()
	if out, err := exec.Command("cp", "-a", "/etc", copies).CombinedOutput(); err != nil {
		t.Fatalf("copying /etc: %v\n%s", err, out)
	}
	bind(t, filepath.Join(copies, "etc"), "/etc")
	for _, dir := range []string{"/root", "/run"} {
		tmpfs(t, dir)
	}
	if err := os.Mkdir("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
}
