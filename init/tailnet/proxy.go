package tailnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"tailscale.com/net/proxymux"
	"tailscale.com/net/socks5"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

const (
	headTime = 10 * time.Second // how long the head of a request to a proxy may take
	idleTime = 30 * time.Second // after which a connection to a server is given up
)

// proxies serves SOCKS5 and HTTP at their addresses, which may be one. An address that
// cannot be had is a warning: the tailnet works without.
func (p *program) proxies() (end func()) {
	socks, web := p.Config.SOCKS5, p.Config.HTTP
	var opened []net.Listener
	open := func(address string) net.Listener {
		if address == "" {
			return nil
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			p.status.warn(fmt.Sprintf("there is no proxy into the tailnet: %v", err))
			return nil
		}
		opened = append(opened, l)
		p.status.amend(func(s *wire.Status) {
			if s.Proxy == "" {
				s.Proxy = l.Addr().String()
			}
		})
		return l
	}
	socksListener := open(socks)
	var webListener net.Listener
	if web == socks && socksListener != nil {
		socksListener, webListener = proxymux.SplitSOCKSAndHTTP(socksListener)
	} else if web != socks {
		webListener = open(web)
	}
	if socksListener != nil {
		server := &socks5.Server{Dialer: p.dialHalves, Logf: p.Log.Named("socks5").Sugar().Debugf}
		go p.ended("the SOCKS5 proxy", func() error { return server.Serve(socksListener) })
	}
	if webListener != nil {
		server := &http.Server{Handler: p.httpProxy(), ReadHeaderTimeout: headTime, ErrorLog: zap.NewStdLog(p.Log)}
		go p.ended("the HTTP proxy", func() error { return server.Serve(webListener) })
	}
	return func() {
		for _, l := range opened {
			l.Close()
		}
	}
}

// halves is a connection of the SOCKS5 server, which ends both directions as soon as one has
// ended: where a client has said all it waits for the answer.
type halves struct {
	net.Conn
	heard chan struct{} // closed when nothing comes back any more
	once  sync.Once
}

func (p *program) dialHalves(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := p.dial(ctx, network, address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return c, err
	}
	return &halves{Conn: c, heard: make(chan struct{})}, nil
}

func (h *halves) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if err != nil {
		h.once.Do(func() { close(h.heard) })
	}
	return n, err
}

// ReadFrom is how the server has all of what a client says written.
func (h *halves) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(struct{ io.Writer }{h.Conn}, r)
	if w, ok := h.Conn.(interface{ CloseWrite() error }); ok && err == nil {
		if err = w.CloseWrite(); err == nil {
			<-h.heard
		}
	}
	return n, err
}

// Close ends the wait as well.
func (h *halves) Close() error {
	h.once.Do(func() { close(h.heard) })
	return h.Conn.Close()
}

// ended says why something has stopped serving, unless it was told to.
func (p *program) ended(what string, serve func() error) {
	if err := serve(); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, io.EOF) {
		p.Log.Error(what+" has ended", zap.Error(err))
	}
}

// httpProxy answers CONNECT, and requests for absolute URLs of http.
func (p *program) httpProxy() http.Handler {
	plain := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
				r.Out.Header[name] = r.In.Header[name]
			}
		},
		Transport: &http.Transport{DialContext: p.dial, IdleConnTimeout: idleTime},
		ErrorLog:  zap.NewStdLog(p.Log.Named("proxy")),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			p.connect(w, r)
		case strings.HasPrefix(r.RequestURI, "/") || r.RequestURI == "*":
			http.Error(w, "this is a proxy: it wants an absolute URL, or CONNECT", http.StatusBadRequest)
		default:
			plain.ServeHTTP(w, r)
		}
	})
}

// connect makes a tunnel.
func (p *program) connect(w http.ResponseWriter, r *http.Request) {
	backend, err := p.dial(r.Context(), "tcp", r.RequestURI)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer backend.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	// What the client said right after its request is in the buffer.
	if k := buffered.Reader.Buffered(); k > 0 {
		if _, err := io.CopyN(backend, buffered, int64(k)); err != nil {
			return
		}
	}
	join(client, backend)
}
