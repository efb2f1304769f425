package engine

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// containerd starts the Docker of dev/docker.sh with containerd's store, and returns a
// runtime that is it. Nothing of it is the machine's: no network, no rule, no container.
func containerd(t *testing.T) Runtime {
	t.Helper()
	bin, err := filepath.Abs("../../build/docker/bin")
	must(t, err)
	home, err := os.MkdirTemp(dir, "containerd") // a socket's path has 108 bytes
	must(t, err)
	config := filepath.Join(home, "daemon.json")
	must(t, os.WriteFile(config, []byte(`{"features":{"containerd-snapshotter":true}}`), 0o644))
	socket := "unix://" + home + "/sock"
	daemon := exec.Command(filepath.Join(bin, "dockerd"), "--config-file", config, "--data-root", home+"/data",
		"--exec-root", home+"/exec", "--pidfile", home+"/pid", "--host", socket,
		"--bridge", "none", "--iptables=false", "--ip6tables=false")
	daemon.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var log bytes.Buffer
	daemon.Stdout, daemon.Stderr = &log, &log
	if err := daemon.Start(); err != nil {
		t.Fatalf("make setup first: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	t.Cleanup(func() {
		daemon.Process.Signal(syscall.SIGTERM) // it takes its containerd with it
		select {
		case <-ended:
		case <-time.After(time.Minute):
			daemon.Process.Kill()
			t.Errorf("dockerd does not end:\n%s", &log)
		}
	})
	t.Setenv("DOCKER_HOST", socket)
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	deadline := time.After(time.Minute)
	for {
		r, err := Pick(t.Context(), Docker)
		if err == nil {
			return r
		}
		select {
		case <-retry.C:
		case <-ended:
			t.Fatalf("dockerd ended (is this root?):\n%s", &log)
		case <-deadline:
			t.Fatalf("dockerd does not answer: %v\n%s", err, &log)
		}
	}
}

// apart runs the test again, alone, in a network of its own, and says whether this is that
// run: a daemon that starts or ends takes docker0 away from the machine's own.
func apart(t *testing.T) bool {
	t.Helper()
	const mark = "NIX2VAST_TEST_APART"
	if os.Getenv(mark) != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return true
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), mark+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if out, err := again.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")) {
		t.Errorf("in a network of its own: %v\n%s", err, out)
	}
	return false
}

// TestLoadContainerd has a docker that calls images by their manifests. By a stream as by
// a pull it gets the image of that digest, and only the layers that it lacks.
func TestLoadContainerd(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("another daemon of Docker's would need root")
		return
	}
	if !apart(t) {
		return
	}
	r := containerd(t)
	if !r.containerd(t.Context()) {
		t.Fatal("docker has another store than containerd's")
	}
	for _, way := range []string{"pull", "load"} {
		if way == "load" {
			r.Host = "tcp://elsewhere:2375"
		}
		p, store := tinyPlan(t)
		p.Name = "containerd-" + way
		must(t, os.WriteFile(filepath.Join(store, smallPath, "share/word"), []byte(way), 0o644))
		must(t, os.WriteFile(filepath.Join(store, largePath, "share/words"), []byte(strings.Repeat(way, 5000)), 0o644))
		must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte(way), 0o644))
		p = hashed(t, p, store)
		image := open(t, p, store, layer.None)
		r.wants(t, image, 3, way)
		r.wants(t, image, 0, "unchanged")
		must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("edited "+way), 0o644))
		p = hashed(t, p, store)
		edited := open(t, p, store, layer.None)
		r.wants(t, edited, 1, way)
		// The author's name is the one that docker finds it by, and the image is whole.
		out, err := r.output(t.Context(), "image", "save", edited.Names()[0], "--output", filepath.Join(store, "saved.tar"))
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		saved, err := readTar(filepath.Join(store, "saved.tar"))
		must(t, err)
		for _, d := range edited.Digests {
			if len(saved[blobFile(d.DiffID)]) != int(d.Size) {
				t.Errorf("%s: the layer %s was not saved", way, d.DiffID)
			}
		}
	}
}

// wants loads the image and wants it to take so many layers, under the digest of its manifest.
func (r Runtime) wants(t *testing.T, image Image, layers int, way string) {
	t.Helper()
	done, err := r.Load(t.Context(), image, image.Names(), NewProgress(t.Output(), false, len(image.Layers)))
	must(t, err)
	// A stream without the lower layers sometimes comes too early for containerd, which then
	// gets all of them at the second try.
	again := way == "load" && layers < len(image.Layers) && done.Layers == layers+len(image.Layers)
	if done.Layers != layers && !again || done.Way != way || done.ID != image.Digest {
		t.Errorf("%+v, want %d layers by %s, and the ID %s", done, layers, way, image.Digest)
	}
}

// TestLoadContainerdOther loads an image whose lower layers docker has in another form, of
// which it has unpacked them. What a load that fails leaves behind is removed.
func TestLoadContainerdOther(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("another daemon of Docker's would need root")
		return
	}
	if !apart(t) {
		return
	}
	r := containerd(t)
	p, store := tinyPlan(t)
	p.Name = "containerd-lacks"
	p = hashed(t, p, store)
	packed := open(t, p, store, layer.Gzip)
	r.wants(t, packed, 3, "pull")
	r.Host = "tcp://elsewhere:2375"
	must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("edited"), 0o644))
	p = hashed(t, p, store)
	image := open(t, p, store, layer.None)
	r.wants(t, image, 1, "load")
	_, err := r.output(t.Context(), "create", "--pull", "never", "--network", "none", "--name", "whole", image.Names()[0])
	must(t, err)
	for _, file := range []string{smallPath + "/share/word", largePath + "/share/words"} {
		out, err := r.output(t.Context(), "cp", "whole:"+file, "-")
		if err != nil || !strings.Contains(out, t.Name()) {
			t.Errorf("%s is not in a container: %v", file, err)
		}
	}

	must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("broken"), 0o644))
	p = hashed(t, p, store)
	broken := open(t, p, store, layer.None)
	must(t, os.Remove(filepath.Join(store, rootfsPath, "etc/motd")))
	if _, err := r.Load(t.Context(), broken, broken.Names(), nil); err == nil {
		t.Error("an image was loaded that lacks a file")
	}
	if id, err := r.find(t.Context(), broken); id != "" || err != nil {
		t.Errorf("half an image is left behind as %s (%v)", id, err)
	}
}

// TestNamesOfLayout: containerd finds an image by its whole name, and people by the short one.
func TestNamesOfLayout(t *testing.T) {
	t.Parallel()
	for short, full := range map[string]string{
		"sample:v1":             "docker.io/library/sample:v1",
		"owner/sample:v1":       "docker.io/owner/sample:v1",
		"ghcr.io/owner/image:x": "ghcr.io/owner/image:x",
		"localhost:5000/a:b":    "localhost:5000/a:b",
	} {
		if got := fullName(short); got != full {
			t.Errorf("%s: %s, want %s", short, got, full)
		}
		index, err := json.Marshal(tiny(t, layer.None).index(nil, []string{short}))
		if err != nil || !strings.Contains(string(index), `"io.containerd.image.name":"`+full+`"`) {
			t.Errorf("%s (%v)", index, err)
		}
	}
}
