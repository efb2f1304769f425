package boot

import "github.com/fleek-platform/nix2vast/services"

// Shim is the first thing that main does, on the main thread: where this
// process was started to become a service's, it does that and never returns.
func Shim() {
	if services.IsShim() {
		services.ShimMain()
	}
}
