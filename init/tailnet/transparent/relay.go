package transparent

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// join connects a program to its destination until both have ended.
func (s *Server) join(conn *net.TCPConn) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("BUG: panic in the relay of a connection", zap.Any("panic", p), zap.Stack("stack"))
		}
		conn.Close()
		s.running.Done()
	}()
	near, at := conn.RemoteAddr().(*net.TCPAddr).AddrPort(), conn.LocalAddr().(*net.TCPAddr).AddrPort()
	x := s.targets.behind(at.Addr())
	if x == nil { // somebody who tries ports
		reset(conn)
		return
	}
	if inode, err := inodeOf(near, at); err == nil { // else a search tells the port
		s.sockets.accepted(inode, near.Port())
	}
	d := s.targets.next(x)
	if d == nil { // its call was answered by another run of this program
		d = s.dial(x.to)
	}
	<-d.done
	if d.err != nil {
		s.Log.Debug("a connection to the tailnet is reset", zap.Stringer("to", x.to), zap.Error(d.err))
		reset(conn)
		return
	}
	far := d.conn
	defer far.Close()
	stop := context.AfterFunc(s.ctx, func() {
		defer func() { _ = recover() }() // of Close there is nothing to say
		reset(conn)
		far.Close()
	})
	defer stop()
	s.copyBoth(conn, far)
}

// copyBoth passes on what either side sends, its end, and its failure as a reset.
func (s *Server) copyBoth(near *net.TCPConn, far net.Conn) {
	var up sync.WaitGroup
	up.Add(1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("BUG: panic in the relay of a connection", zap.Any("panic", p), zap.Stack("stack"))
			}
			up.Done()
		}()
		if err := pass(far, near); err != nil {
			reset(near)
			reset(far)
		}
	}()
	if err := pass(near, far); err != nil {
		reset(near)
		reset(far)
	}
	up.Wait()
}

// buffers are as large as those of the SOCKS5 proxy. Beside 64 KiB, which do not stay in a
// processor's nearest cache, that made a stream 6 % faster, and 16 KiB made it 6 % slower.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// pass copies until from ends, and ends to.
func pass(to, from net.Conn) error {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	// Without their own methods: the kernel has no way from one to the other.
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *b); err != nil {
		return err
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return to.Close()
}

// reset ends a connection so that the other side learns of a failure.
func reset(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// errnoOf is what connect returns for a failed dial. The tailnet's stack has errors of its
// own, which are told by their words.
func errnoOf(err error) intercept.Answer {
	text := err.Error()
	switch {
	case errors.Is(err, unix.ECONNREFUSED) || strings.Contains(text, "refused") || strings.Contains(text, "reset by peer"):
		return intercept.Fail(unix.ECONNREFUSED)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, unix.ETIMEDOUT) || strings.Contains(text, "timed out"):
		return intercept.Fail(unix.ETIMEDOUT)
	case errors.Is(err, unix.ENETUNREACH):
		return intercept.Fail(unix.ENETUNREACH)
	}
	return intercept.Fail(unix.EHOSTUNREACH)
}
