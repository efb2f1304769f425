package boot

import (
	"errors"
	"testing"
	"time"
)

// TestCalm: a boot that never settles does not keep the garbage collector off.
func TestCalm(t *testing.T) {
	over, never := make(chan struct{}), make(chan struct{})
	close(over)
	for name, c := range map[string]struct {
		settled chan struct{}
		most    time.Duration
	}{"settled": {over, time.Hour}, "never": {never, time.Millisecond}} {
		released := errors.New("released")
		done := make(chan error, 1)
		go func() { done <- calm(c.settled, c.most, func() error { return released }) }()
		select {
		case err := <-done:
			if err != released {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: memory was never released", name)
		}
	}
}
