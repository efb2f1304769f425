package services

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// killGrace is how long a killed command of a probe may take to disappear, by the
// clock of patiently.
const killGrace = time.Second

var errStuck = errors.New("its process does not end, not even by SIGKILL: it hangs in the kernel")

// askExec is good when the command ends with 0.
func (p *Probe) askExec(ctx context.Context, how asker) error {
	code, output, err := how.run(ctx, p.Exec)
	if output = printable(output); output != "" {
		output = ": " + output
	}
	switch {
	case err == nil && code == 0:
		return nil
	case err == nil:
		return fmt.Errorf("%s: exit code %d%s", p.Exec[0], code, output)
	case errors.Is(err, errStuck):
		return fmt.Errorf("%s: %w", p.Exec[0], err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: no end within %v%s", p.Exec[0], p.timeout(), output)
	}
	return fmt.Errorf("%s: %w%s", p.Exec[0], err, output)
}

// An answer is what became of a command.
type answer struct {
	output []byte
	code   int
	err    error
}

// newAsker makes the asker of one probe, whose commands run in dir with env, as
// cred or, for nil, as init's own user.
func newAsker(dir string, env []string, cred *syscall.Credential) asker {
	return bounded(func(ctx context.Context, argv []string) (a answer) {
		a.output, a.code, a.err = captureAs(ctx, dir, env, cred, argv)
		return a
	})
}

// bounded waits for a command no longer than its ctx and killGrace. A process that
// hangs in the kernel, as nvidia-smi does with a GPU that fell off its bus, cannot
// be killed: it is left alone, and no second one is started beside it.
func bounded(capture func(context.Context, []string) answer) asker {
	running := make(chan struct{}, 1)
	return asker{run: func(ctx context.Context, argv []string) (int, string, error) {
		select {
		case running <- struct{}{}:
		default:
			return -1, "", errStuck
		}
		answers := make(chan answer, 1)
		var a answer
		go func() {
			defer func() {
				if p := recover(); p != nil {
					a = answer{code: -1, err: fmt.Errorf("BUG: panic in a probe: %v", p)}
				}
				<-running // before the answer, upon which the next question may come
				answers <- a
			}()
			a = capture(ctx, argv)
		}()
		select {
		case got := <-answers:
			return got.code, string(got.output), got.err
		case <-ctx.Done():
		}
		grace, cancel := patiently(context.Background(), killGrace)
		defer cancel()
		select {
		case got := <-answers:
			return got.code, string(got.output), got.err
		case <-grace.Done():
			return -1, "", errStuck
		}
	}}
}
