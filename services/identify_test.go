package services

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// executing makes each process have no environment when it is first looked at, as in
// the middle of an execve(2).
func (b *box) executing() {
	b.t.Helper()
	asked := map[int]bool{}
	if err := b.ask(b.ctx, func() {
		b.invocationOf = func(pid int) (string, bool) {
			if !asked[pid] {
				asked[pid] = true
				return "", false
			}
			return invocationOf(pid)
		}
	}); err != nil {
		b.t.Fatal(err)
	}
}

// A daemon writes its number, and executes another program.
func TestForkingExecutes(t *testing.T) {
	b := run(t, Options{})
	b.executing()
	pidFile := filepath.Join(b.dir, "pid")
	svc := sh("a", "setsid sh -c 'echo $$ > "+pidFile+"; exec sleep 60' & while [ ! -s "+pidFile+" ]; do sleep 0.01; done")
	svc.Type, svc.PIDFile, svc.Restart = Forking, pidFile, RestartNo
	b.add(svc)
	if s := b.until("a", func(s Status) bool { return s.State == Ready || s.State == Failed }); s.State != Ready {
		t.Errorf("%+v", s)
	}
}

// A service names a main process that is neither in its group nor its child, and that
// just executes a program.
func TestMainPIDExecutes(t *testing.T) {
	b := run(t, Options{})
	b.executing()
	pidFile := filepath.Join(b.dir, "pid")
	b.add(talker(t, "a", "(setsid sh -c 'echo $$ > "+pidFile+"; exec sleep 60' &); while [ ! -s "+pidFile+
		" ]; do sleep 0.01; done; say \"READY=1|MAINPID=$(cat "+pidFile+")\"; wait"))
	b.until("a", func(s Status) bool {
		pid, _ := os.ReadFile(pidFile) // it may not be there yet
		return s.State == Ready && s.Pid != 0 && strings.TrimSpace(string(pid)) == strconv.Itoa(s.Pid)
	})
}

// What a command of a probe has started shows up when that is killed, which is later
// than the end of the main process may be.
func TestProbeEndsBeforeItsService(t *testing.T) {
	b := run(t, Options{})
	asked, over := make(chan struct{}), make(chan struct{})
	if err := b.ask(b.ctx, func() {
		b.Supervisor.asker = func(string, []string, *syscall.Credential) asker {
			return asker{run: func(ctx context.Context, _ []string) (int, string, error) {
				close(asked)
				<-ctx.Done()
				<-over
				return -1, "", ctx.Err()
			}}
		}
	}); err != nil {
		t.Fatal(err)
	}
	svc := sh("a", "exec sleep 60")
	svc.Liveness = &Probe{Exec: []string{"x"}, PeriodSec: Seconds(0.01), TimeoutSec: Seconds(60)}
	b.add(svc)
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop(b.ctx, "a") }()
	if s := b.until("a", func(s Status) bool { return s.Pid == 0 }); s.State != Stopping {
		t.Errorf("its probe's command still runs, and it is %+v", s)
	}
	close(over)
	b.untilState("a", Stopped)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A process that has ended and that nobody has waited for has neither environment nor arguments,
// and never will: it is refused at once.
func TestMainPIDOfTheDead(t *testing.T) {
	b := run(t, Options{})
	dead := exec.Command("true")
	if err := dead.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dead.Wait() }()
	if err := b.ask(b.ctx, func() {
		b.invocationOf = func(int) (string, bool) { return "", false } // as that of another user's process that is dead
	}); err != nil {
		t.Fatal(err)
	}
	b.poll("the process to be dead", func() bool { f := statOf(dead.Process.Pid); return f != nil && f[0] == "Z" })
	b.add(talker(t, "a", fmt.Sprintf("say 'READY=1|MAINPID=%d'; exec sleep 60", dead.Process.Pid)))
	b.untilLine("init", "MAINPID="+strconv.Itoa(dead.Process.Pid)+" is refused")
}
