// Package modular is a stub.
package modular

import (
	"errors"

	"github.com/fleek-platform/nix2vast/services"
)

// File is a stub.
type File struct{ Path, Text, Source string }

// Parse is a stub.
func Parse(file string, b []byte) ([]services.Service, []File, error) {
	return nil, nil, errors.New(file + ": stub")
}
