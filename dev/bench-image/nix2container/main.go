// Nix2container plans layers as nix2container's Nix code has it do, and writes them as an OCI
// layout, since its own way to a registry needs a patched skopeo. The tar streams are those
// of its library.
//
//	nix2container GRAPH ROOTFS LAYERS LAYOUT TAG
//
// GRAPH is what exportReferencesGraph makes, ROOTFS the path of it that becomes /, LAYERS
// how many there may be. A LAYOUT that is there already gets another tag.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/nlewo/nix2container/nix"
	"github.com/nlewo/nix2container/types"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		fmt.Fprintln(os.Stderr, "nix2container:", err)
		os.Exit(1)
	}
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

const media = "application/vnd.oci.image."

func run(graph, rootfs, most, layout, tag string) error {
	layers, err := plan(graph, rootfs, most, layout)
	if err != nil {
		return err
	}
	var list []descriptor
	var ids []string
	for _, l := range layers {
		d, err := blob(layout, media+"layer.v1.tar", func(w io.Writer) error {
			r, _, err := nix.LayerGetBlob(l)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(w, r)
			return err
		})
		if err != nil {
			return err
		}
		if d.Digest != l.Digest {
			return fmt.Errorf("a layer is %s, planned was %s", d.Digest, l.Digest)
		}
		list, ids = append(list, d), append(ids, l.DiffIDs)
	}
	config, err := blob(layout, media+"config.v1+json", as(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	}))
	if err != nil {
		return err
	}
	manifest, err := blob(layout, media+"manifest.v1+json", as(map[string]any{
		"schemaVersion": 2, "mediaType": media + "manifest.v1+json", "config": config, "layers": list,
	}))
	if err != nil {
		return err
	}
	return name(layout, tag, manifest)
}

// plan has the program plan, which Nix does in a derivation.
func plan(graph, rootfs, most, layout string) (layers []types.Layer, err error) {
	if err := os.MkdirAll(filepath.Join(layout, "blobs", "sha256"), 0o755); err != nil {
		return nil, err
	}
	rewrites, out := filepath.Join(layout, "rewrites.json"), filepath.Join(layout, "layers.json")
	if err := write(rewrites, as([]types.RewritePath{{Path: rootfs, Regex: "^" + rootfs}})); err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(os.Args[0]), "nix2container-plan")
	cmd := exec.Command(program, "layers-from-reproducible-storepaths", out, graph, "--max-layers", most, "--rewrites", rewrites)
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	return types.NewLayersFromFile(out)
}

// name adds a tag to the index.
func name(layout, tag string, manifest descriptor) error {
	var index struct {
		SchemaVersion int          `json:"schemaVersion"`
		Manifests     []descriptor `json:"manifests"`
	}
	if b, err := os.ReadFile(filepath.Join(layout, "index.json")); err == nil {
		if err := json.Unmarshal(b, &index); err != nil {
			return err
		}
	}
	index.SchemaVersion = 2
	manifest.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag}
	index.Manifests = append(index.Manifests, manifest)
	if err := write(filepath.Join(layout, "index.json"), as(index)); err != nil {
		return err
	}
	return write(filepath.Join(layout, "oci-layout"), as(map[string]string{"imageLayoutVersion": "1.0.0"}))
}

// blob writes what is not there yet, and says what it is.
func blob(layout, kind string, content func(io.Writer) error) (descriptor, error) {
	sum, folder := sha256.New(), filepath.Join(layout, "blobs", "sha256")
	f, err := os.CreateTemp(folder, "new")
	if err != nil {
		return descriptor{}, err
	}
	defer f.Close()
	if err := content(io.MultiWriter(f, sum)); err != nil {
		return descriptor{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return descriptor{}, err
	}
	hash := hex.EncodeToString(sum.Sum(nil))
	return descriptor{MediaType: kind, Digest: "sha256:" + hash, Size: info.Size()}, os.Rename(f.Name(), filepath.Join(folder, hash))
}

func as(v any) func(io.Writer) error {
	return func(w io.Writer) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, strings.NewReader(string(b)))
		return err
	}
}

func write(path string, content func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return content(f)
}
