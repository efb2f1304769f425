package tailnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// Limits of a request on the socket: each client is a process of this box.
const (
	requestTime  = 5 * time.Second
	requestBytes = 64 << 10
)

// serve answers on the socket in the run directory. Anybody in the box may ask; only root
// may change something.
func (p *program) serve(ctx context.Context) (end func(), err error) {
	l, err := listenUnix(filepath.Join(p.Run, wire.Socket), 0o666)
	if err != nil {
		return nil, fmt.Errorf("opening the tailnet's socket: %w", err)
	}
	server := &http.Server{
		Handler: p.routes(), ReadHeaderTimeout: requestTime, MaxHeaderBytes: requestBytes,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: withPeer, ErrorLog: zap.NewStdLog(p.Log),
	}
	go p.ended("the tailnet's socket", func() error { return server.Serve(l) })
	return func() { server.Close() }, nil
}

// listenUnix opens a socket in place of one that an earlier run has left.
func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// routes is everything that can be asked.
func (p *program) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.status.get(), nil) })
	mux.HandleFunc("GET /metrics", p.metrics)
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, r *http.Request) {
		n := p.life.Load()
		if n == nil {
			answer(w, nil, errNoNode)
			return
		}
		list, err := n.peers(r.Context(), r.FormValue("ping") == "1")
		answer(w, list, err)
	})
	mux.HandleFunc("POST /login", p.root(func(n *node, r *http.Request) error {
		var body struct {
			AuthKey string `json:"authKey"`
		}
		if r.ContentLength != 0 {
			if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, requestBytes)).Decode(&body); err != nil {
				return fmt.Errorf("reading the request: %w", err)
			}
		}
		return n.logIn(r.Context(), body.AuthKey)
	}))
	mux.HandleFunc("POST /logout", p.root(func(n *node, r *http.Request) error { return n.lc.Logout(r.Context()) }))
	return mux
}

// errNoNode answers while there is nothing to be asked.
var errNoNode = errors.New("the tailnet is not up; init status says why")

// root lets only root do what changes the node.
func (p *program) root(do func(*node, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if asker(r) != 0 {
			http.Error(w, "only root may change the tailnet", http.StatusForbidden)
			return
		}
		n := p.life.Load()
		if n == nil {
			answer(w, nil, errNoNode)
			return
		}
		answer(w, struct{}{}, do(n, r))
	}
}

// answer writes JSON, or an error as text.
func answer(w http.ResponseWriter, v any, err error) {
	switch {
	case errors.Is(err, errNoNode):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the client has gone
	}
}

// peerKey is where a connection's user stands in its context.
type peerKey struct{}

// withPeer notes who is at the other end of a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerUID(c))
}

// asker is the user who sent a request, -1 where it cannot be told.
func asker(r *http.Request) int {
	if uid, ok := r.Context().Value(peerKey{}).(int); ok {
		return uid
	}
	return -1
}

// peerUID is the user at the other end, -1 where it cannot be told.
func peerUID(c net.Conn) int {
	uid := -1
	u, ok := c.(*net.UnixConn)
	if !ok {
		return uid
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return uid
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	return uid
}
