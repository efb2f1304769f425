// Package unitfile is a stub.
package unitfile

import (
	"errors"

	"github.com/fleek-platform/nix2vast/services"
)

// Load is a stub.
func Load(root string, names ...string) ([]services.Service, error) { return nil, nil }

// Enabled is a stub.
func Enabled(root string) ([]string, error) { return nil, nil }

// Install is a stub.
func Install(root, file string) (name string, changes []string, err error) {
	return "", nil, errors.New(file + ": stub")
}

// Enable is a stub.
func Enable(root, name string) ([]string, error) { return nil, errors.New(name + ": stub") }

// Disable is a stub.
func Disable(root, name string) ([]string, error) { return nil, errors.New(name + ": stub") }

// State is a stub.
func State(root, name string) string { return "not-found" }

// Cat is a stub.
func Cat(root, name string) (string, error) { return "", errors.New(name + ": stub") }

// Check is a stub.
func Check(file string, b []byte) ([]services.Service, error) { return nil, errors.New(file + ": stub") }

// Format is a stub.
func Format(svc services.Service) string { return "[Service]\n" }
