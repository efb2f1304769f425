package engine

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// DockerArchive writes the file that docker load and podman load read, with these names
// for the image. The same image is the same bytes.
func (i Image) DockerArchive(ctx context.Context, w io.Writer, names []string, progress *Progress) error {
	return i.dockerArchive(ctx, w, names, 0, progress)
}

// dockerArchive leaves out the first layers, known ones. The format is that of
// https://github.com/moby/docker-image-spec/blob/main/spec.md. What says which file is what
// comes first, so that a reader of a stream knows.
func (i Image) dockerArchive(ctx context.Context, w io.Writer, names []string, known int, progress *Progress) error {
	config := hexadecimal(i.ConfigDigest) + ".json"
	files := make([]string, len(i.Layers))
	for n := range i.Layers {
		files[n] = hexadecimal(i.blob(n).Digest) + ".tar"
	}
	manifest, err := json.Marshal([]any{struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{config, names, files}})
	if err != nil {
		return fmt.Errorf("writing the archive's manifest: %w", err)
	}
	a := archive{tar: tar.NewWriter(w), image: i, progress: progress, have: map[string]bool{}}
	a.file("manifest.json", manifest)
	a.file(config, i.Config)
	for n := known; n < len(files); n++ {
		a.layer(ctx, files[n], n)
	}
	return a.close()
}

// OCIArchive writes an OCI image layout as a tar file, which podman, skopeo and Docker
// from version 25 on read, with these names for the image.
func (i Image) OCIArchive(ctx context.Context, w io.Writer, names []string, progress *Progress) error {
	return i.ociArchive(ctx, w, names, 0, progress)
}

// ociArchive leaves out the first layers, known ones.
func (i Image) ociArchive(ctx context.Context, w io.Writer, names []string, known int, progress *Progress) error {
	index, err := json.Marshal(i.index(nil, names))
	if err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	a := archive{tar: tar.NewWriter(w), image: i, progress: progress, have: map[string]bool{}}
	a.file("oci-layout", []byte(layoutVersion))
	a.file("index.json", index)
	a.dir("blobs/")
	a.dir("blobs/sha256/")
	a.file(blobFile(i.Digest), i.Manifest)
	a.file(blobFile(i.ConfigDigest), i.Config)
	for n := known; n < len(i.Layers); n++ {
		a.layer(ctx, blobFile(i.blob(n).Digest), n)
	}
	return a.close()
}

func hexadecimal(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func blobFile(digest string) string { return "blobs/sha256/" + hexadecimal(digest) }

// archive writes a tar file, up to the first error.
type archive struct {
	tar      *tar.Writer
	image    Image
	progress *Progress
	have     map[string]bool // two layers may be the same
	err      error
}

func (a *archive) head(h tar.Header) {
	if a.err == nil {
		h.ModTime, h.Uname, h.Gname = time.Unix(1, 0), "root", "root"
		a.err = a.tar.WriteHeader(&h)
	}
}

func (a *archive) dir(name string) {
	a.head(tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755})
}

func (a *archive) file(name string, body []byte) {
	a.head(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(body))})
	if a.err == nil {
		_, a.err = a.tar.Write(body)
	}
}

func (a *archive) layer(ctx context.Context, name string, n int) {
	if a.have[name] {
		return
	}
	a.have[name] = true
	l, size := a.image.Layers[n], a.image.blob(n).Size
	a.head(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size})
	if a.err != nil {
		return
	}
	a.progress.start(l.Name)
	a.err = a.image.write(ctx, a.progress.watch(a.tar), n)
	a.progress.end(l.Name, size, a.err)
}

func (a *archive) close() error {
	if a.err == nil {
		a.err = a.tar.Close()
	}
	return a.err
}
