package engine

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// TestOpen refuses a store that is not what the plan says, and reads nothing that the cache
// knows.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []layer.Compression{layer.None, layer.Gzip, layer.Zstd, "gzip:9"} {
		p, store := tinyPlan(t)
		layers, err := layer.Plan(p)
		must(t, err)
		cache := layer.Cache{Dir: t.TempDir()}
		word := filepath.Join(store, smallPath, "share/word")
		was, err := os.ReadFile(word)
		must(t, err)
		must(t, os.WriteFile(word, []byte("another"), 0o644))
		if _, err := Open(t.Context(), p, layers, store, cache, c); err == nil || !strings.Contains(err.Error(), smallPath) {
			t.Errorf("%s: %v", c, err)
		}
		must(t, os.WriteFile(word, was, 0o644))
		first, err := Open(t.Context(), p, layers, store, cache, c)
		must(t, err)
		second, err := Open(t.Context(), p, layers, "/no-such-store", cache, c)
		if err != nil || second.Digest != first.Digest {
			t.Errorf("%s: %v: %s, want %s", c, err, second.Digest, first.Digest)
		}
		// A cache that cannot be written is a warning.
		var warned atomic.Bool
		deaf := layer.Cache{Dir: word + "/below-a-file", Warn: func(error) { warned.Store(true) }}
		if third, err := Open(t.Context(), p, layers, store, deaf, c); err != nil || third.Digest != first.Digest || !warned.Load() {
			t.Errorf("%s: %v, warned: %v", c, err, warned.Load())
		}
	}
}
