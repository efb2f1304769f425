package main

import (
	"fmt"
	"os"

	boot "github.com/fleek-platform/nix2vast/init"
)

// exitForGood tells the supervisor not to start the service again.
const exitForGood = 125

// runExporter is the process of the service metrics.
func runExporter(address string) int {
	fmt.Fprintln(os.Stderr, boot.RunExporter("/", programs, address))
	return exitForGood
}
