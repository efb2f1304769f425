package services

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// defined is a service that somebody has defined, and that is not started again.
func defined(name, script string) Service {
	svc := sh(name, script)
	svc.Source, svc.Restart = "config.json:1", RestartNo
	return svc
}

// batchBox is a box that ends with its last service, and has all of them.
func batchBox(t *testing.T, list ...Service) *box {
	t.Helper()
	b := run(t, Options{EndWithLast: true})
	b.add(list...)
	b.release()
	return b
}

func (b *box) release() {
	b.t.Helper()
	if err := b.Release(b.ctx); err != nil {
		b.t.Fatal(err)
	}
}

// lives checks that the box has not begun to end.
func (b *box) lives(when string) {
	b.t.Helper()
	if snap, err := b.Snapshot(b.ctx); err != nil || snap.Ending {
		b.t.Errorf("%s: the box ends, %v", when, err)
	}
}

func TestLastServiceEndsTheBox(t *testing.T) {
	waits, needs := defined("waits", "exit 0"), defined("needs", "exit 0")
	waits.After, needs.Requires = []string{"fails"}, []string{"fails"}
	early, off := defined("early", "exit 0"), defined("off", "exit 5")
	early.Before, off.Disabled = []string{"fails"}, true
	again := defined("again", "exit 4")
	again.Restart, again.StartLimitBurst, again.RestartSec = RestartAlways, 2, new(Duration(0))
	for name, test := range map[string]struct {
		list []Service
		code int
	}{
		"done":               {[]Service{sh("own", "exec sleep 60"), defined("a", "exit 0"), off}, 0},
		"failed":             {[]Service{early, waits, needs, defined("fails", "exit 3")}, 3},
		"killed":             {[]Service{defined("a", "kill -KILL $$")}, 137},
		"tried often enough": {[]Service{again}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			b := batchBox(t, test.list...)
			if code := b.exitCode(); code != test.code {
				t.Errorf("the exit code is %d, want %d", code, test.code)
			}
		})
	}
}

func TestFirstFailureIsTheCode(t *testing.T) {
	b := run(t, Options{EndWithLast: true})
	file := filepath.Join(b.dir, "gate")
	if err := unix.Mkfifo(file, 0o600); err != nil {
		t.Fatal(err)
	}
	b.add(defined("late", "read x <"+file+"; exit 4"), defined("first", "exit 3"))
	b.release()
	b.untilState("first", Failed)
	b.lives("one of two has ended")
	gate, err := os.OpenFile(file, os.O_RDWR, 0) // it does not wait for the reader
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	if _, err := gate.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if code := b.exitCode(); code != 3 {
		t.Errorf("the exit code is %d, want 3", code)
	}
}

// TestStopIsNoEnd: whoever stops a service is at work in the box.
func TestStopIsNoEnd(t *testing.T) {
	b := batchBox(t, defined("a", "exit 0"), defined("b", "exec sleep 60"))
	b.untilState("a", Done)
	b.untilState("b", Ready)
	if err := b.Stop(b.ctx, "b"); err != nil {
		t.Fatal(err)
	}
	b.untilState("b", Stopped)
	b.lives("after a stop")
	if err := b.Restart(b.ctx, "a"); err != nil { // its end is one by itself
		t.Fatal(err)
	}
	if code := b.exitCode(); code != 0 {
		t.Errorf("the exit code is %d, want 0", code)
	}
}

func TestNothingThatRanIsNoEnd(t *testing.T) {
	skipped := defined("skipped", "exit 0")
	skipped.ExecCondition = Commands{shell("exit 1")}
	b := batchBox(t, skipped, sh("own", "exit 0"))
	b.untilState("skipped", Done)
	b.untilState("own", Backoff)
	b.lives("where nothing ran")
}

// TestHeldEnd: before all services are known, and while definitions are read, none is the last.
func TestHeldEnd(t *testing.T) {
	b := run(t, Options{EndWithLast: true})
	b.add(defined("a", "exit 0"))
	b.untilState("a", Done)
	b.lives("before all were added")
	if err := b.Hold(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.release()
	b.lives("while held")
	b.release()
	if code := b.exitCode(); code != 0 {
		t.Errorf("the exit code is %d, want 0", code)
	}
}

func TestBoxIsKept(t *testing.T) {
	b := run(t, Options{})
	b.add(defined("a", "exit 0"))
	b.release()
	b.untilState("a", Done)
	b.lives("by default")
}
