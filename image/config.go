// Package image holds what is known when an image is built: today the one
// contract between the Nix code that composes it and the init that boots it.
package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ConfigPath is where the image keeps its config, relative to its root.
const ConfigPath = "etc/nix2vast/config.json"

// Version is the version of Config that this program reads.
const Version = 1

// Config is what an image was built with. Nix writes it as JSON; a field that
// the program does not know is an error, so that the two never drift.
type Config struct {
	Version int `json:"version"`

	// Loader is the absolute path of the image's dynamic loader in the Nix
	// store, for example /nix/store/…-glibc-2.40/lib/ld-linux-x86-64.so.2.
	Loader string `json:"loader,omitempty"`

	// Ldconfig is the absolute path of the ldconfig that belongs to Loader;
	// empty where the image ships none.
	Ldconfig string `json:"ldconfig,omitempty"`

	// NixStore is the absolute path of the nix-store that loads the image's Nix
	// database when the box boots; empty where the image ships no Nix.
	NixStore string `json:"nixStore,omitempty"`

	// NoSSH says that the image is meant to have no SSH server, so that a box without one is
	// as it should be.
	NoSSH bool `json:"noSSH,omitempty"`

	// RootPassword says that the image's /etc/shadow has the hash of a password by which root
	// may log in. The hash is no part of this file, which all in a box can read.
	RootPassword bool `json:"rootPassword,omitempty"`

	// Tailscale says whether a box of this image joins a tailnet.
	Tailscale Tailscale `json:"tailscale,omitzero"`

	// Environment is what the image sets for every session and service; the
	// container's own environment wins over it.
	Environment map[string]string `json:"environment,omitempty"`

	// Services maps a name to a definition that package services reads.
	Services map[string]json.RawMessage `json:"services,omitempty"`

	// ProcessCompose is a project of process-compose, or a string: the absolute
	// path of one in the image.
	ProcessCompose json.RawMessage `json:"processCompose,omitempty"`

	// ModularServices are NixOS's modular services as they evaluate, or the absolute
	// path of such a file.
	ModularServices json.RawMessage `json:"modularServices,omitempty"`
}

// Tailscale is what an image says of the tailnet. Keys are no part of it: an image is for all
// to read.
type Tailscale struct {
	// Enable joins also where the container's environment says nothing of a tailnet:
	// somebody then logs the box in by a URL that init shows.
	Enable bool `json:"enable,omitempty"`
}

// Load reads the config under root. An image without one boots with the
// defaults; one that cannot be read or understood is an error.
func Load(root string) (Config, error) {
	path := filepath.Join(root, ConfigPath)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{Version: Version}, nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading the image's config: %w", err)
	}
	c, err := Parse(b)
	if err != nil {
		return Config{}, fmt.Errorf("reading the image's config %s: %w", path, err)
	}
	return c, nil
}

// Parse decodes one config and refuses fields that it does not know, a version
// that it does not speak, and anything behind the JSON.
func Parse(b []byte) (Config, error) {
	var c Config
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Config{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return Config{}, errors.New("there is text behind the JSON object")
	}
	if c.Version != Version {
		return Config{}, fmt.Errorf("version is %d, this init reads version %d", c.Version, Version)
	}
	c.keepLines(b)
	return c, nil
}
