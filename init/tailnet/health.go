package tailnet

import (
	"cmp"
	"fmt"
	"net"
	"net/http"

	"go.uber.org/zap"
)

// localAddress is where health and metrics are served unless somebody says where:
// containerboot's port, on loopback.
const localAddress = "127.0.0.1:9002"

// serveHealth serves /healthz and /metrics as Tailscale's own container does, where they
// are wanted.
func (p *program) serveHealth() (end func()) {
	if !p.Config.Health && !p.Config.Metrics {
		return func() {}
	}
	l, err := net.Listen("tcp", cmp.Or(p.Config.LocalAddress, localAddress))
	if err != nil {
		p.status.warn(fmt.Sprintf("neither health nor metrics of the tailnet are served: %v", err))
		return func() {}
	}
	mux := http.NewServeMux()
	if p.Config.Health {
		mux.HandleFunc("GET /healthz", p.healthz)
	}
	if p.Config.Metrics {
		mux.HandleFunc("GET /metrics", p.metrics)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: requestTime, MaxHeaderBytes: requestBytes, ErrorLog: zap.NewStdLog(p.Log)}
	go p.ended("health and metrics", func() error { return server.Serve(l) })
	return func() { server.Close() }
}

// healthz is healthy as soon as the node has an address.
func (p *program) healthz(w http.ResponseWriter, _ *http.Request) {
	s := p.status.get()
	if n := p.life.Load(); n == nil || !n.up() || len(s.Addresses) == 0 {
		http.Error(w, line(s), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// metrics are those that Tailscale has for users.
func (p *program) metrics(w http.ResponseWriter, r *http.Request) {
	n := p.life.Load()
	if n == nil {
		http.Error(w, errNoNode.Error(), http.StatusServiceUnavailable)
		return
	}
	text, err := n.lc.UserMetrics(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = w.Write(text) // the client has gone
}
