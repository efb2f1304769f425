package engine

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// relay is the engine's API at a TCP port, as of a docker on another machine. For docker
// that is its socket, which it returns the address of.
func relay(t *testing.T, socket string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var open sync.WaitGroup
	t.Cleanup(open.Wait)
	t.Cleanup(func() { listener.Close() })
	open.Go(func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { join(here, socket) })
		}
	})
	return listener.Addr().String()
}

func join(here net.Conn, socket string) {
	defer here.Close()
	there, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer there.Close()
	go func() {
		io.Copy(there, here)
		there.(*net.UnixConn).CloseWrite()
	}()
	io.Copy(here, there)
}

// TestProgramRemote has docker at DOCKER_HOST, which is no address of this machine's own.
// It is not asked to pull: the stream lacks the layers that it has.
func TestProgramRemote(t *testing.T) {
	t.Parallel()
	docker, err := Pick(t.Context(), Docker)
	if err != nil {
		t.Logf("podman knows no such host, and docker is not here: %v", err)
		return
	}
	p, store := tinyPlan(t)
	p = renamed(t, p)
	image := open(t, p, store, layer.None)
	gone(t, docker, image)
	remote := build(t, p, store)
	remote.env = []string{"DOCKER_HOST=tcp://" + relay(t, strings.TrimPrefix(docker.Host, "unix://"))}
	for _, want := range []string{"by load: 3 of 3 layers sent", "by unchanged: 0 of 3 layers sent"} {
		out, said, code := remote.run(t, "", "load", "--runtime", Docker, remote.plan)
		if code != 0 || out != image.Names()[0]+"\n" || !strings.Contains(said, want) {
			t.Errorf("%q, %d\n%s", out, code, said)
		}
	}
	must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("edited"), 0o644))
	p = hashed(t, p, store)
	gone(t, docker, open(t, p, store, layer.None))
	edited := build(t, p, store)
	edited.env = remote.env
	if out, said, code := edited.run(t, "", "load", "--runtime", Docker, edited.plan); code != 0 || !strings.Contains(said, "by load: 1 of 3 layers sent") {
		t.Errorf("%q, %d\n%s", out, code, said)
	}
}
