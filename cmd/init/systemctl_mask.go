package main

import (
	"errors"
	"fmt"
	"os"

	boot "github.com/fleek-platform/nix2vast/init"
)

func maskUnits(c unitCall) int {
	result, err := here.Mask(background, c.names, c.now, !c.noBlock)
	if c.now { // the services have stopped
		return c.enabled("disable", "mask", result, err)
	}
	return c.enabled("mask", "mask", result, err)
}

func unmaskUnits(c unitCall) int {
	result, err := here.Unmask(background, c.names)
	return c.enabled("unmask", "unmask", result, err)
}

// enabled prints what became of the files of units, and of their services; as is the
// verb by which these are judged.
func (c unitCall) enabled(as, verb string, result boot.Enabled, err error) int {
	if err != nil {
		c.fail("Failed to %s unit: %v", verb, err)
		var refusal *boot.RefusalError
		if errors.As(err, &refusal) && refusal.Code == 403 {
			return lsbNoPermission
		}
		return lsbFailure
	}
	for _, change := range result.Changes {
		if !c.quiet {
			fmt.Fprintln(os.Stderr, change)
		}
	}
	if !c.noBlock && !result.Services.Good(as) {
		fmt.Fprint(os.Stderr, result.Services)
		return lsbFailure
	}
	return 0
}
