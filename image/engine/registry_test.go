package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
)

func listen(t *testing.T, image Image) *Server {
	t.Helper()
	s, err := NewRegistry(image, nil).Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestRegistryPull has another implementation pull and check every digest, size and type.
func TestRegistryPull(t *testing.T) {
	t.Parallel()
	for _, c := range []layer.Compression{layer.None, layer.Gzip, layer.Zstd, "gzip:9"} {
		image := tiny(t, c)
		s := listen(t, image)
		for _, reference := range []string{s.Reference(), s.Addr + "/" + image.Plan.Name + "@" + image.Digest} {
			ref, err := name.ParseReference(reference, name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			got, err := remote.Image(ref, remote.WithContext(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if c.Format() == layer.Gzip { // it knows no other
				if err := validate.Image(got); err != nil {
					t.Error(err)
				}
			}
			digest, err := got.Digest()
			if err != nil || digest.String() != image.Digest {
				t.Errorf("%s: digest %s, want %s (%v)", c, digest, image.Digest, err)
			}
			layers, err := got.Layers()
			if err != nil || len(layers) != 3 {
				t.Fatalf("%s: %d layers, %v", c, len(layers), err)
			}
			for _, l := range layers {
				checkBlob(t, l)
			}
		}
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	}
}

func checkBlob(t *testing.T, l v1.Layer) {
	t.Helper()
	r, err := l.Compressed() // checks the digest at its end
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
}

func TestRegistryAnswers(t *testing.T) {
	t.Parallel()
	image := tiny(t, layer.None)
	image.Plan.Tags = []string{"latest"}
	s := listen(t, image)
	blob, repository := image.blob(1), "/v2/"+image.Plan.Name
	for _, c := range []struct {
		method, path, byteRange string
		status                  int
		length                  int64
		body                    string // a part of it
	}{
		{"GET", "/v2/", "", 200, 2, "{}"},
		{"GET", "/", "", 404, -1, ""},
		{"GET", repository + "/tags/list", "", 200, -1, `"latest"`},
		{"GET", repository + "/manifests/latest", "", 200, int64(len(image.Manifest)), image.ConfigDigest},
		{"HEAD", repository + "/manifests/" + image.Digest, "", 200, int64(len(image.Manifest)), ""},
		{"GET", repository + "/manifests/other", "", 404, -1, "MANIFEST_UNKNOWN"},
		{"GET", repository + "x/manifests/latest", "", 404, -1, "NAME_UNKNOWN"},
		{"GET", repository + "/blobs/" + image.ConfigDigest, "", 200, int64(len(image.Config)), "rootfs"},
		{"GET", repository + "/blobs/sha256:00", "", 404, -1, "BLOB_UNKNOWN"},
		{"HEAD", repository + "/blobs/" + blob.Digest, "", 200, blob.Size, ""},
		{"GET", repository + "/blobs/" + blob.Digest, "bytes=10-", 206, blob.Size - 10, ""},
		{"GET", repository + "/blobs/" + blob.Digest, "bytes=10-20", 200, blob.Size, ""}, // the whole is allowed
		{"GET", repository + "/blobs/" + blob.Digest, fmt.Sprintf("bytes=%d-", blob.Size), 416, -1, "behind the end"},
		{"PUT", repository + "/manifests/latest", "", 405, -1, "for pulling only"},
		{"POST", repository + "/blobs/uploads/", "", 405, -1, "UNSUPPORTED"},
	} {
		q, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+s.Addr+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Range", c.byteRange)
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || a.StatusCode != c.status || !strings.Contains(string(body), c.body) {
			t.Errorf("%s %s: %s %.200q, %v", c.method, c.path, a.Status, body, err)
		}
		if n, _ := strconv.ParseInt(a.Header.Get("Content-Length"), 10, 64); c.length >= 0 && n != c.length {
			t.Errorf("%s %s: %d bytes, want %d", c.method, c.path, n, c.length)
		}
	}
}

// TestRegistryResume puts a layer together from two requests.
func TestRegistryResume(t *testing.T) {
	t.Parallel()
	for _, c := range []layer.Compression{layer.None, layer.Gzip} {
		image := tiny(t, c)
		s := listen(t, image)
		for n := range image.Layers {
			blob := image.blob(n)
			whole := get(t, s, blob.Digest, "")
			for _, cut := range []int64{1, blob.Size / 2, blob.Size - 1} {
				rest := get(t, s, blob.Digest, fmt.Sprintf("bytes=%d-", cut))
				if got := oci.Digest([]byte(whole[:cut] + rest)); got != blob.Digest {
					t.Errorf("%s: cut at %d of %d: %s", c, cut, blob.Size, got)
				}
			}
		}
	}
}

func get(t *testing.T, s *Server, digest, byteRange string) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.Addr+"/v2/"+s.image.Plan.Name+"/blobs/"+digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Range", byteRange)
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// TestRegistryChanged has a store path that is another one than when it was read first. The
// size may differ, or nothing but a byte.
func TestRegistryChanged(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"smalL\n" + t.Name(): "changed after they were read", "longer than that\n" + t.Name(): "changed after they were read"} {
		image := tiny(t, layer.None)
		s := listen(t, image)
		if err := os.WriteFile(filepath.Join(image.Store, smallPath, "share/word"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for n, l := range image.Layers {
			if l.Name == "packages" {
				fetch(t, s, image.blob(n).Digest)
			}
		}
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "layer packages") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// fetch expects no whole body of the right digest.
func fetch(t *testing.T, s *Server, digest string) {
	t.Helper()
	a, err := http.Get("http://" + s.Addr + "/v2/" + s.image.Plan.Name + "/blobs/" + digest)
	if err != nil {
		return
	}
	defer a.Body.Close()
	if b, err := io.ReadAll(a.Body); err == nil && oci.Digest(b) == digest {
		t.Error("the body has the digest all the same")
	}
}

// TestRegistryGone has a client that hangs up in the middle, which is nobody's failure.
func TestRegistryGone(t *testing.T) {
	t.Parallel()
	image := box(t)
	s := listen(t, image)
	largest := 0
	for n := range image.Layers {
		if image.blob(n).Size > image.blob(largest).Size {
			largest = n
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	q, err := http.NewRequestWithContext(ctx, "GET", "http://"+s.Addr+"/v2/"+image.Plan.Name+"/blobs/"+image.blob(largest).Digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.ReadFull(a.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, a.Body); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Close() // waits for nothing but the listener; what the handler says comes before or never
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}
