package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Loaded is what Load did.
type Loaded struct {
	// Names are those that the image has now.
	Names []string `json:"names"`
	// ID is what the runtime calls the image.
	ID string `json:"id"`
	// Digest is that of the manifest.
	Digest string `json:"digest"`
	// Way is how it got there: "unchanged", "pull" or "load".
	Way string `json:"way"`
	// Layers and Bytes are what was sent.
	Layers int   `json:"layers"`
	Bytes  int64 `json:"bytes"`
}

// unreached is how long a runtime gets to ask the registry for anything. After that it is
// taken to have another loopback than this machine.
const unreached = 15 * time.Second

// Load gives the image to the runtime, by these names. The runtime pulls what it lacks
// from a registry of ours; one that cannot reach it gets a stream, as by docker load. When
// it fails, or ctx ends, nothing is left but layers that are whole.
func (r Runtime) Load(ctx context.Context, image Image, names []string, progress *Progress) (Loaded, error) {
	if progress == nil {
		progress = NewProgress(io.Discard, false, len(image.Layers)) // it counts
	}
	done := Loaded{Names: names, Digest: image.Digest, Way: "unchanged"}
	id, err := r.find(ctx, image)
	if err != nil {
		return done, err
	}
	if id == "" {
		if done.Way, err = r.transfer(ctx, image, names[0], progress); err != nil {
			return done, fmt.Errorf("loading %s into %s: %w", names[0], r.Name, err)
		}
		done.Layers, done.Bytes = progress.Finish()
		if id, err = r.imageID(ctx, names[0]); err != nil {
			return done, fmt.Errorf("%s does not have the image that it was given: %w", r.Name, err)
		}
	}
	done.ID = id
	for _, name := range names {
		if have, err := r.imageID(ctx, name); err == nil && have == id {
			continue
		}
		if _, err := r.output(ctx, "tag", id, name); err != nil {
			return done, fmt.Errorf("naming the image %s: %w", name, err)
		}
	}
	return done, nil
}

// find returns the runtime's name of the image if it has it, else "". It may be called by
// the digest of its configuration, or of its manifest in a containerd store.
func (r Runtime) find(ctx context.Context, image Image) (string, error) {
	for _, digest := range []string{image.ConfigDigest, image.Digest} {
		id, err := r.imageID(ctx, strings.TrimPrefix(digest, "sha256:"))
		if err == nil && (id == image.ConfigDigest || id == image.Digest) {
			return id, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("asking %s for the image: %w", r.Name, context.Cause(ctx))
		}
	}
	return "", nil
}

// imageID is "sha256:" and hexadecimal digits.
func (r Runtime) imageID(ctx context.Context, name string) (string, error) {
	id, err := r.output(ctx, "image", "inspect", "--format", "{{.Id}}", name)
	if err == nil && !strings.HasPrefix(id, "sha256:") {
		id = "sha256:" + id // podman
	}
	return id, err
}

// transfer returns the way that the image took.
func (r Runtime) transfer(ctx context.Context, image Image, name string, progress *Progress) (string, error) {
	if r.local() {
		reached, err := r.pull(ctx, image, name, progress)
		if err == nil || reached || ctx.Err() != nil {
			return "pull", err
		}
	}
	return "load", r.stream(ctx, image, name, progress)
}

// pull has the runtime pull from a registry of ours. reached says whether it got there.
func (r Runtime) pull(ctx context.Context, image Image, name string, progress *Progress) (reached bool, err error) {
	server, err := NewRegistry(image, progress).Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return false, err
	}
	defer server.Close()
	waiting, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go server.watch(waiting, giveUp)

	reference := server.Reference()
	args := []string{"pull", "--quiet", reference}
	if r.Name == Podman {
		args = []string{"pull", "--quiet", "--tls-verify=false", reference}
	}
	// The name is that of a registry which is about to end, so it goes in any case.
	defer r.forget(ctx, reference)
	_, err = r.output(waiting, args...)
	if own := server.Err(); own != nil {
		err = own // the runtime only knows that the connection broke
	}
	if err == nil {
		_, err = r.output(ctx, "tag", reference, name)
	}
	select {
	case <-server.seen:
		return true, err
	default:
		return false, err
	}
}

// watch ends the waiting for what does not happen: that a runtime asks which cannot, or
// that it succeeds by trying again where a layer cannot be made.
func (s *Server) watch(ctx context.Context, giveUp context.CancelCauseFunc) {
	timer := time.NewTimer(unreached)
	defer timer.Stop()
	select {
	case <-s.seen:
	case <-timer.C:
		giveUp(errors.New("it does not reach this machine's loopback"))
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-s.broken:
		giveUp(s.Err())
	case <-ctx.Done():
	}
}

// forget takes a name off an image. There may be none. It goes on when ctx has ended.
func (r Runtime) forget(ctx context.Context, reference string) {
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer end()
	args := []string{"rmi", reference}
	if r.Name == Podman {
		args = []string{"untag", reference, reference} // one name is all names
	}
	r.output(ctx, args...)
}

// stream sends the image as an archive, without those layers that the runtime has.
func (r Runtime) stream(ctx context.Context, image Image, name string, progress *Progress) error {
	archive := image.dockerArchive
	if r.containerd(ctx) {
		// It keeps the digests of this one, and needs no layer that it has unpacked from
		// whatever form.
		archive = image.ociArchive
	}
	known := r.known(ctx, image)
	err := r.load(ctx, archive, name, known, progress)
	var failed *CommandError
	if known > 0 && errors.As(err, &failed) {
		err = r.load(ctx, archive, name, 0, progress) // somebody removed them in the meantime
	}
	if err != nil {
		clean, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer end()
		r.unfinished(clean, image)
	}
	return err
}

// unfinished removes what containerd makes of an archive before it knows whether its layers
// are there: an image by that name and digest, of which nothing can be started.
func (r Runtime) unfinished(ctx context.Context, image Image) {
	if id, err := r.find(ctx, image); err == nil && id == image.Digest && r.containerd(ctx) {
		r.output(ctx, "rmi", "--force", id)
	}
}

// containerd says whether docker keeps its images in containerd's store.
func (r Runtime) containerd(ctx context.Context) bool {
	if r.Name != Docker {
		return false
	}
	driver, err := r.output(ctx, "info", "--format", "{{json .DriverStatus}}")
	return err == nil && strings.Contains(driver, "io.containerd.snapshotter")
}

// archiver writes an archive of an image without its first layers, so many.
type archiver func(ctx context.Context, w io.Writer, names []string, known int, progress *Progress) error

func (r Runtime) load(ctx context.Context, archive archiver, name string, known int, progress *Progress) error {
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := archive(ctx, out, []string{name}, known, progress)
		out.CloseWithError(err)
		written <- err
	}()
	load := r.command("load", "--quiet")
	load.In = in
	_, err := load.Output(ctx)
	in.CloseWithError(io.ErrClosedPipe) // a load that failed does not read to the end
	if own := <-written; own != nil && !errors.Is(own, io.ErrClosedPipe) && ctx.Err() == nil {
		return own
	}
	return err
}

// known is how many layers, from the bottom up, the daemon has by one image or another.
// Podman takes no archive that lacks a layer.
func (r Runtime) known(ctx context.Context, image Image) int {
	if r.Name == Podman {
		return 0
	}
	list, err := r.output(ctx, "image", "ls", "--all", "--quiet", "--no-trunc")
	if err != nil || list == "" {
		return 0
	}
	ids := strings.Fields(list)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	const most = 500 // as many as a command line takes for certain; others cost layers, not the load
	args := append([]string{"image", "inspect", "--format", "{{json .RootFS.Layers}}"}, ids[:min(most, len(ids))]...)
	out, _ := r.output(ctx, args...) // fails where an image went away, and prints the others
	best := 0
	for line := range strings.Lines(out) {
		var layers []string
		if json.Unmarshal([]byte(line), &layers) != nil {
			continue
		}
		n := 0
		for n < len(layers) && n < len(image.Digests) && layers[n] == image.Digests[n].DiffID {
			n++
		}
		best = max(best, n)
	}
	return best
}
