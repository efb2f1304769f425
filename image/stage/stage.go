package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// recordName is the file in which a folder of folders says what is in them. No COPY line
// takes it.
const recordName = "stage.json"

// record is the content of that file.
type record struct {
	Version int `json:"version"`
	// Keys are those of the folders, by their names.
	Keys map[string]string `json:"keys"`
}

const recordVersion = 1

// FolderName is what folder i of a stage is called, from 00 on.
func FolderName(i int) string { return fmt.Sprintf("%02d", i) }

// Write makes dir hold the folders, and says which it left as they were since they hold
// that already. Either all of them are there afterwards, or none has changed, unless the
// program is killed: what is missing then is made by the next Write. A dir that holds
// anything else is refused. The store paths are read below store, "" for the machine's own.
// Each folder that was made is told to done, from several goroutines.
func Write(ctx context.Context, dir string, folders []Folder, store string, done func(i int)) (reused []bool, err error) {
	old, err := open(dir)
	if err != nil {
		return nil, err
	}
	reused = make([]bool, len(folders))
	keys := map[string]string{}
	var stale []string
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i, f := range folders {
		name := FolderName(i)
		keys[name] = f.Key
		if key, ok := old.Keys[name]; ok && key == f.Key {
			reused[i] = true
			continue
		}
		stale = append(stale, name)
		g.Go(func() error {
			if err := extract(ctx, filepath.Join(dir, name+".new"), f.Layers, store); err != nil {
				return fmt.Errorf("writing the folder %s of %s: %w", name, dir, err)
			}
			done(i)
			return nil
		})
	}
	err = g.Wait()
	for name := range old.Keys { // of a stage with more folders
		if _, ok := keys[name]; !ok {
			stale = append(stale, name)
		}
	}
	if err == nil {
		err = swap(dir, stale, old, record{recordVersion, keys})
	}
	for _, name := range stale {
		err = errors.Join(err, remove(filepath.Join(dir, name+".new")))
	}
	return reused, err
}

// open reads the record of a stage, or makes the folder for a new one.
func open(dir string) (record, error) {
	r := record{Version: recordVersion, Keys: map[string]string{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, fmt.Errorf("making the folder: %w", err)
	}
	b, err := os.ReadFile(filepath.Join(dir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) > 0 {
			err = fmt.Errorf("the folder %s is not empty, and no stage made it; name another, or remove what is in it", dir)
		}
		if err == nil {
			err = r.write(dir) // what is left by a crash from here on is known as ours
		}
		return r, err
	}
	if err != nil {
		return r, fmt.Errorf("reading what is staged: %w", err)
	}
	if err := json.Unmarshal(b, &r); err != nil || r.Version != recordVersion {
		return r, fmt.Errorf("the file %s is not of a stage of this version; remove the folder", filepath.Join(dir, recordName))
	}
	for name := range r.Keys {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			delete(r.Keys, name) // somebody removed it
		}
	}
	// What an interrupted stage has left.
	left, err := filepath.Glob(filepath.Join(dir, "[0-9][0-9].new"))
	for _, path := range left {
		err = errors.Join(err, remove(path))
	}
	return r, err
}

// swap puts the new folders in the place of the stale ones. The record never promises
// what is not there.
func swap(dir string, stale []string, old, new record) error {
	for _, name := range stale {
		delete(old.Keys, name)
	}
	if err := old.write(dir); err != nil {
		return err
	}
	for _, name := range stale {
		path := filepath.Join(dir, name)
		if err := remove(path); err != nil {
			return err
		}
		if _, ok := new.Keys[name]; !ok {
			continue
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("moving a folder to its place: %w", err)
		}
	}
	return new.write(dir)
}

func (r record) write(dir string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, recordName+".new"), append(b, '\n'), 0o644)
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, recordName+".new"), filepath.Join(dir, recordName))
	}
	if err != nil {
		return fmt.Errorf("writing down what is staged: %w", err)
	}
	return nil
}

// remove removes a tree, whose directories may be read-only as in the store.
func remove(path string) error {
	err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = errors.Join(err, os.RemoveAll(path)); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}
