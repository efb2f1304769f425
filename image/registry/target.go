package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/oci"
)

// target is an image of one compression on its way to one repository.
type target struct {
	*Push
	*client
	compression layer.Compression
	tags        []string

	digests []layer.Digests // of each layer, as far as known
	there   []bool          // whether the repository has it
	image   oci.Image
	pushed  Pushed

	count sync.Mutex // over pushed
}

// blobOf is the compressed layer, where it is known.
func (t *target) blobOf(d layer.Digests) (layer.Blob, bool) {
	if t.compression == layer.None {
		return layer.Blob{Digest: d.DiffID, Size: d.Size}, d.DiffID != ""
	}
	b, ok := d.Blobs[t.compression]
	return b, ok && d.DiffID != ""
}

// survey finds out which layers the repository has, or another one can give it.
func (t *target) survey(ctx context.Context) error {
	t.digests, t.there = make([]layer.Digests, len(t.Layers)), make([]bool, len(t.Layers))
	unknown := 0
	for i, l := range t.Layers {
		t.digests[i] = t.known(l)
		if _, ok := t.blobOf(t.digests[i]); !ok {
			unknown++
		}
	}
	var learnt map[string]layer.Digests
	if unknown > 0 {
		var err error
		learnt, err = t.learn(ctx, t.tags, t.compression)
		// Some registries let nobody read a repository that is not there yet. Whether we
		// may push is asked below.
		if code := status(err); err != nil && code != http.StatusUnauthorized && code != http.StatusForbidden {
			return err
		}
	}
	err := each(ctx, len(t.Layers), lookups, func(ctx context.Context, i int) error {
		d := t.digests[i]
		blob, ok := t.blobOf(d)
		if !ok {
			d = learnt[oci.KeyOf(t.Layers[i], t.compression)]
			// What is in the cache was read here: it goes before what a manifest says.
			if blob, ok = t.blobOf(d); !ok || t.digests[i].DiffID != "" && t.digests[i].DiffID != d.DiffID {
				return nil
			}
		}
		has, err := t.has(ctx, blob.Digest)
		if has {
			t.digests[i], t.there[i] = d, true
		}
		return err
	})
	if err != nil {
		return err
	}
	if !slices.Contains(t.there, false) {
		t.present()
		return nil
	}
	if !t.DryRun {
		if err := t.mayPush(ctx); err != nil {
			return err
		}
		if err := t.mounts(ctx); err != nil {
			return err
		}
	}
	t.present()
	return nil
}

// present counts what the survey found, and what is left to do.
func (t *target) present() {
	left, bytes := 0, int64(0)
	for i, ok := range t.there {
		blob, _ := t.blobOf(t.digests[i])
		if ok {
			t.pushed.Present++
			t.warn(t.record().add(t.repo.RegistryStr(), t.repo.RepositoryStr(), blob.Digest))
			continue
		}
		left++
		bytes += t.guess(i)
	}
	t.pushed.Present -= t.pushed.Mounted
	t.Progress.expect(left, bytes)
	if t.DryRun {
		t.pushed.Uploaded, t.pushed.Bytes = left, bytes
		if left == 0 && t.name() == nil {
			t.pushed.Digest = t.image.Digest
		}
	}
}

// guess is how many bytes a layer will be.
func (t *target) guess(i int) int64 {
	if blob, ok := t.blobOf(t.digests[i]); ok {
		return blob.Size
	}
	if t.compression == layer.None {
		return t.Layers[i].Size
	}
	return t.Layers[i].Size * 45 / 100 // what CUDA's libraries and Debian's programs come to
}

// mounts gets what other repositories of the registry have.
func (t *target) mounts(ctx context.Context) error {
	host, repo := t.repo.RegistryStr(), t.repo.RepositoryStr()
	from := make([][]string, len(t.Layers))
	var others []string
	for i := range t.Layers {
		if blob, ok := t.blobOf(t.digests[i]); ok && !t.there[i] {
			from[i] = t.record().from(host, repo, blob.Digest)
			others = append(others, from[i]...)
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	// A registry that lets us not read the others may refuse the token altogether: then
	// the one that we have stays.
	if err := t.authenticate(ctx, slices.Compact(others)); err != nil {
		return ctx.Err()
	}
	return each(ctx, len(t.Layers), lookups, func(ctx context.Context, i int) error {
		for _, r := range from[i] {
			blob, _ := t.blobOf(t.digests[i])
			if t.mount(ctx, blob.Digest, r) {
				t.there[i] = true
				t.count.Lock()
				t.pushed.Mounted++
				t.count.Unlock()
				t.Progress.mounted(t.Layers[i].Name, r, blob.Size)
				break
			}
		}
		return ctx.Err()
	})
}

// fill sends what is missing, the largest first, and names the image.
func (t *target) fill(ctx context.Context) error {
	var missing []int
	for i, ok := range t.there {
		if !ok {
			missing = append(missing, i)
		}
	}
	slices.SortStableFunc(missing, func(a, b int) int { return cmp.Compare(t.Layers[b].Size, t.Layers[a].Size) })
	err := each(ctx, len(missing), t.Jobs, func(ctx context.Context, n int) error {
		return t.layer(ctx, missing[n])
	})
	if err != nil {
		return err
	}
	if err := t.name(); err != nil {
		return err
	}
	_, err = t.blob(ctx, "the image's configuration", t.image.Config)
	return err
}

// name makes configuration and manifest of digests that are all known.
func (t *target) name() error {
	image, err := oci.New(t.Plan, t.Layers, t.digests, t.compression)
	if err != nil {
		return fmt.Errorf("writing the manifest of %s: %w", t.pushed.Reference, err)
	}
	t.image, t.pushed.Digest = image, image.Digest
	t.pushed.Reference += "@" + image.Digest
	return nil
}

// layer sends one layer.
func (t *target) layer(ctx context.Context, i int) error {
	l := t.Layers[i]
	before := t.known(l)
	guess := t.guess(i)
	if blob, ok := t.blobOf(before); ok && t.digests[i].DiffID == "" {
		// An earlier target of this push has read it.
		if has, err := t.has(ctx, blob.Digest); err != nil {
			return err
		} else if has {
			t.done(i, before, "there is", guess)
			t.count.Lock()
			t.pushed.Present++
			t.count.Unlock()
			return nil
		}
	}
	t.Progress.begin(l.Name)
	var read layer.Digests
	_, err := t.upload(ctx, source{
		name: "layer " + l.Name,
		sent: t.sent,
		write: func(ctx context.Context, w io.Writer) (layer.Blob, error) {
			d, err := l.Write(ctx, w, t.Store, t.compression)
			read = d
			blob, _ := t.blobOf(d)
			return blob, err
		},
	}, func(layer.Blob) error {
		if before.DiffID != "" && before.DiffID != read.DiffID {
			return changed(l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.keep(l, read)
	t.done(i, read, "sent", guess)
	t.count.Lock()
	t.pushed.Uploaded++
	t.count.Unlock()
	return nil
}

// changed says that a layer was once other bytes.
func changed(l layer.Layer) error {
	what := "it"
	if len(l.Items) > 0 {
		what = l.Items[0].Path.Path
		if len(l.Items) > 1 {
			what = fmt.Sprintf("%s or another of its %d paths", what, len(l.Items))
		}
	}
	return errors.New("its content is not what it was when its digest was noted: " + what + " was changed." +
		" Ask nix-store --verify --check-contents, and have it --repair")
}

// sent counts bytes of layers.
func (t *target) sent(n int64) {
	t.Progress.add(n)
	t.count.Lock()
	defer t.count.Unlock()
	t.pushed.Bytes += max(n, 0)
}

// done notes that the repository has a layer.
func (t *target) done(i int, d layer.Digests, how string, guess int64) {
	t.digests[i], t.there[i] = d, true
	blob, _ := t.blobOf(d)
	t.Progress.end(t.Layers[i].Name, how, blob.Size, guess)
	t.warn(t.record().add(t.repo.RegistryStr(), t.repo.RepositoryStr(), blob.Digest))
}

// tag sets the tags, where they do not stand already.
func (t *target) tag(ctx context.Context) error {
	for _, tag := range t.tags {
		now, err := t.tagged(ctx, tag)
		if err != nil {
			return err
		}
		if now == t.image.Digest {
			continue
		}
		if _, err := t.put(ctx, tag, types.OCIManifestSchema1, t.image.Manifest); err != nil {
			return err
		}
	}
	return nil
}
