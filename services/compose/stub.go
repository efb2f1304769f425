// Package compose is a stub.
package compose

import (
	"errors"

	"github.com/fleek-platform/nix2vast/services"
)

// Parse is a stub.
func Parse(file string, b []byte) ([]services.Service, error) { return nil, errors.New(file + ": stub") }
