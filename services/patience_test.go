package services

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	began := time.Now()
	ctx, cancel := patiently(t.Context(), 100*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("100ms were over after %v", took)
	}
	if ctx.Err() != context.DeadlineExceeded {
		t.Errorf("at its end it says %v", ctx.Err())
	}
	var n net.Error
	if _, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1"); !errors.As(err, &n) || !n.Timeout() {
		t.Errorf("a dialer says %v", err)
	}

	above, end := context.WithCancel(t.Context())
	ctx, cancel = patiently(above, time.Hour)
	defer cancel()
	if ctx.Err() != nil {
		t.Errorf("an hour is over at once: %v", ctx.Err())
	}
	end()
	<-ctx.Done()
	if ctx.Err() != context.Canceled {
		t.Errorf("cancelled, it says %v", ctx.Err())
	}
}
