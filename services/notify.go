package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// notifySocket is where one service says how it is: sd_notify(3). Each has its
// own, since without cgroups a datagram of a process that has ended already could
// not be told from another service's. It is a file and not an abstract name:
// those are shared by all containers of a host network.
type notifySocket struct {
	path string
	fd   int      // for the goroutine of Run, which receives
	file *os.File // the same for the one that waits, which ends when it is closed
}

// closeNotify lets go of the socket: the service is gone, or gets another user.
func (r *record) closeNotify() {
	if r.notify == nil {
		return
	}
	// A file that cannot be removed is replaced by the next socket.
	_ = errors.Join(unix.Close(r.notify.fd), r.notify.file.Close(), os.Remove(r.notify.path))
	r.notify = nil
}

// openNotify makes the socket of a service, the first time that it starts.
func (s *Supervisor) openNotify(r *record, cred *syscall.Credential) error {
	if r.notify != nil {
		return nil
	}
	dir, err := s.opts.Run()
	if err != nil {
		return fmt.Errorf("making the notification socket: %w", err)
	}
	path := filepath.Join(dir, "notify", r.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the notification socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the notification socket of an earlier run: %w", err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("making the notification socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err == nil && cred != nil {
		err = os.Chown(path, int(cred.Uid), int(cred.Gid))
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("making the notification socket %s: %w", path, err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20) // the default does too
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("making the notification socket: %w", err)
	}
	r.notify = &notifySocket{path, fd, os.NewFile(uintptr(own), path)}
	go s.waitForNotifications(r, r.notify.file)
	return nil
}

// waitForNotifications wakes the supervisor when there is something to receive.
// Receiving is done on the goroutine of Run alone, which thereby keeps the order
// of a notification and the end of the process that sent it.
func (s *Supervisor) waitForNotifications(r *record, f *os.File) {
	defer recovered(s.opts.Log, "notifications of "+r.Name)
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	for {
		err := conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
		if err != nil || s.ask(context.Background(), func() { s.receive(r); s.settle() }) != nil {
			return // it was closed, or the container has ended
		}
	}
}

func readable(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err != unix.EINTR && n != 0
}

// maxDescriptors is how many may come with one datagram: the kernel's SCM_MAX_FD.
const maxDescriptors = 253

// receive takes all notifications that are there.
func (s *Supervisor) receive(r *record) {
	if s.datagram == nil {
		s.datagram = make([]byte, maxNotification)
	}
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*maxDescriptors))
	for r.notify != nil {
		n, oobn, flags, _, err := unix.Recvmsg(r.notify.fd, s.datagram, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		pid, files := control(oob[:oobn])
		if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			s.opts.Log.Warn(r.Name + ": a notification was longer than 64 KiB and is dropped")
		} else {
			files = s.notified(r, pid, s.datagram[:n], files)
		}
		for _, f := range files {
			f.Close() // of BARRIER=1 this is the answer
		}
	}
}

// control reads what came beside a datagram: the sender, and descriptors.
func control(oob []byte) (pid int, files []*os.File) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, nil
	}
	for i := range messages {
		if cred, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			pid = int(cred.Pid)
		}
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			for _, fd := range fds {
				files = append(files, os.NewFile(uintptr(fd), "received"))
			}
		}
	}
	return pid, files
}

// notified obeys one notification and returns the files that it has no use for.
func (s *Supervisor) notified(r *record, pid int, b []byte, files []*os.File) []*os.File {
	n, err := parseNotification(b)
	if err != nil {
		s.opts.Log.Warn(r.Name+": a notification holds what makes no sense", zap.Error(err))
	}
	if r.access == NotifyNone || r.access == NotifyMain && pid != r.pid {
		s.opts.Log.Warn(fmt.Sprintf("%s: a notification of process %d is dropped: NotifyAccess is %s, and the main process %d", r.Name, pid, r.access, r.pid))
		return files
	}
	if n.access != "" {
		r.access = n.access
	}
	if n.mainPID != 0 && n.mainPID != r.pid {
		s.changeMain(r, n.mainPID)
	}
	if n.status != nil || n.errno != 0 {
		r.said = ""
		if n.status != nil {
			r.said = *n.status
		}
		if n.errno != 0 {
			r.said = string(append([]byte(r.said), " ("+n.errno.Error()+")"...))
		}
		s.tell()
	}
	s.notifiedTimes(r, n)
	switch {
	case n.reloading && r.state == Ready:
		if !r.reloads {
			s.reloadBegins(r, "")
		}
		r.reloading = true
	case n.ready && r.state == Ready && r.reloading:
		r.reloading = false
		if r.job == nil { // the end of ExecReload is the later one
			s.reloadEnds(r, "")
		}
	case n.ready && r.state == Starting && r.job == nil && (r.Type == Notify || r.Type == NotifyReload) && r.pid != 0:
		s.post(r)
	case n.stopping && (r.state == Ready || r.state == Starting):
		r.note = "is about to end"
		r.watchdogAt = time.Time{}
		s.tell()
	}
	return s.keep(r, n, files)
}

// notifiedTimes obeys what a notification says of deadlines.
func (s *Supervisor) notifiedTimes(r *record, n notification) {
	now := time.Now()
	if n.extend > 0 && (r.state == Starting || r.state == Stopping) {
		if until := now.Add(n.extend); !r.deadline.IsZero() && until.After(r.deadline) {
			r.deadline = until
		}
	}
	if n.watchdogSpan > 0 {
		r.watchdog = Duration(n.watchdogSpan)
	}
	switch {
	case n.watchdog == "trigger":
		s.apply(r, event{kind: evFault, exit: Exit{Cause: Watchdog, Why: "it asked for it"}})
	case r.watchdog > 0 && (n.watchdog == "1" || n.watchdogSpan > 0 || n.ready) && (r.state == Starting || r.state == Ready):
		r.watchdogAt = now.Add(time.Duration(r.watchdog))
	}
}

// changeMain makes another process of the service its main one.
func (s *Supervisor) changeMain(r *record, pid int) {
	if r.state != Starting && r.state != Ready {
		r.claimed = 0
		return
	}
	yes, perhaps := s.belongs(r, pid)
	if now := time.Now(); perhaps {
		if r.claimed != pid {
			r.claimed, r.claimedAt = pid, now
		}
		if now.Sub(r.claimedAt) < longestExec {
			return // checkRemains asks again
		}
	}
	r.claimed = 0
	if unix.Kill(pid, 0) == unix.ESRCH || !yes {
		s.opts.Log.Warn(fmt.Sprintf("%s: MAINPID=%d is refused: that is no process of the service", r.Name, pid))
		return
	}
	delete(s.pids, r.pid)
	r.adopted, r.distant = true, parentOf(pid) != os.Getpid()
	s.own(r, pid)
}

// keep holds the descriptors that a service leaves for its next run, or lets go
// of some; it returns those that are not kept.
func (s *Supervisor) keep(r *record, n notification, files []*os.File) []*os.File {
	if n.storeRemove {
		r.store = slices.DeleteFunc(r.store, func(f storedFile) bool {
			if f.name == n.name {
				f.file.Close()
			}
			return f.name == n.name
		})
	}
	if !n.store {
		return files
	}
	for len(files) > 0 && len(r.store) < r.FileDescriptorStoreMax {
		name := n.name
		if name == "" {
			name = "stored"
		}
		r.store = append(r.store, storedFile{name, files[0]})
		files = files[1:]
	}
	if len(files) > 0 {
		s.opts.Log.Warn(fmt.Sprintf("%s: %d descriptors are not kept: FileDescriptorStoreMax is %d", r.Name, len(files), r.FileDescriptorStoreMax))
	}
	return files
}

// readNotificationFd waits for the line with which a program of s6's kind says
// that it is ready.
func (s *Supervisor) readNotificationFd(ctx context.Context, name string, f *os.File, ready func()) {
	stop := context.AfterFunc(ctx, func() { f.Close() })
	go func() {
		defer recovered(s.opts.Log, "readiness of "+name)
		defer f.Close()
		defer stop()
		buf := make([]byte, 64)
		for {
			n, err := f.Read(buf)
			if slices.Contains(buf[:n], '\n') {
				_ = s.ask(ctx, ready)
				return
			}
			if err != nil {
				return // it closed it without a word: it never becomes ready
			}
		}
	}()
}
