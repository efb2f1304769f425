package services

import (
	"slices"
	"testing"
)

// Forget takes away what does not run, and nothing else.
func TestForget(t *testing.T) {
	b := run(t, Options{})
	stays := sh("stays", "exec sleep 60")
	once := sh("once", "exit 0")
	once.Type = Oneshot
	front := sh("front", "exec sleep 60")
	front.Requires, front.After, front.Disabled = []string{"ended"}, []string{"ended"}, true
	ended := sh("ended", "exec sleep 60")
	b.add(stays, once, ended, front)
	b.untilState("stays", Ready)
	b.untilState("once", Done)
	b.untilState("ended", Ready)
	if err := b.Stop(b.ctx, "ended"); err != nil {
		t.Fatal(err)
	}
	b.untilState("ended", Stopped)
	if err := b.Forget(b.ctx, "stays", "once", "ended", "nobody"); err != nil {
		t.Fatal(err)
	}
	snap, err := b.Snapshot(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range snap.Services {
		names = append(names, s.Name)
	}
	if want := []string{"stays", "front"}; !slices.Equal(names, want) {
		t.Errorf("%q are left, want %q", names, want)
	}
	if err := b.Start(b.ctx, "front"); err != nil {
		t.Fatal(err)
	}
	b.untilState("front", Ready)
}
