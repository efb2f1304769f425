package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	"tailscale.com/client/tailscale/apitype"
)

// localAPI is where the command-line tool of Tailscale looks for its daemon.
const localAPI = "var/run/tailscale/tailscaled.sock"

// serveLocalAPI lets the command-line tool of Tailscale work in the box: the tool speaks
// HTTP over a socket, and tsnet answers that inside this process. Root may do everything,
// others only ask, as with tailscaled.
func (p *program) serveLocalAPI() (end func()) {
	end = func() {}
	path := filepath.Join(p.Root, localAPI)
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		p.status.warn("the command tailscale speaks to another daemon: one answers at /" + localAPI)
		return end
	}
	l, err := func() (net.Listener, error) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		return listenUnix(path, 0o666)
	}()
	if err != nil {
		p.status.warn(fmt.Sprintf("the command tailscale does not work in the box: %v", err))
		return end
	}
	server := &http.Server{
		Handler: p.localAPIProxy(), ReadHeaderTimeout: requestTime, MaxHeaderBytes: requestBytes,
		ConnContext: withPeer, ErrorLog: zap.NewStdLog(p.Log),
	}
	go p.ended("the socket of the command tailscale", func() error { return server.Serve(&backDoor{l, p}) })
	return func() { server.Close() }
}

// backDoor takes the connections of root out of a listener, and joins them with the node as
// they are. Only what others say is read.
type backDoor struct {
	net.Listener
	program *program
}

func (b *backDoor) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		n := b.program.life.Load()
		if err != nil || n == nil || peerUID(c) != 0 {
			return c, err
		}
		go func() {
			backend, err := n.lc.Dial(context.Background(), "tcp", apitype.LocalAPIHost+":80")
			if err != nil {
				c.Close()
				return
			}
			join(c, backend)
		}()
	}
}

// readable are the parts of the LocalAPI that change nothing and tell no secret.
var readable = []string{"/localapi/v0/status", "/localapi/v0/whois", "/localapi/v0/prefs", "/localapi/v0/watch-ipn-bus", "/localapi/v0/usermetrics"}

func (p *program) localAPIProxy() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", apitype.LocalAPIHost
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1, // notifications are a stream
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				n := p.life.Load()
				if n == nil {
					return nil, errNoNode
				}
				return n.lc.Dial(ctx, network, address)
			},
		},
		ErrorLog: zap.NewStdLog(p.Log.Named("localapi")),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			code := http.StatusBadGateway
			if errors.Is(err, errNoNode) {
				code = http.StatusServiceUnavailable
			}
			http.Error(w, err.Error(), code)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asker(r) != 0 && !(r.Method == http.MethodGet && slices.Contains(readable, r.URL.Path)) {
			http.Error(w, "access denied: only root may do this", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
