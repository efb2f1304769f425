package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// layoutVersion is the content of the file oci-layout.
const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// What tools look for in an index: skopeo and podman for the first, a tag; containerd and
// Docker for the second, a name with everything in it.
const (
	refName   = "org.opencontainers.image.ref.name"
	imageName = "io.containerd.image.name"
)

// index is an OCI index with the image added to one that may be there already. A name
// that it has already goes from the old image to this one.
func (i Image) index(old *v1.IndexManifest, names []string) v1.IndexManifest {
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	if old != nil {
		index = *old
		index.Manifests = nil
	}
	taken := map[string]bool{}
	for _, name := range names {
		taken[fullName(name)] = true
	}
	if old != nil {
		for _, d := range old.Manifests {
			if !taken[d.Annotations[imageName]] {
				index.Manifests = append(index.Manifests, d)
			}
		}
	}
	digest, _ := v1.NewHash(i.Digest) // oci.New makes no other
	for _, name := range names {
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Size: int64(len(i.Manifest)), Digest: digest,
			Platform:    &v1.Platform{Architecture: i.Plan.Architecture, OS: "linux"},
			Annotations: map[string]string{refName: tagOf(name), imageName: fullName(name)},
		})
	}
	return index
}

// Layout writes the image to a folder as an OCI image layout. One that does not exist
// appears when it is whole. To one that is a layout already the image is added, and blobs
// that it has are not written again.
func (i Image) Layout(ctx context.Context, dir string, names []string, progress *Progress) error {
	err := i.layout(ctx, dir, names, progress)
	if err != nil {
		return fmt.Errorf("writing the OCI layout %s: %w", dir, err)
	}
	return nil
}

func (i Image) layout(ctx context.Context, dir string, names []string, progress *Progress) error {
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(entries) > 0:
		return i.addTo(ctx, dir, names, progress)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh) // nothing, once it was renamed
	if err := i.fill(ctx, fresh, nil, names, progress); err != nil {
		return err
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one gives way, no other
		return err
	}
	return os.Rename(fresh, dir)
}

// addTo adds to a layout. The lock keeps two of these from forgetting each other's image.
func (i Image) addTo(ctx context.Context, dir string, names []string, progress *Progress) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking it: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return errors.New("there are other things in it, and it is no OCI layout: name a folder that does not exist")
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return err
	}
	var old v1.IndexManifest
	if err := json.Unmarshal(b, &old); err != nil {
		return fmt.Errorf("reading its index.json: %w", err)
	}
	return i.fill(ctx, dir, &old, names, progress)
}

// fill writes what is missing, what names other things after those.
func (i Image) fill(ctx context.Context, dir string, old *v1.IndexManifest, names []string, progress *Progress) error {
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	for n, l := range i.Layers {
		blob := i.blob(n)
		if info, err := os.Stat(filepath.Join(dir, blobFile(blob.Digest))); err == nil && info.Size() == blob.Size {
			continue
		}
		progress.start(l.Name)
		err := atomically(filepath.Join(dir, blobFile(blob.Digest)), func(w io.Writer) error {
			return i.write(ctx, progress.watch(w), n)
		})
		progress.end(l.Name, blob.Size, err)
		if err != nil {
			return err
		}
	}
	index, err := json.Marshal(i.index(old, names))
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		body []byte
	}{
		{blobFile(i.ConfigDigest), i.Config},
		{blobFile(i.Digest), i.Manifest},
		{"oci-layout", []byte(layoutVersion)},
		{"index.json", index},
	} {
		if err := atomically(filepath.Join(dir, f.name), func(w io.Writer) error { _, err := w.Write(f.body); return err }); err != nil {
			return err
		}
	}
	return nil
}

// atomically writes a file that is whole or not there, or the old one.
func atomically(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing, once it was renamed
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// WriteFile writes an archive to a file that is whole or not there. What exists and is no
// regular file, such as a pipe or /dev/null, is written to as it is.
func WriteFile(path string, write func(io.Writer) error) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() {
		err = atomically(path, write)
		var of *fs.PathError
		if errors.As(err, &of) && filepath.Dir(of.Path) == filepath.Dir(path) {
			err = of.Err // the path is that of a file which nobody asked for
		}
	} else {
		err = overwrite(path, write)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func overwrite(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
