package services

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReapSoon: after a long pass over the children PID 1 rests, and what ends meanwhile
// is collected when it has.
func TestReapSoon(t *testing.T) {
	b := run(t, Options{})
	svc := sh("a", "exec sleep 60")
	svc.Restart = RestartNo
	b.add(svc)
	pid := b.untilState("a", Ready).Pid
	err := b.ask(b.ctx, func() {
		b.reapAfter = time.Now().Add(200 * time.Millisecond)
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if b.reapSoon(); b.pids[pid] == nil || b.reapAt != b.reapAfter {
			t.Error("it did not rest")
		}
		if wait := b.untilNext(); wait > 200*time.Millisecond {
			t.Errorf("it rests for %v", wait)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.untilState("a", Failed)
}
