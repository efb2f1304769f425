package gpu

import (
	"context"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	// tick is how often to look without an event: device nodes may be made by
	// mknod, which the mount table does not tell.
	tick = 500 * time.Millisecond
	// settle is how long the mount table has to be quiet before what it shows
	// is taken for all.
	settle = 250 * time.Millisecond
)

// await returns what is there, once that is complete or not worth waiting for.
// It returns at once where nothing was asked for and nothing is there.
func (w *work) await(ctx context.Context) driver {
	d := w.detect()
	limit := w.Wait
	if limit == 0 {
		limit = DefaultWait
	}
	if !d.unfinished() || limit < 0 {
		return d
	}
	mountinfo, err := openEvents(w.file(mountinfoPath))
	if err == nil {
		defer mountinfo.Close()
	}
	start := time.Now()
	w.Log.Info("waiting for the driver", zap.String("missing", d.lack()), zap.Duration("at_most", limit))
	for ctx.Err() == nil && time.Since(start) < limit {
		rest := limit - time.Since(start)
		if d.unfinished() {
			event(mountinfo, min(tick, rest))
		} else if !event(mountinfo, min(settle, rest)) {
			break
		}
		d = w.detect()
	}
	took := time.Since(start).Round(time.Millisecond)
	if d.unfinished() {
		w.Log.Warn("the driver did not come", zap.String("missing", d.lack()), zap.Duration("took", took))
	} else {
		w.Log.Info("the driver is there", zap.Duration("took", took))
	}
	return d
}

// unfinished says whether more may come.
func (d driver) unfinished() bool {
	if d.there() {
		return len(d.missing) > 0
	}
	return d.requested != ""
}

// lack says in words what is missing.
func (d driver) lack() string {
	if !d.there() {
		return "everything"
	}
	return strings.Join(d.missing, ", ")
}

// openEvents opens the mount table for event. Not by package os, whose poller would look at
// the same open file: the kernel tells an event to the first who asks, and what was mounted
// while somebody looked at the driver was lost.
func openEvents(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// event waits for a change of the mount table, at most for limit, and says
// whether there was one. The kernel reports it as an exceptional condition of
// mountinfo (proc_pid_mounts(5)); inotify is silent about mounts.
func event(mountinfo *os.File, limit time.Duration) bool {
	fds := []unix.PollFd{{Fd: -1}} // ignored by poll(2), which then only waits
	if mountinfo != nil {
		fds[0] = unix.PollFd{Fd: int32(mountinfo.Fd()), Events: unix.POLLPRI}
	}
	end := time.Now().Add(limit)
	for {
		n, err := unix.Poll(fds, int(max(0, time.Until(end)).Milliseconds())+1)
		if err != unix.EINTR { // which the Go runtime's own signals cause
			return err == nil && n > 0
		}
	}
}
