package layer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleek-platform/nix2vast/image/nar"
	"github.com/fleek-platform/nix2vast/image/plan"
)

// Verify reads the store paths of all layers and compares their hashes with the plan's.
// One error names all that are missing, or all that hold something else. A path that was
// good once, and of which no file has changed its inode, size, mode or times since, is not
// read again: that costs a look at its directories.
func Verify(ctx context.Context, layers []Layer, store string, cache Cache) error {
	v := &verifier{store: store, cache: cache}
	for _, l := range layers {
		v.want(l.Items)
	}
	if err := v.present(); err != nil {
		return err
	}
	slices.SortFunc(v.paths, func(a, b plan.Path) int {
		return cmp.Or(cmp.Compare(b.NarSize, a.NarSize), cmp.Compare(a.Path, b.Path))
	})
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for _, p := range slices.CompactFunc(v.paths, func(a, b plan.Path) bool { return a.Path == b.Path }) {
		g.Go(func() error { return v.verify(ctx, p) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return v.done()
}

// verifier collects what is wrong with store paths.
type verifier struct {
	store string
	cache Cache
	paths []plan.Path // those of interest; a path with parts several times

	mu     sync.Mutex
	wrong  []string // sentences, each with its path
	broken []string // the paths
	forgot error    // why the cache does not remember
}

func (v *verifier) want(items []Item) {
	for _, i := range items {
		v.paths = append(v.paths, i.Path)
	}
}

// present refuses to begin where paths are missing.
func (v *verifier) present() error {
	var missing []string
	for _, p := range v.paths {
		_, err := os.Lstat(v.store + p.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, p.Path)
		case err != nil:
			return fmt.Errorf("looking for a path of the plan: %w", err)
		}
	}
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("the plan needs store paths that are not here:\n  %s\nbuild or fetch them: %s --realise %s",
		strings.Join(missing, "\n  "), v.nixStore(), strings.Join(missing, " "))
}

// nixStore is the command for the store at hand.
func (v *verifier) nixStore() string {
	if v.store == "" {
		return "nix-store"
	}
	return "nix-store --store " + v.store
}

func (v *verifier) verify(ctx context.Context, p plan.Path) error {
	at := v.store + p.Path
	var old verified
	if v.cache.read(verifiedName(at, p.NarHash), &old) {
		f := newFingerprint()
		if err := nar.Walk(ctx, at, f); err != nil {
			return fmt.Errorf("verifying: %w", err)
		}
		if f.String() == old.Fingerprint {
			return nil
		}
	}
	c := newCheck()
	if err := nar.Walk(ctx, at, c.visitors()...); err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	v.found(p, c)
	return nil
}

// found notes what a reading told, and says whether the path is what the plan says.
func (v *verifier) found(p plan.Path, c check) bool {
	if got := c.sum.Hash(); got != p.NarHash {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.wrong = append(v.wrong, fmt.Sprintf("%s\n    has the hash %s\n    and not      %s", p.Path, got, p.NarHash))
		v.broken = append(v.broken, p.Path)
		return false
	}
	if c.print.newest.Before(c.began) {
		v.remembered(v.cache.write(verifiedName(v.store+p.Path, p.NarHash), verified{c.print.String()}))
	}
	return true
}

// remembered keeps the first reason why something was not.
func (v *verifier) remembered(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forgot = cmp.Or(v.forgot, err)
}

// done returns what is wrong, in one error.
func (v *verifier) done() error {
	if v.forgot != nil && v.cache.Warn != nil {
		v.cache.Warn(fmt.Errorf("nothing is remembered for the next time, which will take as long: %w", v.forgot))
	}
	if len(v.wrong) == 0 {
		return nil
	}
	slices.Sort(v.wrong)
	slices.Sort(v.broken)
	return fmt.Errorf("somebody has changed store paths, or the plan is not of this store:\n  %s\nrepair them: %s --repair-path %s",
		strings.Join(v.wrong, "\n  "), v.nixStore(), strings.Join(v.broken, " "))
}

// check is what verifies a path: the hash, and the fingerprint to know it again by.
type check struct {
	sum   nar.Sum
	print *fingerprint
	began time.Time
}

// tick is longer than what any kernel's clock of files stands still for: within it a file
// may change twice and have the same time.
const tick = 20 * time.Millisecond

func newCheck() check { return check{nar.NewSum(), newFingerprint(), time.Now().Add(-tick)} }

func (c check) visitors() []nar.Visitor { return []nar.Visitor{c.sum, c.print} }

// fingerprint is a nar.Visitor that looks at no content. Whoever changes a file changes its
// time of change too, which nobody can set.
type fingerprint struct {
	hash   hash.Hash
	buf    []byte
	newest time.Time
}

func newFingerprint() *fingerprint { return &fingerprint{hash: sha256.New()} }

// Begin takes all in that a change would change.
func (f *fingerprint) Begin(e *nar.Entry) (bool, error) {
	f.buf = append(f.buf[:0], e.Rel...)
	f.buf = append(f.buf, 0)
	s := &e.Stat
	for _, n := range []int64{int64(s.Ino), int64(s.Mode), s.Size, s.Mtim.Nano(), s.Ctim.Nano()} {
		f.buf = binary.LittleEndian.AppendUint64(f.buf, uint64(n))
	}
	f.hash.Write(f.buf)
	if t := time.Unix(s.Ctim.Unix()); t.After(f.newest) {
		f.newest = t
	}
	return false, nil
}

func (f *fingerprint) Write(p []byte) (int, error) { return len(p), nil }

// End has nothing to add.
func (f *fingerprint) End(*nar.Entry) error { return nil }

func (f *fingerprint) String() string { return hex.EncodeToString(f.hash.Sum(nil)) }
