package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/nar"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// dir is where the tests of one run keep what they share: podman's storage and the digests
// of the real image.
var dir string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run gives podman a storage of its own, since the machine's is somebody's, and limits that
// a root without CAP_SYS_RESOURCE may set.
func run(m *testing.M) int {
	var err error
	if dir, err = os.MkdirTemp("", "nix2vast-engine"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	driver := "overlay"
	if os.Getuid() != 0 {
		driver = "vfs" // asks nothing of the kernel
	}
	for file, text := range map[string]string{
		"CONTAINERS_STORAGE_CONF": fmt.Sprintf("[storage]\ndriver = %q\ngraphroot = %q\nrunroot = %q\n", driver, dir+"/graph", dir+"/run"),
		"CONTAINERS_CONF":         "[containers]\ndefault_ulimits = [\"nofile=1024:4096\", \"nproc=4096:4096\"]\n",
	} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644), os.Setenv(file, filepath.Join(dir, file))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	code := m.Run()
	syscall.Unmount(dir+"/graph/overlay", syscall.MNT_DETACH) // podman mounts it upon itself, where it is used
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// box is the image of `make image`. It boots.
func box(t *testing.T) Image {
	t.Helper()
	build := filepath.Join("..", "..", "build")
	p, err := plan.Read(filepath.Join(build, "plan.json"))
	if err != nil {
		t.Fatalf("make image first: %v", err)
	}
	store, err := filepath.Abs(filepath.Join(build, "nix"))
	must(t, err)
	return opened(t, p, store, layer.None, filepath.Join(dir, "layers"))
}

// open is Open with a cache of its own.
func open(t *testing.T, p plan.Plan, store string, c layer.Compression) Image {
	t.Helper()
	return opened(t, p, store, c, t.TempDir())
}

func opened(t *testing.T, p plan.Plan, store string, c layer.Compression, cache string) Image {
	t.Helper()
	layers, err := layer.Plan(p)
	must(t, err)
	image, err := Open(t.Context(), p, layers, store, layer.Cache{Dir: cache}, c)
	must(t, err)
	return image
}

// hashed fills in what Nix would say of the paths as they are.
func hashed(t *testing.T, p plan.Plan, store string) plan.Plan {
	t.Helper()
	p.Closure = slices.Clone(p.Closure)
	for _, path := range []*plan.Path{&p.Closure[0], &p.Closure[1], &p.Rootfs.Path} {
		var err error
		path.NarHash, path.NarSize, err = nar.Hash(t.Context(), store+path.Path)
		must(t, err)
	}
	return p
}

// Names in a store, as Nix makes them.
const (
	rootfsPath = "/nix/store/1111111111111111111111111111111r-rootfs"
	smallPath  = "/nix/store/3333333333333333333333333333333s-small-1.0"
	largePath  = "/nix/store/4444444444444444444444444444444a-large-2.0"
)

// readTar returns the files of an archive by name.
func readTar(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return tarFiles(f)
}

func tarFiles(from io.Reader) (map[string][]byte, error) {
	files, r := map[string][]byte{}, tar.NewReader(from)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// tiny is an image of three layers and a few kilobytes in a store of its own.
func tiny(t *testing.T, c layer.Compression) Image {
	t.Helper()
	p, store := tinyPlan(t)
	return open(t, p, store, c)
}

func tinyPlan(t *testing.T) (p plan.Plan, store string) {
	t.Helper()
	store = t.TempDir()
	write := func(path, text string) {
		path = filepath.Join(store, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(smallPath+"/share/word", "small\n"+t.Name())
	write(largePath+"/share/words", strings.Repeat("many words in "+t.Name(), 5000))
	write(rootfsPath+"/etc/motd", "hello "+t.Name()+"\n") // a layer that no other test's image has
	return hashed(t, plan.Plan{
		Version: plan.Version, Name: "engine-tiny", Tag: fmt.Sprintf("t%d", os.Getpid()), Architecture: "amd64",
		Created: "2025-01-02T03:04:05Z", Config: v1.Config{Entrypoint: []string{"/init"}},
		Closure: []plan.Path{{Path: smallPath}, {Path: largePath}},
		Rootfs:  plan.Rootfs{Path: plan.Path{Path: rootfsPath}},
		Layers:  plan.Limits{Own: 1000},
	}, store), store
}

// runtimes runs a test with each runtime that this machine has: docker, podman, or both.
func runtimes(t *testing.T, test func(t *testing.T, r Runtime)) {
	found := 0
	for _, name := range []string{Docker, Podman} {
		r, err := Pick(t.Context(), name)
		if err != nil {
			t.Logf("without %s: %v", name, err)
			continue
		}
		found++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
	if found == 0 {
		t.Error("there is neither docker nor podman: make setup")
	}
}

// renamed is the image under a name of the test's own.
func renamed(t *testing.T, p plan.Plan) plan.Plan {
	t.Helper()
	p.Name = strings.ToLower("engine-" + strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	p.Annotations = map[string]string{"test": t.Name()}
	p.Config.Labels = map[string]string{"test": t.Name() + p.Tag} // an image of its own, too
	return p
}

// gone removes an image when the test is over.
func gone(t *testing.T, r Runtime, image Image) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, id := range []string{image.ConfigDigest, image.Digest} {
			if have, err := r.imageID(ctx, hexadecimal(id)); err == nil {
				if _, err := r.output(ctx, "rmi", "--force", have); err != nil {
					t.Errorf("removing the image: %v", err)
				}
			}
		}
	})
}
