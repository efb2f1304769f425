package boot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// The control socket speaks HTTP/1.1, one request a connection. The standard
// library reads the request; its server is left out, since with TLS and HTTP/2
// it would add 2 MB to a program whose every page counts as PID 1's memory.

// Limits of the control socket. Each client is a process of this container.
const (
	maxClients     = 64
	requestBytes   = 64 << 10
	requestTimeout = 5 * time.Second
	answerTimeout  = time.Minute // of one write: a client may page through a log
	acceptPause    = 100 * time.Millisecond
)

// handler answers one request; ctx ends when the client has gone.
type handler func(ctx context.Context, w http.ResponseWriter, r *http.Request, uid uint32)

// accept serves each connection in a goroutine of its own until the socket, which name
// tells of, is closed. An error that passes, such as no free descriptor, is said once and
// waited out.
func accept(l *net.UnixListener, log *zap.Logger, name string, serve func(*net.UnixConn)) error {
	room := make(chan struct{}, maxClients)
	failing := false
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("taking a connection: %w", err)
		}
		if err != nil {
			if !failing {
				log.Warn(name+" cannot take a connection; trying on", zap.Error(err))
			}
			failing = true
			<-time.After(acceptPause)
			continue
		}
		failing = false
		room <- struct{}{}
		go func() {
			defer func() {
				if p := recover(); p != nil {
					log.Error("BUG: panic while answering a client of "+name, zap.Any("panic", p), zap.Stack("stack"))
				}
				conn.Close()
				<-room
			}()
			serve(conn)
		}()
	}
}

func answer(conn *net.UnixConn, handle handler) {
	w := &response{conn: conn, header: http.Header{}}
	if err := conn.SetReadDeadline(time.Now().Add(requestTimeout)); err != nil {
		return
	}
	r, err := http.ReadRequest(bufio.NewReader(io.LimitReader(conn, requestBytes)))
	if err != nil {
		http.Error(w, "this is no HTTP request", http.StatusBadRequest)
		return
	}
	uid, err := peer(conn)
	if err != nil {
		http.Error(w, "the kernel does not say who asks", http.StatusForbidden)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer func() { _ = recover(); cancel() }()
		_ = conn.SetReadDeadline(time.Time{})
		_, _ = conn.Read(make([]byte, 1)) // returns when the client has gone
	}()
	handle(ctx, w, r, uid)
	w.WriteHeader(http.StatusOK) // for an answer without a body
}

// peer is the user on the other side of a connection.
func peer(conn *net.UnixConn) (uid uint32, err error) {
	cred, err := credentials(conn)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// peerProcess is the process on the other side.
func peerProcess(conn *net.UnixConn) (pid int, err error) {
	cred, err := credentials(conn)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

func credentials(conn *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return nil, err
	}
	return cred, credErr
}

// response is a http.ResponseWriter whose end is that of the connection.
type response struct {
	conn   net.Conn
	header http.Header
	sent   bool
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(code int) {
	if w.sent {
		return
	}
	w.sent = true
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nConnection: close\r\n", code, http.StatusText(code))
	for _, key := range slices.Sorted(maps.Keys(w.header)) {
		head += fmt.Sprintf("%s: %s\r\n", key, w.header.Get(key))
	}
	_, _ = w.send([]byte(head + "\r\n")) // a client that has gone needs no answer
}

func (w *response) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.send(b)
}

// send gives up on a client that does not read: its place is wanted by others.
func (w *response) send(b []byte) (int, error) {
	if err := w.conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	return w.conn.Write(b)
}
