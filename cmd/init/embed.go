//go:build embed

package main

import "embed"

// programs ship inside this one. make builds them first, and gives them these
// paths with an overlay, dev/embed.json.
//
//go:embed programs/exporter programs/tailnet
var programs embed.FS
