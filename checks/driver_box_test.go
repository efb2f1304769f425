package checks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A box is one container made of the image's root file system, run as a bare
// OCI bundle: by runc, or by NVIDIA's own runtime in front of runc. That is what
// docker and podman do below their surface, so what is proven here holds for
// them, and the machine's engines keep their configuration.
type box struct {
	t    *testing.T
	dir  string // the bundle
	root string // the container's root file system, seen from outside; writable
	id   string

	started time.Time // when the container was started last
	pid     int       // of its PID 1, as seen outside

	// ReadOnly makes the container's root file system read-only, with a tmpfs on
	// /run and /tmp, as docker run --read-only --tmpfs /run --tmpfs /tmp does.
	ReadOnly bool
	// NoDevices denies the driver's device nodes in the device cgroup, as it is
	// after systemd's daemon-reload has rewritten the cgroup of a container.
	NoDevices bool
	// Command is what runs as PID 1; /init where it is not set.
	Command []string
}

// newBox lays an empty writable layer over the image, as an engine does, with
// what prepare changes in it. Everything goes away with the test.
func newBox(t *testing.T) *box {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test mounts file systems and makes device nodes: run it as root")
	}
	lower, err := imageRoot()
	if err != nil {
		t.Fatalf("the image's root file system: %v", err)
	}
	dir := t.TempDir()
	sum := sha256.Sum256([]byte(dir))
	b := &box{t: t, dir: dir, root: filepath.Join(dir, "root"), id: "nix2vast-check-" + hex.EncodeToString(sum[:6])}

	// The layer is kept in memory: an overlay cannot be on top of another one,
	// and the temporary directory may be in an overlay itself.
	layer := filepath.Join(dir, "layer")
	b.must(os.Mkdir(b.root, 0o755), os.Mkdir(layer, 0o755))
	b.must(unix.Mount("tmpfs", layer, "tmpfs", 0, ""))
	t.Cleanup(func() { unix.Unmount(layer, unix.MNT_DETACH) })
	b.must(os.Mkdir(layer+"/upper", 0o755), os.Mkdir(layer+"/work", 0o755))
	b.must(unix.Mount("overlay", b.root, "overlay", 0,
		fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, layer, layer)))
	t.Cleanup(func() { unix.Unmount(b.root, unix.MNT_DETACH) })
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("what the box printed:\n%s", b.log())
		}
	})
	return b
}

// must fails the test at the first error.
func (b *box) must(errs ...error) {
	b.t.Helper()
	if err := errors.Join(errs...); err != nil {
		b.t.Fatal(err)
	}
}

// start makes the container with an OCI runtime and starts it, like docker run
// on a new box and like docker start on one that was stopped.
func (b *box) start(runtime string, environ ...string) {
	b.t.Helper()
	config, err := json.Marshal(b.spec(environ))
	b.must(err, os.WriteFile(filepath.Join(b.dir, "config.json"), config, 0o644))
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	b.must(err)
	defer log.Close()
	b.started = time.Now().Add(-10 * time.Millisecond) // the time of a file is that of the last tick

	create := b.runtime(runtime, "create", "--bundle", b.dir, b.id)
	create.Stdout, create.Stderr = log, log
	if err := create.Run(); err != nil {
		b.t.Fatalf("%s create: %v\n%s", runtime, err, b.log())
	}
	b.pid = b.state().Pid
	if out, err := b.runtime("runc", "start", b.id).CombinedOutput(); err != nil {
		b.t.Fatalf("runc start: %v\n%s", err, out)
	}
}

// stop ends the container and keeps its file system.
func (b *box) stop() {
	b.t.Helper()
	if _, err := os.Stat(filepath.Join(b.dir, "state", b.id)); err != nil {
		return
	}
	b.runtime("runc", "kill", b.id, "TERM").Run()
	exited := func() bool { return b.state().Status == "stopped" }
	if !within(10*time.Second, exited) {
		b.t.Error("the container does not end on SIGTERM")
	}
	if out, err := b.runtime("runc", "delete", "--force", b.id).CombinedOutput(); err != nil {
		b.t.Errorf("runc delete: %v\n%s", err, out)
	}
}

// wait waits until the container's command has ended by itself.
func (b *box) wait() {
	b.t.Helper()
	if !within(20*time.Second, func() bool { return b.state().Status == "stopped" }) {
		b.t.Fatal("the container's command does not end")
	}
}

// log is everything that the container printed since the box was made.
func (b *box) log() string {
	out, err := os.ReadFile(filepath.Join(b.dir, "log"))
	b.must(err)
	return string(out)
}

// state is what runc knows about the container.
func (b *box) state() (s struct {
	Status string
	Pid    int
}) {
	out, err := b.runtime("runc", "state", b.id).Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		b.t.Errorf("runc state: %v", err)
	}
	return s
}

// exec runs a program in the container with the image's environment, as docker
// exec does, and returns what it printed and its exit status.
func (b *box) exec(argv ...string) (string, int) {
	b.t.Helper()
	cmd := b.runtime("runc", append([]string{"exec", b.id}, argv...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// sh runs a shell script in the container.
func (b *box) sh(script string) (string, int) {
	b.t.Helper()
	return b.exec("/bin/sh", "-c", script)
}

func (b *box) runtime(program string, args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"--root", filepath.Join(b.dir, "state")}, args...)...)
}

// path is a path of the container, from outside.
func (b *box) path(p string) string { return filepath.Join(b.root, p) }

// within asks every 20 ms until the answer is yes, and reports whether it came.
func within(limit time.Duration, done func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done() {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return done()
		}
	}
}

// repository is the root of the checkout.
func repository() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}

// imageRoot unpacks the image that make image has built, once for each build of it.
var imageRoot = sync.OnceValues(func() (string, error) {
	archive := filepath.Join(repository(), "build", "image.tar")
	built, err := os.Stat(archive)
	if err != nil {
		return "", fmt.Errorf("make image first: %w", err)
	}
	root := filepath.Join(repository(), "build", "checks", "root")
	mark := fmt.Sprint(built.ModTime().UnixNano(), " ", built.Size())
	if old, err := os.ReadFile(root + ".mark"); err == nil && string(old) == mark {
		return root, nil
	}
	if out, err := exec.Command("sh", "-euc", unpackImage, "sh", archive, root).CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking %s: %w\n%s", archive, err, strings.TrimSpace(string(out)))
	}
	return root, os.WriteFile(root+".mark", []byte(mark), 0o644)
})

// unpackImage lays the layers of a docker-archive over each other, in the order
// of its manifest.
const unpackImage = `
chmod -R u+w "$2" 2>/dev/null || :
rm -rf "$2" "$2.layers"
mkdir -p "$2" "$2.layers"
tar -xf "$1" -C "$2.layers"
tr -d '\n' <"$2.layers/manifest.json" | sed 's/.*"Layers": *\[\([^]]*\)\].*/\1/' | tr -d '" ' | tr ',' '\n' |
while read -r layer || [ -n "$layer" ]; do
	tar -xf "$2.layers/$layer" -C "$2" --numeric-owner
done
rm -rf "$2.layers"
`
