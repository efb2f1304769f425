// Package registry pushes an image to a registry, layer by layer out of the store: each in
// one pass from the store paths to the network, without a file in between.
//
// What the registry has is not sent, and not even read: digests are known from the cache,
// or from the image that the registry has under the same name. What is missing there but
// in another repository is mounted. A cut connection is continued. Manifests come last,
// when all that they name is there: a tag is either what it was or whole.
package registry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fleek-platform/nix2vast/image/layer"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// Push is an image and where it goes.
type Push struct {
	Plan   plan.Plan
	Layers []layer.Layer
	Store  string // the folder that the store paths are in, "" for /
	Cache  layer.Cache

	Destinations []Destination
	// Compressions are those of the layers. The first one gets the tags as they are, each
	// further one the tag, "-" and its name: no engine chooses between two in one tag.
	Compressions []layer.Compression
	// Jobs is how many layers are sent at once; 4 if 0.
	Jobs int
	// DryRun only looks.
	DryRun bool
	// Artifacts are what is attached to each image: SBOM, provenance. They are made when
	// its digest is known.
	Artifacts []func(image Subject) (Artifact, error)

	// Login returns the credentials for a repository.
	Login func(context.Context, name.Repository) (Login, error)
	// Verify, where set, checks the paths of layers that are about to be read.
	Verify   func(context.Context, []layer.Layer) error
	Progress *Progress
	Net      Net

	mu     sync.Mutex
	book   map[string]layer.Digests // by Key: what this push has read
	warned bool
}

// Result is what a push did, or, of a dry run, would do.
type Result struct {
	Images  []Pushed `json:"images"`
	Sent    int64    `json:"sentBytes"` // of layers
	Seconds float64  `json:"seconds"`
	DryRun  bool     `json:"dryRun,omitempty"`
}

// Pushed is one image in one repository.
type Pushed struct {
	// Reference is the repository with the first tag, and the digest where it is known,
	// which a dry run of layers that nobody has compressed yet does not.
	Reference   string            `json:"reference"`
	Digest      string            `json:"digest,omitempty"`
	Tags        []string          `json:"tags"`
	Compression layer.Compression `json:"compression"`     // without its level
	Level       int               `json:"level,omitempty"` // where one was chosen
	// Present, Mounted and Uploaded count layers: those that were there, those that came from
	// another repository, and those that were, or would be, sent.
	Present  int `json:"present"`
	Mounted  int `json:"mounted"`
	Uploaded int `json:"uploaded"`
	// Bytes is how many bytes of layers were sent; of a dry run, a guess.
	Bytes int64 `json:"bytes"`
	// Referrers are the digests of what was attached.
	Referrers []string `json:"referrers,omitempty"`
}

const defaultJobs = 4

// Run pushes. Nothing is pushed before every registry has let us in and every path that is
// needed has been verified, and no tag is set before everything else is done.
func (p *Push) Run(ctx context.Context) (Result, error) {
	start := time.Now()
	result := Result{DryRun: p.DryRun}
	if p.Jobs < 1 {
		p.Jobs = defaultJobs
	}
	p.book = map[string]layer.Digests{}
	defer p.Progress.Close()
	targets, err := p.targets(ctx)
	if err != nil {
		return result, err
	}
	if err := p.look(ctx, targets); err != nil {
		return result, err
	}
	if !p.DryRun {
		if err := p.send(ctx, targets); err != nil {
			return result, err
		}
	}
	for _, t := range targets {
		result.Images = append(result.Images, t.pushed)
		result.Sent += t.pushed.Bytes
	}
	result.Seconds = time.Since(start).Seconds()
	return result, nil
}

// targets logs in everywhere.
func (p *Push) targets(ctx context.Context) ([]*target, error) {
	var list []*target
	for _, d := range p.Destinations {
		login, err := p.Login(ctx, d.Repo)
		if err != nil {
			return nil, err
		}
		p.Progress.Note("%s: logging in with %s", d.Repo.RegistryStr(), login.From)
		n := p.Net
		n.note = p.Progress.Note
		c, err := connect(ctx, d.Repo, login, n)
		if err != nil {
			return nil, err
		}
		for i, comp := range p.Compressions {
			t := &target{Push: p, client: c, compression: comp}
			for _, tag := range d.Tags {
				if i > 0 {
					tag += "-" + string(comp.Format())
				}
				t.tags = append(t.tags, tag)
			}
			t.pushed = Pushed{
				Tags: t.tags, Compression: comp.Format(), Level: comp.Level(), Reference: d.Repo.String() + ":" + t.tags[0],
			}
			list = append(list, t)
		}
	}
	return list, nil
}

// look finds out what is where, and verifies what is nowhere.
func (p *Push) look(ctx context.Context, targets []*target) error {
	missing := map[string]layer.Layer{}
	for _, t := range targets {
		if err := t.survey(ctx); err != nil {
			return err
		}
		for i, l := range p.Layers {
			if !t.there[i] {
				missing[l.Key] = l
			}
		}
	}
	if p.DryRun || p.Verify == nil || len(missing) == 0 {
		return nil
	}
	var list []layer.Layer
	for _, l := range p.Layers { // in their order, which a map has not
		if _, ok := missing[l.Key]; ok {
			list = append(list, l)
		}
	}
	return p.Verify(ctx, list)
}

// send brings everything there, tags last.
func (p *Push) send(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		if err := t.fill(ctx); err != nil {
			return err
		}
	}
	for _, t := range targets {
		if err := t.attach(ctx); err != nil {
			return err
		}
	}
	for _, t := range targets {
		if err := t.tag(ctx); err != nil {
			return err
		}
	}
	return nil
}

// known returns what is known of a layer without reading it.
func (p *Push) known(l layer.Layer) layer.Digests {
	d, _ := p.Cache.Get(l, p.Compressions...)
	p.mu.Lock()
	defer p.mu.Unlock()
	own, ok := p.book[l.Key]
	if !ok {
		return d
	}
	blobs := map[layer.Compression]layer.Blob{}
	for _, m := range []map[layer.Compression]layer.Blob{d.Blobs, own.Blobs} {
		for k, v := range m {
			blobs[k] = v
		}
	}
	own.Blobs = blobs
	return own
}

// keep remembers what was read. A cache that takes nothing costs time, and no push.
func (p *Push) keep(l layer.Layer, d layer.Digests) {
	p.mu.Lock()
	old := p.book[l.Key]
	blobs := map[layer.Compression]layer.Blob{}
	for _, m := range []map[layer.Compression]layer.Blob{old.Blobs, d.Blobs} {
		for k, v := range m {
			blobs[k] = v
		}
	}
	p.book[l.Key] = layer.Digests{DiffID: d.DiffID, Size: d.Size, Blobs: blobs}
	p.mu.Unlock()
	p.warn(p.Cache.Put(l, d))
}

// warn says once that the cache is of no use.
func (p *Push) warn(err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	first := !p.warned
	p.warned = true
	p.mu.Unlock()
	if first {
		p.Progress.Note("warning: the cache in %s takes nothing, the next push will take longer: %v", p.Cache.Dir, err)
	}
}

func (p *Push) record() record {
	if p.Cache.Dir == "" {
		return record{}
	}
	return record{filepath.Join(p.Cache.Dir, "pushed")}
}

// each calls f for the numbers below n, so many at once, and returns the first error.
func each(ctx context.Context, n, jobs int, f func(context.Context, int) error) error {
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for i := range n {
		g.Go(func() error {
			if inner.Err() != nil {
				return nil // the first error is told
			}
			return f(inner, i)
		})
	}
	err := g.Wait()
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped: %w", cause)
	}
	return err
}
