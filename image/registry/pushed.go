package registry

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// record remembers which repositories have which blobs, so that another repository of the
// same registry can get them from there, without a byte being sent. It is a hint: what is
// lost or wrong costs an upload. Each file in it is whole or not there. Without a directory
// nothing is remembered.
type record struct{ dir string }

// sources is how many repositories are remembered of a blob on a registry.
const sources = 4

func (r record) file(digest string) string {
	return filepath.Join(r.dir, strings.TrimPrefix(digest, "sha256:")+".json")
}

func (r record) read(digest string) map[string][]string {
	var m map[string][]string
	b, err := os.ReadFile(r.file(digest))
	if r.dir == "" || err != nil || json.Unmarshal(b, &m) != nil || m == nil {
		return map[string][]string{}
	}
	return m
}

// from lists the repositories of a host, other than repo, that have a blob.
func (r record) from(host, repo, digest string) []string {
	list := r.read(digest)[host]
	return slices.DeleteFunc(list, func(s string) bool { return s == repo })
}

// add remembers that a repository has a blob.
func (r record) add(host, repo, digest string) error {
	if r.dir == "" {
		return nil
	}
	m := r.read(digest)
	if slices.Contains(m[host], repo) {
		return nil
	}
	m[host] = append([]string{repo}, m[host]...)
	m[host] = m[host][:min(len(m[host]), sources)]
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(r.dir, "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // nothing, once it was renamed
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), r.file(digest))
}
