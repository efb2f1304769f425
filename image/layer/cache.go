package layer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Cache remembers digests by Key in a directory, never a blob, and which store paths were
// verified. A record is a file of its own, whole or not there, and is never changed to say
// something else: several programs may use a cache at once, and one that is killed leaves
// nothing that another would believe. Without a directory nothing is remembered.
type Cache struct {
	Dir string
	// Warn, where it is not nil, hears why Hash or Verify could not remember something. They
	// go on without.
	Warn func(error)
}

// What a record is kept for that nobody asks for, what an unfinished one is, and how often
// the old ones are looked for.
const (
	keepRecord = 90 * 24 * time.Hour
	keepNew    = 24 * time.Hour
	everyPrune = 24 * time.Hour
)

// ours matches the names of all files that a cache makes, of any version of it.
var ours = regexp.MustCompile(`^([0-9a-f]{64}(\.[a-z]+[0-9]*)?\.v[0-9]+|new-[0-9]+)$`)

// blobRecords are the ends of the names of records of compressed layers. Whatever changes a
// byte of a compression changes its name. A level that was chosen comes behind it.
var blobRecords = map[Compression]string{Gzip: ".gzipc", Zstd: ".zstd"}

// blobRecord is that end, of a compression that has a digest of its own.
func blobRecord(z Compression) (name string, ok bool) {
	if name, ok = blobRecords[z.Format()]; ok && z.Level() != 0 {
		name += strconv.Itoa(z.Level())
	}
	return name, ok
}

// Get returns what is remembered of a layer, of its blobs those of Gzip and Zstd, and of more.
// What cannot be read is not remembered.
func (c Cache) Get(l Layer, more ...Compression) (d Digests, ok bool) {
	if !c.read(l.Key, &d) || !isDigest(d.DiffID) {
		return Digests{}, false
	}
	for _, z := range append([]Compression{Gzip, Zstd}, more...) {
		name, ok := blobRecord(z)
		if _, had := d.Blobs[z]; had || !ok {
			continue
		}
		var b Blob
		if c.read(l.Key+name, &b) && isDigest(b.Digest) {
			if d.Blobs == nil {
				d.Blobs = map[Compression]Blob{}
			}
			d.Blobs[z] = b
		}
	}
	return d, true
}

// Put remembers the digests of a layer, beside the blobs that are known already. An error
// means that they are not remembered, and nothing else: it is one to warn of.
func (c Cache) Put(l Layer, d Digests) error {
	for z, b := range d.Blobs {
		name, ok := blobRecord(z)
		if !ok {
			continue // None, which has no digest of its own
		}
		if err := c.write(l.Key+name, b); err != nil {
			return fmt.Errorf("remembering the digest of layer %s: %w", l.Name, err)
		}
	}
	if err := c.write(l.Key, Digests{DiffID: d.DiffID, Size: d.Size}); err != nil {
		return fmt.Errorf("remembering the digest of layer %s: %w", l.Name, err)
	}
	return nil
}

// verified is what is remembered of a tree that had the right hash.
type verified struct {
	Fingerprint string `json:"fingerprint"`
}

// verifiedName is that of the record for a tree on this machine.
func verifiedName(path, narHash string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "nix2vast verified\n%q %q\n", path, narHash))
	return hex.EncodeToString(sum[:])
}

// file is where a record is; v1 is the version of what is in it.
func (c Cache) file(name string) string { return filepath.Join(c.Dir, name+".v1") }

// read decodes a record, and notes once a day that somebody wanted it.
func (c Cache) read(name string, record any) bool {
	if c.Dir == "" {
		return false
	}
	f, err := os.Open(c.file(name))
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || json.Unmarshal(b, record) != nil {
		return false
	}
	if info, err := f.Stat(); err == nil && time.Since(info.ModTime()) > everyPrune {
		_ = os.Chtimes(f.Name(), time.Time{}, time.Now()) // where that may not be, it is forgotten and made again
	}
	return true
}

func (c Cache) write(name string, record any) error {
	if c.Dir == "" {
		return nil
	}
	b, err := json.Marshal(record)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(c.Dir, "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing, once it was renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.file(name))
	}
	return err
}

// Prune forgets what was not wanted for 90 days. It looks for that once a day.
func (c Cache) Prune(now time.Time) error {
	if c.Dir == "" {
		return nil
	}
	stamp := filepath.Join(c.Dir, "pruned")
	if info, err := os.Stat(stamp); err == nil && now.Sub(info.ModTime()) < everyPrune {
		return nil
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("looking for what the cache need not remember: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !ours.MatchString(e.Name()) {
			continue // gone meanwhile, or not ours
		}
		keep := keepRecord
		if e.Name()[:3] == "new" {
			keep = keepNew
		}
		if now.Sub(info.ModTime()) > keep {
			if err := os.Remove(filepath.Join(c.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("forgetting what the cache need not remember: %w", err)
			}
		}
	}
	if err := os.WriteFile(stamp, nil, 0o644); err != nil {
		return fmt.Errorf("noting that the cache was pruned: %w", err)
	}
	return os.Chtimes(stamp, time.Time{}, now)
}

// isDigest says whether a string is one.
func isDigest(s string) bool {
	_, err := v1.NewHash(s)
	return err == nil
}
