package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
)

// skopeo is the independent reader of what is written here.
func skopeo(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"--insecure-policy", "--override-arch", "amd64", "--override-os", "linux"}, args...)
	out, err := exec.CommandContext(t.Context(), "skopeo", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("skopeo %q: %s", args, exit.Stderr)
		}
		t.Fatal(err)
	}
	return string(out)
}

// archives writes an image in every form, and returns what skopeo calls them.
func archives(t *testing.T, image Image) map[string]string {
	t.Helper()
	dir, names := t.TempDir(), image.Names()
	for file, write := range map[string]func(*bytes.Buffer) error{
		"docker.tar": func(b *bytes.Buffer) error { return image.DockerArchive(t.Context(), b, names, nil) },
		"oci.tar":    func(b *bytes.Buffer) error { return image.OCIArchive(t.Context(), b, names, nil) },
	} {
		var one, two bytes.Buffer
		if err := errors.Join(write(&one), write(&two)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%s: the same image is not the same bytes", file)
		}
		if err := os.WriteFile(filepath.Join(dir, file), one.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := image.Layout(t.Context(), filepath.Join(dir, "layout"), names, nil); err != nil {
		t.Fatal(err)
	}
	tag := ":" + image.Plan.Tag
	return map[string]string{
		"docker": "docker-archive:" + filepath.Join(dir, "docker.tar"),
		"oci":    "oci-archive:" + filepath.Join(dir, "oci.tar") + tag,
		"layout": "oci:" + filepath.Join(dir, "layout") + tag,
	}
}

// TestArchivesAgree compares what skopeo reads in each form with what we say.
func TestArchivesAgree(t *testing.T) {
	t.Parallel()
	for _, c := range []layer.Compression{layer.None, layer.Gzip, "gzip:9"} {
		image := tiny(t, c)
		for form, where := range archives(t, image) {
			if got := oci.Digest([]byte(skopeo(t, "inspect", "--config", "--raw", where))); got != image.ConfigDigest {
				t.Errorf("%s, %s: the digest of the configuration is %s, want %s", c, form, got, image.ConfigDigest)
			}
			var read struct {
				Digest string
				Layers []string
			}
			if err := json.Unmarshal([]byte(skopeo(t, "inspect", where)), &read); err != nil {
				t.Fatal(err)
			}
			var want []string
			for n := range image.Layers {
				want = append(want, image.blob(n).Digest)
			}
			if form == "docker" { // its layers go by their content, and it has no manifest
				want = nil
				for _, d := range image.Digests {
					want = append(want, d.DiffID)
				}
				read.Digest = image.Digest
			}
			if read.Digest != image.Digest || !slices.Equal(read.Layers, want) {
				t.Errorf("%s, %s: %+v, want %s with %q", c, form, read, image.Digest, want)
			}
			// Reads every layer, and checks every digest.
			copied := filepath.Join(t.TempDir(), "copy")
			skopeo(t, "copy", "--quiet", where, "docker-archive:"+copied)
			got, err := readTar(copied)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range image.Digests {
				if oci.Digest(got[hexadecimal(d.DiffID)+".tar"]) != d.DiffID {
					t.Errorf("%s, %s: a copy lacks the layer %s", c, form, d.DiffID)
				}
			}
		}
	}
}

// index reads the index of a layout.
func index(t *testing.T, dir string) (m v1.IndexManifest) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func listed(m v1.IndexManifest) map[string]string {
	names := map[string]string{}
	for _, d := range m.Manifests {
		names[d.Annotations[imageName]] = d.Digest.String()
	}
	return names
}

// TestLayoutGrows adds to a layout: another image, a name that moves on.
func TestLayoutGrows(t *testing.T) {
	t.Parallel()
	p, store := tinyPlan(t)
	first := open(t, p, store, layer.None)
	dir := filepath.Join(t.TempDir(), "layout")
	must(t, os.Mkdir(dir, 0o700)) // an empty one is as good as none
	must(t, first.Layout(t.Context(), dir, []string{"a:1", "a:2"}, nil))
	old, err := os.Stat(filepath.Join(dir, blobFile(first.blob(0).Digest)))
	must(t, err)

	must(t, os.WriteFile(filepath.Join(store, rootfsPath, "etc/motd"), []byte("another\n"), 0o644))
	p = hashed(t, p, store)
	p.Tag = "new"
	second := open(t, p, store, layer.None)
	progress := NewProgress(t.Output(), false, 3)
	must(t, second.Layout(t.Context(), dir, []string{"a:2"}, progress))
	if layers, _ := progress.Finish(); layers != 1 {
		t.Errorf("%d layers were written, the layout lacked one", layers)
	}
	if want := map[string]string{"docker.io/library/a:1": first.Digest, "docker.io/library/a:2": second.Digest}; !reflect.DeepEqual(listed(index(t, dir)), want) {
		t.Errorf("%v, want %v", listed(index(t, dir)), want)
	}
	now, err := os.Stat(filepath.Join(dir, blobFile(first.blob(0).Digest)))
	if err != nil || !os.SameFile(old, now) {
		t.Errorf("a blob was written again (%v)", err)
	}
	for tag, image := range map[string]Image{"1": first, "2": second} {
		if got := oci.Digest([]byte(skopeo(t, "inspect", "--raw", "oci:"+dir+":"+tag))); got != image.Digest {
			t.Errorf("skopeo finds %s at %s", got, tag)
		}
	}
}

// TestLayoutTogether adds ten images at once, none of which may get lost.
func TestLayoutTogether(t *testing.T) {
	t.Parallel()
	image, dir := tiny(t, layer.None), filepath.Join(t.TempDir(), "layout")
	must(t, image.Layout(t.Context(), dir, []string{"a:first"}, nil))
	done := make(chan error)
	tags := strings.Split("0123456789", "")
	for _, tag := range tags {
		go func() { done <- image.Layout(t.Context(), dir, []string{"a:" + tag}, nil) }()
	}
	for range tags {
		must(t, <-done)
	}
	if got := listed(index(t, dir)); len(got) != 11 {
		t.Errorf("there are %d of 11: %v", len(got), got)
	}
}

// TestLayoutFails leaves a folder as it was, or no folder.
func TestLayoutFails(t *testing.T) {
	t.Parallel()
	image, parent := tiny(t, layer.None), t.TempDir()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := image.Layout(canceled, filepath.Join(parent, "new"), image.Names(), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	home := filepath.Join(parent, "home")
	must(t, os.Mkdir(home, 0o755))
	must(t, os.WriteFile(filepath.Join(home, "diary"), nil, 0o644))
	err := image.Layout(t.Context(), home, image.Names(), nil)
	if err == nil || !strings.Contains(err.Error(), "is no OCI layout: name a folder that does not exist") {
		t.Error(err)
	}
	if err := image.Layout(t.Context(), filepath.Join(home, "diary", "x"), image.Names(), nil); err == nil {
		t.Error("a folder was made below a file")
	}
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	if left, err = os.ReadDir(home); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestWriteFile leaves an old file alone when the new one fails, and no other.
func TestWriteFile(t *testing.T) {
	t.Parallel()
	image, dir := tiny(t, layer.None), t.TempDir()
	file := filepath.Join(dir, "image.tar")
	must(t, os.WriteFile(file, []byte("old"), 0o644))
	must(t, os.WriteFile(filepath.Join(image.Store, largePath, "share/words"), []byte("short"), 0o644))
	err := WriteFile(file, func(w io.Writer) error { return image.DockerArchive(t.Context(), w, image.Names(), nil) })
	if err == nil || !strings.HasPrefix(err.Error(), "writing "+file+": layer large-2.0: ") {
		t.Error(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "old" {
		t.Errorf("the old file is %q (%v)", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
	must(t, WriteFile(os.DevNull, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }))
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Fatalf("%s is gone: %v, %v", os.DevNull, info, err)
	}
	if err := WriteFile("/no-such-folder/x", nil); err == nil || err.Error() != "writing /no-such-folder/x: no such file or directory" {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
