package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/services"
)

// Control answers on the control socket: HTTP and JSON, read by anyone in the
// container, changed by root and by init's own user.
//
//	GET  /v1/status?wait=30s&text=1 Status; with wait, once boot is over; with text,
//	                                for a person; the header Init-Phase has the phase
//	GET  /v1/logs?service=&n=&follow=1    services.Line, one JSON object a line
//	POST /v1/start?name=…           []services.Status, once the services have settled
//	POST /v1/stop?name=…
//	POST /v1/restart?name=…
var Control = Step{Name: "control", Run: serve}

// control holds the handlers.
type control struct{ *Container }

// serve opens the socket and answers in the background until the program ends.
// A socket that an earlier run left is replaced.
func serve(_ context.Context, c *Container) (string, error) {
	dir, err := makeRunDir(c.Root)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, controlSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("removing the control socket of an earlier run: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return "", fmt.Errorf("opening the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return "", fmt.Errorf("opening the control socket to all users: %w", err)
	}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.Log.Error("BUG: panic in the control socket", zap.Any("panic", p), zap.Stack("stack"))
			}
		}()
		c.Log.Error("the control socket has ended", zap.Error(accept(l, c.Log, control{c}.handle)))
	}()
	return "answers on " + path, nil
}

func (ctl control) handle(ctx context.Context, w http.ResponseWriter, r *http.Request, uid uint32) {
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/status":
		ctl.getStatus(ctx, w, r)
	case "GET /v1/logs":
		ctl.getLogs(ctx, w, r)
	case "POST /v1/start":
		ctl.change(ctx, w, r, uid, ctl.Supervisor.Start)
	case "POST /v1/stop":
		ctl.change(ctx, w, r, uid, ctl.Supervisor.Stop)
	case "POST /v1/restart":
		ctl.change(ctx, w, r, uid, ctl.Supervisor.Restart)
	default:
		http.Error(w, "there is no "+r.Method+" "+r.URL.Path, http.StatusNotFound)
	}
}

// phaseHeader tells a client its exit code without reading the body.
const phaseHeader = "Init-Phase"

func (ctl control) getStatus(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	var until <-chan time.Time
	if wait := r.URL.Query().Get("wait"); wait != "" {
		span, err := time.ParseDuration(wait)
		if err != nil {
			http.Error(w, fmt.Sprintf("wait=%s is not a time span such as 30s", wait), http.StatusBadRequest)
			return
		}
		timer := time.NewTimer(span)
		defer timer.Stop()
		until = timer.C
	}
	for {
		st, changed, err := ctl.status(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if until == nil || st.Phase != Booting {
			w.Header().Set(phaseHeader, string(st.Phase))
			if r.URL.Query().Get("text") != "" {
				_ = st.WriteText(w) // a client that has gone needs no answer
			} else {
				writeJSON(w, st)
			}
			return
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-until:
			until = nil
		case <-ctx.Done():
			return
		}
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // a client that has gone needs no answer
}

// settleTimeout bounds how long a change waits for its outcome.
const settleTimeout = 2 * time.Minute

func (ctl control) change(ctx context.Context, w http.ResponseWriter, r *http.Request, uid uint32, do func(context.Context, ...string) error) {
	if uid != 0 && int(uid) != os.Getuid() {
		http.Error(w, "only root may start and stop services", http.StatusForbidden)
		return
	}
	names := r.URL.Query()["name"]
	if len(names) == 0 {
		http.Error(w, "no service was named", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err := do(ctx, names...)
	if unknown := (*services.UnknownError)(nil); errors.As(err, &unknown) {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	ctl.settled(ctx, w, names)
}

// settled answers once none of the services is on its way to another state.
func (ctl control) settled(ctx context.Context, w http.ResponseWriter, names []string) {
	for {
		snap, err := ctl.Supervisor.Snapshot(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		var list []services.Status
		moving := false
		for _, s := range snap.Services {
			for _, name := range names {
				if s.Name == name {
					list = append(list, s)
					moving = moving || s.State == services.Starting || s.State == services.Stopping
				}
			}
		}
		if !moving {
			writeJSON(w, list)
			return
		}
		select {
		case <-snap.Changed:
		case <-ctx.Done():
			writeJSON(w, list)
			return
		}
	}
}

func (ctl control) getLogs(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	service := query.Get("service")
	n, _ := strconv.Atoi(query.Get("n")) // 0: all that is kept
	lines, more, ok := ctl.Journal.Lines(service, 0, n)
	if !ok && service != "" && !ctl.exists(ctx, service) {
		http.Error(w, fmt.Sprintf("no service is called %s", service), http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(w)
	var last uint64
	for {
		for _, line := range lines {
			if enc.Encode(line) != nil {
				return
			}
			last = line.Seq
		}
		if query.Get("follow") == "" {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
		lines, more, _ = ctl.Journal.Lines(service, last, 0)
	}
}

func (ctl control) exists(ctx context.Context, name string) bool {
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return false
	}
	for _, s := range snap.Services {
		if s.Name == name {
			return true
		}
	}
	return false
}
