package checks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// A host is the machine of a driver version: what dev/driver.sh has prepared.
type host struct {
	dir     string // build/driver/550
	version string // 550.163.01
	number  int    // what cuDriverGetVersion answers: 12040 is CUDA 12.4
}

// hosts are prepared once: the toolkit built, the driver's files fetched.
var hosts = sync.OnceValues(func() (map[string]host, error) {
	if out, err := exec.Command("../dev/driver.sh", "prepare").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("dev/driver.sh prepare: %w\n%s", err, out)
	}
	found := map[string]host{}
	for branch, number := range map[string]int{"535": 12020, "550": 12040} {
		dir := filepath.Join(repository(), "build", "driver", branch)
		version, err := os.ReadFile(filepath.Join(dir, "version"))
		if err != nil {
			return nil, err
		}
		found[branch] = host{dir, strings.TrimSpace(string(version)), number}
	}
	return found, nil
})

// driver is the host of a branch of the driver, "535" or "550".
func driver(t *testing.T, branch string) host {
	t.Helper()
	found, err := hosts()
	if err != nil {
		t.Fatal(err)
	}
	return found[branch]
}

// plain is the OCI runtime of a machine without NVIDIA's toolkit.
const plain = "runc"

// cdi is the OCI runtime that injects by the CDI specification, which is what
// the toolkit does since 1.18, docker's --device and podman: NVIDIA's own code
// edits config.json, and its hooks make the links and the loader's cache.
func (h host) cdi() string { return filepath.Join(h.dir, "runtime") }

// cdiWith is cdi with one file replaced: the runtime mounts replacement at path.
func (h host) cdiWith(t *testing.T, path, replacement string) string {
	t.Helper()
	dir := t.TempDir()
	edit := func(file, old, new string) {
		text, err := os.ReadFile(filepath.Join(h.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), old) {
			t.Fatalf("%s/%s has no %q", h.dir, file, old)
		}
		target := filepath.Join(dir, filepath.Base(file))
		if err := os.WriteFile(target, []byte(strings.ReplaceAll(string(text), old, new)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	edit("cdi/nvidia.yaml", h.dir+"/host"+path+"\n", replacement+"\n")
	edit("config.toml", h.dir+"/cdi", dir)
	edit("runtime", h.dir+"/config.toml", dir+"/config.toml")
	return filepath.Join(dir, "runtime")
}

// legacy is the OCI runtime of a toolkit before 1.18, and of docker run --gpus:
// a prestart hook, which calls nvidia-container-cli with the path of the host's
// ldconfig. Where that does not exist, no link is made and nothing is reported
// (NVIDIA/nvidia-container-toolkit#1099): the driver is there in part.
func (h host) legacy(t *testing.T, ldconfig string) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(filepath.Dir(h.dir), "bin")
	config := filepath.Join(dir, "config.toml")
	files := map[string]string{
		config: fmt.Sprintf(`[nvidia-container-cli]
path = %q
root = %q
ldconfig = %q
load-kmods = false
[nvidia-container-runtime]
mode = "legacy"
runtimes = ["runc"]
[nvidia-container-runtime-hook]
path = %q
skip-mode-detection = true
`, repository()+"/dev/driver/nvidia-container-cli", h.dir+"/host", "@"+ldconfig, dir+"/hook"),
		dir + "/hook":    fmt.Sprintf("#!/bin/sh\nNVIDIA_CTK_CONFIG_FILE_PATH=%s exec %s/nvidia-container-runtime-hook \"$@\"\n", config, bin),
		dir + "/runtime": fmt.Sprintf("#!/bin/sh\nNVIDIA_CTK_CONFIG_FILE_PATH=%s exec %s/nvidia-container-runtime \"$@\"\n", config, bin),
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir + "/runtime"
}

// files are the driver's files on the host and where CDI puts them: programs,
// libraries and device nodes, without the links.
func (h host) files(t *testing.T) (files [][2]string) {
	t.Helper()
	root := filepath.Join(h.dir, "host")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Type()&os.ModeSymlink == 0 {
			files = append(files, [2]string{path, strings.TrimPrefix(path, root)})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// inject puts files of the host into the running container, each a read-only
// bind mount as the runtime's own are, but after PID 1 has started.
func (b *box) inject(files [][2]string) {
	b.t.Helper()
	failed := make(chan error)
	go func() {
		// The thread enters the container's mount namespace and is not fit for
		// anything else after that: it ends with the goroutine, still locked.
		runtime.LockOSThread()
		failed <- bindInto(b.pid, files)
	}()
	b.must(<-failed)
}

// bindInto binds each pair's first path at its second one in the mount namespace
// of a process. It changes the calling thread for good.
func bindInto(pid int, files [][2]string) error {
	ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	var trees []int
	for _, file := range files {
		tree, err := unix.OpenTree(unix.AT_FDCWD, file[0], unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("open_tree %s: %w", file[0], err)
		}
		defer unix.Close(tree)
		trees = append(trees, tree)
	}
	// Entering a mount namespace also makes its root the thread's root.
	if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(ns, unix.CLONE_NEWNS)); err != nil {
		return fmt.Errorf("entering the container: %w", err)
	}
	for i, file := range files {
		if err := attach(trees[i], file[1]); err != nil {
			return fmt.Errorf("mounting at %s: %w", file[1], err)
		}
	}
	return nil
}

// attach mounts a detached tree over a file, which it makes.
func attach(tree int, path string) error {
	flags := uint64(unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID)
	if !strings.HasPrefix(path, "/dev/") {
		flags |= unix.MOUNT_ATTR_NODEV
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: flags}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	f.Close()
	return unix.MoveMount(tree, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
