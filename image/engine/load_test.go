package engine

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// tags are the names of an image, as docker writes them, and the digests it goes by.
func (r Runtime) tags(t *testing.T, id string) (tags, digests []string) {
	t.Helper()
	out, err := r.output(t.Context(), "image", "inspect", "--format", "{{json .RepoTags}} {{json .RepoDigests}}", hexadecimal(id))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(out))
	if err := errors.Join(d.Decode(&tags), d.Decode(&digests)); err != nil {
		t.Fatal(err)
	}
	for i := range tags {
		tags[i] = strings.TrimPrefix(tags[i], "localhost/") // podman's
	}
	slices.Sort(tags)
	return tags, digests
}

// load is Runtime.Load, which has to send so many layers.
func load(t *testing.T, r Runtime, image Image, layers int, way string) Loaded {
	t.Helper()
	gone(t, r, image)
	done, err := r.Load(t.Context(), image, image.Names(), NewProgress(t.Output(), false, len(image.Layers)))
	if err != nil {
		t.Fatal(err)
	}
	if done.Layers != layers || done.Way != way || done.ID != image.ConfigDigest {
		t.Errorf("%+v, want %d layers by %s", done, layers, way)
	}
	return done
}

func TestLoad(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		p, store := tinyPlan(t)
		p = renamed(t, p)
		p.Tags = []string{"latest", "also"}
		image := open(t, p, store, layer.None)
		done := load(t, r, image, 3, "pull")
		tags, digests := r.tags(t, done.ID)
		want := image.Names()
		slices.Sort(want)
		if !slices.Equal(tags, want) || slices.ContainsFunc(digests, func(d string) bool { return strings.HasPrefix(d, "127.0.0.1") }) {
			t.Errorf("it is called %q and %q, want %q", tags, digests, want)
		}

		load(t, r, image, 0, "unchanged") // 0.1 s with docker, on a machine that does nothing else

		// A name that somebody took off is put on again, and nothing is sent for that.
		if _, err := r.output(t.Context(), "rmi", p.Name+":also"); err != nil {
			t.Fatal(err)
		}
		load(t, r, image, 0, "unchanged")
		if tags, _ := r.tags(t, done.ID); !slices.Equal(tags, want) {
			t.Errorf("it is called %q, want %q", tags, want)
		}

		must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("edited\n"), 0o644))
		p = hashed(t, p, store)
		edited := open(t, p, store, layer.None)
		load(t, r, edited, 1, "pull")
		if tags, _ := r.tags(t, edited.ConfigDigest); !slices.Equal(tags, want) {
			t.Errorf("the edited one is called %q, want %q", tags, want)
		}
	})
}

// TestLoadStream is a daemon that is said to be on another machine. It gets a stream,
// without the layers that docker has.
func TestLoadStream(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		r.Host = "tcp://elsewhere:2375"
		p, store := tinyPlan(t)
		p = renamed(t, p)
		first := open(t, p, store, layer.None)
		load(t, r, first, 3, "load")
		must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("edited\n"), 0o644))
		p = hashed(t, p, store)
		want := 1
		if r.Name == Podman {
			want = 3
		}
		load(t, r, open(t, p, store, layer.None), want, "load")
	})
}

// TestLoadElsewhere has a program between us and docker that keeps docker from getting to
// the registry, as another network namespace does.
func TestLoadElsewhere(t *testing.T) {
	name := Docker
	if _, err := Pick(t.Context(), Docker); err != nil {
		name = Podman
	}
	program, err := exec.LookPath(name)
	must(t, err)
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = pull ]; then echo 'dial tcp: connection refused' >&2; exit 1; fi\nexec %s \"$@\"\n", program)
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	r, err := Pick(t.Context(), name)
	must(t, err)
	p, store := tinyPlan(t)
	load(t, r, open(t, renamed(t, p), store, layer.None), 3, "load")
}

// TestLoadSlowly has a pull that takes longer than anything that is cleaned up after it. The
// name of the registry, which is gone, goes all the same.
func TestLoadSlowly(t *testing.T) {
	name := Docker
	if _, err := Pick(t.Context(), Docker); err != nil {
		name = Podman
	}
	program, err := exec.LookPath(name)
	must(t, err)
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s \"$@\" || exit\nif [ \"$1\" = pull ]; then sleep %v; fi\n", program, (grace + 500*time.Millisecond).Seconds())
	must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	r, err := Pick(t.Context(), name)
	must(t, err)
	p, store := tinyPlan(t)
	done := load(t, r, open(t, renamed(t, p), store, layer.None), 3, "pull")
	if tags, digests := r.tags(t, done.ID); len(tags) != 1 || len(digests) > 1 {
		t.Errorf("it is called %q and %q", tags, digests)
	}
}

// TestLoadFails leaves nothing behind, and says what was wrong and not what it led to.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		p, store := tinyPlan(t)
		p = renamed(t, p)
		image := open(t, p, store, layer.None)
		must(t, os.WriteFile(filepath.Join(store, largePath, "share/words"), []byte(strings.Repeat("other words ", 5000)), 0o644))
		for _, host := range []string{r.Host, "ssh://elsewhere"} {
			r.Host = host
			began := time.Now()
			_, err := r.Load(t.Context(), image, image.Names(), nil)
			if err == nil || !strings.Contains(err.Error(), "layer large-2.0: ") {
				t.Errorf("%s: %v", host, err)
			}
			if took := time.Since(began); took > 30*time.Second { // docker by itself tries for 75 s
				t.Errorf("%s: it took %v", host, took)
			}
			r.absent(t, image)
		}
	})
}

// absent checks that nothing goes by the image's name, at whatever registry.
func (r Runtime) absent(t *testing.T, image Image) {
	t.Helper()
	out, err := r.output(context.WithoutCancel(t.Context()), "images", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil || strings.Contains(out, image.Plan.Name+":") {
		t.Errorf("left behind: %s (%v)", out, err)
	}
}

// TestLoadInterrupted is Ctrl-C in the middle of a layer.
func TestLoadInterrupted(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		p, store := tinyPlan(t)
		random := make([]byte, 64<<20) // no daemon has seen it
		rand.Read(random)
		must(t, os.WriteFile(filepath.Join(store, largePath, "share/words"), random, 0o644))
		image := open(t, renamed(t, hashed(t, p, store)), store, layer.None)
		gone(t, r, image)
		for _, host := range []string{r.Host, "ssh://elsewhere"} {
			r.Host = host
			ctx, cancel := context.WithCancel(t.Context())
			progress := NewProgress(&trigger{after: "sent layer", then: cancel}, false, len(image.Layers))
			if _, err := r.Load(ctx, image, image.Names(), progress); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", host, err)
			}
			cancel()
			r.absent(t, image)
		}
	})
}

// trigger calls a function when something is written.
type trigger struct {
	after string
	then  func()
	text  string
	done  bool
}

func (g *trigger) Write(p []byte) (int, error) {
	g.text += string(p)
	if strings.Contains(g.text, g.after) && !g.done {
		g.done = true // a second Ctrl-C means something else
		g.then()
	}
	return len(p), nil
}

func TestPick(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string) {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755))
	}
	t.Setenv("PATH", dir)
	check := func(wanted, name, sentence string) {
		t.Helper()
		r, err := Pick(t.Context(), wanted)
		if r.Name != name || (err == nil) != (sentence == "") || err != nil && !strings.Contains(err.Error(), sentence) {
			t.Errorf("%q: %+v, %v; want %q, %q", wanted, r, err, name, sentence)
		}
	}
	check("", "", "there is no container runtime here: docker is not installed, or not in PATH; podman is not installed")
	check("lxc", "", `the runtime "lxc" is neither docker nor podman`)
	program("podman", "echo 4.3.1")
	check("", Podman, "")
	check(Docker, "", "docker is not installed, or not in PATH")
	program("docker", "echo 'Cannot connect to the Docker daemon at unix:///x' >&2; exit 1")
	check("", Podman, "")
	check(Docker, "", "docker does not answer (Cannot connect to the Docker daemon at unix:///x): start its service")
	program("docker", `if [ "$1" = version ]; then echo 20.10; else echo ssh://me@there; fi`)
	check("", Docker, "")
	check(Podman, Podman, "")
	r, err := Pick(t.Context(), "")
	if err != nil || r.Host != "ssh://me@there" || r.local() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestCalled(t *testing.T) {
	t.Parallel()
	image := Image{}
	image.Plan.Name, image.Plan.Tag = "sample", "v1"
	for asked, want := range map[string]string{
		"": "sample:v1", "v2": "sample:v2", "other:v3": "other:v3", "host:5000/a/b:c": "host:5000/a/b:c",
	} {
		if got, err := image.Called(asked); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%q: %q, %v", asked, got, err)
		}
	}
	for _, asked := range []string{"a b", "a/b", "host:5000/a", "Upper:v1", ":", "a:"} {
		if got, err := image.Called(asked); err == nil || !strings.Contains(err.Error(), "neither a tag nor a name with one, such as sample:v1") {
			t.Errorf("%q: %q, %v", asked, got, err)
		}
	}
}
