package services

import (
	"context"
	"sync/atomic"
	"time"
)

// patience is a context that ends after a time in which PID 1 ran: what of it the
// container was paused for, or the machine too busy to wake us, does not count. Its
// error is context.DeadlineExceeded then, which contexts derived from it do not say; it
// has no Deadline, since nobody knows that.
type patience struct {
	context.Context
	over atomic.Bool
}

// Err is context.DeadlineExceeded where the time is over.
func (p *patience) Err() error {
	if err := p.Context.Err(); err == nil || !p.over.Load() {
		return err
	}
	return context.DeadlineExceeded
}

// patiently waits for span in slices and does not count what one took too long. So
// no more than a slice of a pause counts, an eighth of span.
func patiently(ctx context.Context, span time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancel(ctx)
	p := &patience{Context: inner}
	slice := max(span/8, 10*time.Millisecond)
	left := span // after the first Reset only the timer's function has it
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		if left -= slice; left > 0 && inner.Err() == nil {
			timer.Reset(min(left, slice))
			return
		}
		p.over.Store(inner.Err() == nil)
		cancel()
	})
	timer.Reset(min(left, slice))
	return p, func() {
		timer.Stop()
		cancel()
	}
}
