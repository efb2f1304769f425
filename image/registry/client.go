package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	remote "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
)

// lookups is how many blobs are asked for at once: an answer is a few bytes.
const lookups = 16

// maxManifest is how large a manifest may be, in bytes, as registries have it.
const maxManifest = 4 << 20

// client is a login at a registry, for one repository.
type client struct {
	repo  name.Repository
	login Login
	base  *transport
	http  *http.Client
}

// connect asks the registry how it wants to be logged in to, and does that.
func connect(ctx context.Context, repo name.Repository, login Login, n Net) (*client, error) {
	base, err := newTransport(n)
	if err != nil {
		return nil, err
	}
	c := &client{repo: repo, login: login, base: base}
	for _, s := range login.secrets(ctx) {
		base.secrets[s] = true
	}
	if err := c.authenticate(ctx, nil); err != nil {
		return nil, c.explain("logging in to "+repo.RegistryStr(), err)
	}
	return c, nil
}

// authenticate gets a token, where the registry wants one, that is also good for reading
// other repositories.
func (c *client) authenticate(ctx context.Context, others []string) error {
	scopes := []string{c.repo.Scope(remote.PushScope)}
	for _, o := range others {
		scopes = append(scopes, c.repo.Registry.Repo(o).Scope(remote.PullScope))
	}
	t, err := remote.NewWithContext(ctx, c.repo.Registry, c.login.auth, c.base, scopes)
	if err != nil {
		return err
	}
	c.http = &http.Client{Transport: t}
	return nil
}

// url is that of something in the repository, such as "blobs/sha256:…".
func (c *client) url(format string, args ...any) string {
	return fmt.Sprintf("%s://%s/v2/%s/", c.repo.Scheme(), c.repo.RegistryStr(), c.repo.RepositoryStr()) +
		fmt.Sprintf(format, args...)
}

// do sends a request; an answer of 400 and more is an error of type *refusal.
func (c *client) do(ctx context.Context, method, url string, body io.Reader, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	if resp.StatusCode >= 400 {
		return nil, c.base.refused(resp)
	}
	return resp, nil
}

// bare is the error without the URL, whose query is of no use to anybody.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// short sends a request whose answer has no body that matters.
func (c *client) short(ctx context.Context, method, url string, body io.Reader, header ...string) (http.Header, error) {
	resp, err := c.do(ctx, method, url, body, header...)
	if err != nil {
		return nil, err
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxMessage)) // so that the connection is used again
	return resp.Header, resp.Body.Close()
}

// has says whether the repository has a blob.
func (c *client) has(ctx context.Context, digest string) (bool, error) {
	_, err := c.short(ctx, http.MethodHead, c.url("blobs/%s", digest), nil)
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, c.explain("looking for blob "+digest, err)
}

// manifestTypes are what may be behind a tag that we set.
var manifestTypes = strings.Join([]string{
	string(types.OCIManifestSchema1), string(types.OCIImageIndex),
	string(types.DockerManifestSchema2), string(types.DockerManifestList),
}, ", ")

// tagged returns the digest of what a tag names, "" where there is no such tag.
func (c *client) tagged(ctx context.Context, tag string) (string, error) {
	h, err := c.short(ctx, http.MethodHead, c.url("manifests/%s", tag), nil, "Accept", manifestTypes)
	switch {
	case status(err) == http.StatusNotFound:
		return "", nil
	case err != nil:
		return "", c.explain("looking for the tag "+tag, err)
	}
	if d := h.Get("Docker-Content-Digest"); d != "" {
		return d, nil
	}
	b, err := c.manifest(ctx, tag) // the header is not every registry's
	if err != nil || b == nil {
		return "", err
	}
	return oci.Digest(b), nil
}

// manifest returns what a tag or a digest names, nil where there is no such thing.
func (c *client) manifest(ctx context.Context, ref string) ([]byte, error) {
	b, err := c.get(ctx, c.url("manifests/%s", ref))
	if status(err) == http.StatusNotFound {
		return nil, nil
	}
	return b, c.explain("reading the manifest of "+ref, err)
}

// get returns a small thing.
func (c *client) get(ctx context.Context, url string) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, url, nil, "Accept", manifestTypes)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("it has more than %d bytes", maxManifest)
	}
	return b, err
}

// put makes a tag, or a digest, name a manifest. It returns the answer's header.
func (c *client) put(ctx context.Context, ref string, mediaType types.MediaType, manifest []byte) (http.Header, error) {
	h, err := c.short(ctx, http.MethodPut, c.url("manifests/%s", ref), bytes.NewReader(manifest),
		"Content-Type", string(mediaType))
	if err != nil {
		return nil, c.explain(fmt.Sprintf("pushing the manifest of %s:%s", c.repo, ref), err)
	}
	if d, want := h.Get("Docker-Content-Digest"), oci.Digest(manifest); d != "" && d != want {
		return nil, fmt.Errorf("pushing the manifest of %s:%s: the registry says that it is %s, and it is %s: do not trust"+
			" what it has under that name", c.repo, ref, c.base.message(d), want)
	}
	return h, nil
}

// blob uploads what is small enough to be at hand, unless it is there.
func (c *client) blob(ctx context.Context, title string, b []byte) (sent bool, err error) {
	if ok, err := c.has(ctx, oci.Digest(b)); ok || err != nil {
		return false, err
	}
	_, err = c.upload(ctx, source{name: title, write: func(_ context.Context, w io.Writer) (layer.Blob, error) {
		_, err := w.Write(b)
		return layer.Blob{Digest: oci.Digest(b), Size: int64(len(b))}, err
	}}, nil)
	return true, err
}

// mount makes a blob of another repository of the registry one of this repository. It
// is false where the registry does not do that, for whatever reason.
func (c *client) mount(ctx context.Context, digest, from string) bool {
	q := url.Values{"mount": {digest}, "from": {from}}
	resp, err := c.do(ctx, http.MethodPost, c.url("blobs/uploads/")+"?"+q.Encode(), nil, "Content-Length", "0")
	if err != nil {
		return false // what is wrong is said where the blob is uploaded
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusCreated {
		return true
	}
	if location, err := next(resp); err == nil { // it has begun an upload instead
		c.cancel(ctx, location)
	}
	return false
}

// cancelTime is for how long an end waits until what was begun is given up.
const cancelTime = 3 * time.Second

// cancel gives up an upload. That it fails is no matter: registries clear them out.
func (c *client) cancel(ctx context.Context, location string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer stop()
	c.short(ctx, http.MethodDelete, location, nil)
}

// mayPush begins an upload and gives it up, since a login says nothing about rights.
func (c *client) mayPush(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodPost, c.url("blobs/uploads/"), nil)
	if err != nil {
		return c.explain("asking whether "+c.repo.String()+" may be pushed to", err)
	}
	defer resp.Body.Close()
	if location, err := next(resp); err == nil {
		c.cancel(ctx, location)
	}
	return nil
}

// next is where an upload goes on.
func next(resp *http.Response) (string, error) {
	u, err := resp.Location()
	if err != nil {
		return "", fmt.Errorf("the registry does not say where the upload goes on: %w", err)
	}
	return u.String(), nil
}
