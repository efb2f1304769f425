package gpu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inChild sets a root up in a mount namespace of its own.
func inChild(h *host, what string) (r Report) {
	h.t.Helper()
	program, err := os.Executable()
	h.must(err)
	cmd := exec.Command(program, what, h.root)
	cmd.SysProcAttr = namespaces(unix.CLONE_NEWNS)
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	h.must(json.Unmarshal(out, &r))
	return r
}

func TestReadOnly(t *testing.T) {
	for _, test := range []struct {
		host func(h *host)
		want State
	}{
		{func(h *host) {}, Absent},
		{func(h *host) { h.cdi(newVersion) }, NoDriver},
	} {
		h := newHost(t)
		test.host(h)
		r := inChild(h, "child-read-only")
		if len(r.Notes) > 0 || len(r.Problems) == 0 || r.State != test.want {
			t.Errorf("got %s: %s, want %s; notes %q, problems %q", r.State, r.Reason, test.want, r.Notes, r.Problems)
		}
		for _, p := range r.Problems {
			if !strings.Contains(strings.ToLower(p), "read-only file system") {
				t.Errorf("problem %q", p)
			}
		}
	}
}

// TestNoexec has no copies made where they would hide a program that works.
func TestNoexec(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	h.mkdir("/run")
	r := inChild(h, "child-noexec")
	if len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "mounted noexec") || r.State != NoDriver {
		t.Errorf("got %s: %s; problems %q", r.State, r.Reason, r.Problems)
	}
	if strings.Contains(strings.Join(r.Notes, "\n"), "patched") {
		t.Errorf("notes: %q", r.Notes)
	}
}

// child is this test binary in namespaces of its own.
func child(what, root string) int {
	if err := inNamespace(what, root); err != nil {
		os.Stderr.WriteString(what + ": " + err.Error() + "\n")
		return 1
	}
	return 0
}

func inNamespace(what, root string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	var err error
	switch what {
	case "child-mount":
		return mountWhileWaiting(root)
	case "child-read-only":
		if err = unix.Mount(root, root, "", unix.MS_BIND, ""); err == nil {
			err = unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
	case "child-noexec":
		err = unix.Mount("tmpfs", root+"/run", "tmpfs", unix.MS_NOEXEC, "")
	}
	if err != nil {
		return err
	}
	h := host{root: root}
	if tree(root).stat("/dev/nvidiactl") != nil {
		h.environ = []string{"NVIDIA_CTK_LIBCUDA_DIR=" + debianLibs}
	}
	return json.NewEncoder(os.Stdout).Encode(Setup(context.Background(), h.options()))
}

// mountWhileWaiting mounts something, for real, under the eyes of event: nothing
// else may take the event meanwhile. What others on the machine have mounted goes from this namespace
// too when they remove its directory.
func mountWhileWaiting(dir string) error {
	mountinfo, err := openEvents(mountinfoPath)
	if err != nil {
		return err
	}
	before, err := os.ReadFile(mountinfoPath)
	for ; err == nil && event(mountinfo, 20*time.Millisecond); before, err = os.ReadFile(mountinfoPath) {
		if now, err := os.ReadFile(mountinfoPath); err == nil && bytes.Equal(before, now) {
			return errors.New("an event without a mount")
		}
	}
	if err != nil {
		return err
	}
	for range 20 {
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		<-time.After(10 * time.Millisecond) // in which the runtime's poller looks at its files
		if start := time.Now(); !event(mountinfo, 10*time.Second) || time.Since(start) > 5*time.Second {
			return errors.New("no event with a mount")
		}
	}
	return nil
}

func TestMountEvent(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "child-mount", t.TempDir())
	cmd.SysProcAttr = namespaces(unix.CLONE_NEWNS)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
