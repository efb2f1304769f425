// Exporter answers Prometheus with the metrics of a nix2vast container:
//
//	exporter --socket SOCKET ADDRESS
//
// It is a client of init's control socket and keeps no state of the container:
// each scrape of /metrics asks init. /healthz answers 200 with init's phase, and
// 503 where init does not answer.
//
// The lines "# HELP" of /metrics are its manual.
//
// It is a program of its own since Prometheus' library would cost PID 1 a
// millisecond and more at each start, and megabytes of memory. It ships inside
// init, which runs it as the service metrics where NIX2VAST_METRICS_ADDR is set.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	socket := flag.String("socket", "/run/nix2vast/control.sock", "init's control socket")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "it is: exporter --socket SOCKET ADDRESS")
		os.Exit(2)
	}
	if err := serve(*socket, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Limits of the server, which a whole network may reach.
const (
	requestTimeout = 5 * time.Second
	answerTimeout  = 20 * time.Second // above that of a scrape
	idleTimeout    = 5 * time.Minute  // above the usual pause between two scrapes
	requestBytes   = 64 << 10
	maxScrapes     = 4 // at the same time
)

// serve answers on address until something fails.
func serve(socket, address string) error {
	// A small program on a machine of hundreds of cores.
	runtime.GOMAXPROCS(min(2, runtime.GOMAXPROCS(0)))
	// Of a program that was executed from memory the kernel knows no name.
	_ = os.WriteFile("/proc/self/comm", []byte("exporter"), 0)
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("opening the address of the metrics: %w", err)
	}
	defer l.Close()
	giveUpRoot()
	handler, err := routes(client{socket})
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: requestBytes,
	}
	fmt.Println("metrics on http://" + l.Addr().String() + "/metrics")
	return fmt.Errorf("serving the metrics: %w", server.Serve(l))
}

// routes is everything that can be asked.
func routes(cl client) (http.Handler, error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(newCollector(cl)); err != nil {
		return nil, fmt.Errorf("registering the metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: log.New(os.Stderr, "", 0), ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		st, err := cl.status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, st.Phase)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "the metrics are at /metrics")
	})
	return mux, nil
}

// nobody is the user and the group that own nothing, in every distribution.
const nobody = 65534

// giveUpRoot becomes nobody: reading the control socket needs no more, and an
// address below 1024 is open by now. Where the container may not switch users it
// changes what it can.
func giveUpRoot() {
	if os.Geteuid() != 0 {
		return
	}
	_ = syscall.Setgroups(nil)
	_ = syscall.Setgid(nobody)
	_ = syscall.Setuid(nobody)
}
