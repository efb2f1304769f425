package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// Tailnet is how a service reaches the tailnet.
type Tailnet string

// The ways to the tailnet.
const (
	TailnetNone Tailnet = "none"
	// TailnetTransparent has the interceptor asked about its network calls.
	TailnetTransparent Tailnet = "transparent"
)

// intercepts says whether a process that is about to start gets the filter. Where nobody would
// answer it gets none: its calls would wait for ever.
func (s *Supervisor) intercepts(r *record) bool {
	r.plain = ""
	if r.Tailnet != TailnetTransparent {
		return false
	}
	who := s.records[s.opts.Interceptor]
	switch {
	case s.opts.Intercepted == nil || who == nil || who.gone:
		r.plain = "no tailnet is configured"
	case who == r:
		r.plain = "it is the tailnet"
	}
	return r.plain == ""
}

// tailnet is what the status says of a service's way to the tailnet.
func (r *record) tailnet() string {
	if r.Tailnet != TailnetTransparent || r.plain == "" {
		return string(r.Tailnet)
	}
	return "not transparent: " + r.plain
}

// listenerSocket is a pair of sockets; by theirs the shim sends its listener.
func listenerSocket() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making the sockets for the listener of a filter: %w", err)
	}
	return os.NewFile(uintptr(pair[0]), "listener"), os.NewFile(uintptr(pair[1]), "listener"), nil
}

// passListener is the shim's part. A kernel that refuses keeps no service from running.
func passListener(fd int) {
	err := intercept.Install(func(listener int) error {
		return intercept.Pass(fd, listener)
	})
	if err != nil {
		// Where the parent has gone nobody wants to know. Without a filter nobody is asked
		// about this write either, and with one it is not of the calls that are asked about.
		_, _ = unix.Write(fd, []byte(err.Error()))
	}
	unix.Close(fd)
}

// takeListener passes on what passListener sends.
func (s *Supervisor) takeListener(r *record, run string, socket *os.File) {
	defer recovered(s.opts.Log, "the filter of "+r.Name)
	listener, err := receiveListener(socket)
	if err == nil {
		s.opts.Intercepted(r.Name, listener)
		return
	}
	if errors.Is(err, intercept.ErrNoListener) {
		return // it has ended before, and says why elsewhere
	}
	s.opts.Log.Warn(r.Name+": connections to the tailnet do not work: it runs without the filter", zap.Error(err))
	_ = s.ask(context.Background(), func() {
		if r.invocation == run {
			r.plain = err.Error()
			s.tell()
		}
	})
}

// receiveListener waits for what passListener sends on a socket, which it closes.
func receiveListener(socket *os.File) (*os.File, error) {
	conn, err := net.FileConn(socket)
	if err = errors.Join(err, socket.Close()); err != nil {
		return nil, fmt.Errorf("receiving the listener of a filter: %w", err)
	}
	defer conn.Close()
	return intercept.ReceiveFrom(conn.(*net.UnixConn))
}
