package gpu

import "testing"

// BenchmarkSetup is what a boot pays: without a driver, and with one that is
// set up already.
func BenchmarkSetup(b *testing.B) {
	for name, with := range map[string]func(h *host){"absent": func(*host) {}, "cdi": func(h *host) { h.cdi(newVersion) }} {
		b.Run(name, func(b *testing.B) {
			h := newHost(b)
			with(h)
			h.setup()
			for b.Loop() {
				h.setup()
			}
		})
	}
}
