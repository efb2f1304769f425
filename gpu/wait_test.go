package gpu

import (
	"context"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// TestLateInjection completes an injection while Setup waits for it.
func TestLateInjection(t *testing.T) {
	for _, test := range []struct {
		name  string
		early func(h *host)
		late  func(h *host)
	}{
		{"all of it", func(h *host) { h.environ = []string{"NVIDIA_VISIBLE_DEVICES=0"} },
			func(h *host) { h.libraries(debianLibs, newVersion); h.devices() }},
		{"devices", func(h *host) { h.libraries(debianLibs, newVersion) }, func(h *host) { h.devices() }},
		{"libraries", func(h *host) { h.devices() }, func(h *host) { h.libraries(debianLibs, newVersion) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			test.early(h)
			core, logs := observer.New(zapcore.InfoLevel)
			o := h.options()
			o.Log, o.Wait = zap.New(core), 30*time.Second
			done := make(chan Report)
			go func() { done <- Setup(t.Context(), o) }()
			eventually(t, "setup to wait", func() bool { return logs.Len() == 1 })
			test.late(h)
			r := <-done
			if r.State != NoDriver || r.Version != newVersion || len(r.Problems) > 0 {
				t.Errorf("got %s: %s, %q", r.State, r.Reason, r.Problems)
			}
			h.leadsTo(farmDir+"/libcuda.so.1", debianLibs+"/libcuda.so."+newVersion)
			if n := logs.Len(); n != 2 {
				t.Errorf("%d log lines, want one before and one after", n)
			}
			if took, ok := logs.All()[1].ContextMap()["took"].(time.Duration); !ok || took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestWaitEnds(t *testing.T) {
	for _, test := range []struct {
		name    string
		host    func(h *host)
		limit   time.Duration
		cancel  bool
		state   State
		logs    int
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"nothing asked for", func(h *host) {}, 0, false, Absent, 0, 0, time.Second},
		{"complete", func(h *host) { h.cdi(newVersion) }, 0, false, NoDriver, 0, 0, 2 * time.Second},
		{"no wait wanted", func(h *host) { h.devices() }, -1, false, Partial, 0, 0, time.Second},
		{"nothing comes", func(h *host) { h.devices() }, 300 * time.Millisecond, false, Partial, 2, 300 * time.Millisecond, 2 * time.Second},
		{"nobody waits any more", func(h *host) { h.devices() }, 0, true, Partial, 2, 0, 2 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			test.host(h)
			core, logs := observer.New(zapcore.InfoLevel)
			o := h.options()
			o.Log, o.Wait = zap.New(core), test.limit
			ctx, cancel := context.WithCancel(t.Context())
			if test.cancel {
				cancel()
			}
			defer cancel()
			start := time.Now()
			r := Setup(ctx, o)
			if took := time.Since(start); took < test.atLeast || took > test.atMost {
				t.Errorf("it took %v", took)
			}
			if test.limit == 0 && logs.Len() > 0 && logs.All()[0].ContextMap()["at_most"] != DefaultWait {
				t.Errorf("it waits %v", logs.All()[0].ContextMap())
			}
			if r.State != test.state || logs.Len() != test.logs {
				t.Errorf("got %s (%s) and %d log lines, want %s and %d", r.State, r.Reason, logs.Len(), test.state, test.logs)
			}
		})
	}
}

// TestEventOutlastsSignals interrupts a wait with the signal that the Go runtime
// sends itself.
func TestEventOutlastsSignals(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread, stop := unix.Gettid(), make(chan struct{})
	go func() {
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-tick.C:
				_ = unix.Tgkill(os.Getpid(), thread, unix.SIGURG)
			case <-stop:
				return
			}
		}
	}()
	defer close(stop)
	start := time.Now()
	if event(nil, 100*time.Millisecond) || time.Since(start) < 100*time.Millisecond {
		t.Errorf("it ended after %v", time.Since(start))
	}
}
