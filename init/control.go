package boot

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// Control answers on the control socket: HTTP and JSON, read by anyone in the
// container, changed by root and by init's own user. openapi.yaml beside this
// file describes it; routes is all of it.
var Control = Step{Name: "control", Run: serve}

// control holds the handlers.
type control struct{ *Container }

// A route is one thing that can be asked of the control socket.
type route struct {
	method, path string
	do           func(ctx context.Context, c call) error
}

// call is one request and the way back.
type call struct {
	w     http.ResponseWriter
	query url.Values
	uid   uint32 // who asks
}

// routes is the whole interface. What changes anything is a POST, and for root.
func (ctl control) routes() []route {
	return []route{
		{http.MethodGet, "/v1/status", ctl.getStatus},
		{http.MethodGet, "/v1/logs", ctl.getLogs},
		{http.MethodGet, "/v1/top", ctl.getTop},
		{http.MethodGet, "/v1/show", ctl.getUnit},
		{http.MethodGet, "/v1/cat", ctl.getDefinition},
		{http.MethodPost, "/v1/start", ctl.change(ctl.start)},
		{http.MethodPost, "/v1/stop", ctl.change(ctl.stop)},
		{http.MethodPost, "/v1/restart", ctl.change(ctl.restart)},
		{http.MethodPost, "/v1/reload", ctl.postReload},
		{http.MethodPost, "/v1/kill", ctl.postKill},
		{http.MethodPost, "/v1/enable", ctl.postEnable},
		{http.MethodPost, "/v1/disable", ctl.postDisable},
		{http.MethodPost, "/v1/mask", ctl.postMask},
		{http.MethodPost, "/v1/unmask", ctl.postUnmask},
	}
}

// serve opens the socket and answers in the background until the program ends.
func serve(_ context.Context, c *Container) (string, error) {
	dir, err := c.runDir()
	if err != nil {
		return "", err
	}
	l, err := c.openControl(dir)
	if err != nil {
		return "", err
	}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.Log.Error("BUG: panic in the control socket", zap.Any("panic", p), zap.Stack("stack"))
			}
		}()
		err := accept(l, c.Log, "the control socket", func(conn *net.UnixConn) { answer(conn, control{c}.handle) })
		c.Log.Error("the control socket has ended", zap.Error(err))
	}()
	if err := c.filters.serveFilters(); err != nil {
		return "", err
	}
	return "answers on " + l.Addr().String(), nil
}

func (ctl control) handle(ctx context.Context, w http.ResponseWriter, r *http.Request, uid uint32) {
	for _, route := range ctl.routes() {
		if route.method != r.Method || route.path != r.URL.Path {
			continue
		}
		if r.Method != http.MethodGet && uid != 0 && int(uid) != os.Getuid() {
			http.Error(w, "only root may start, stop and change services", http.StatusForbidden)
			return
		}
		if err := route.do(ctx, call{w, r.URL.Query(), uid}); err != nil {
			http.Error(w, err.Error(), codeOf(err))
		}
		return
	}
	http.Error(w, "there is no "+r.Method+" "+r.URL.Path, http.StatusNotFound)
}

// badRequest is the error for a request that makes no sense.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// notAllowed is the error for what only root may see.
type notAllowed string

func (e notAllowed) Error() string { return string(e) }

// codeOf is the status code of the answer that an error is.
func codeOf(err error) int {
	var bad badRequest
	var no notAllowed
	var unknown *unknownError
	var refused *refusedError
	var problem *services.Problem
	switch {
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.As(err, &no):
		return http.StatusForbidden
	case errors.As(err, &unknown):
		return http.StatusNotFound
	case errors.As(err, &refused), errors.As(err, &problem):
		return http.StatusUnprocessableEntity
	case errors.Is(err, services.ErrOver), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusConflict
}

// unknownError is the answer to a name that no service has.
type unknownError struct {
	name  string
	known []string
}

func (e *unknownError) Error() string {
	text := "no service is called " + e.name
	if near := services.Nearest(e.name, e.known); near != "" {
		return text + "; did you mean " + near + "?"
	}
	return text + "; there are: " + strings.Join(e.known, ", ")
}

// known are the names in a snapshot.
func known(snap services.Snapshot) (names []string) {
	for _, s := range snap.Services {
		names = append(names, s.Name)
	}
	return names
}

// serviceNames are the services that a request names. They may be written as
// units, by an alias, and by Debian's name for the SSH server.
func (ctl control) serviceNames(ctx context.Context, query url.Values) ([]string, error) {
	if len(query["name"]) == 0 {
		return nil, nil
	}
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range query["name"] {
		name = strings.TrimSuffix(name, ".service")
		switch {
		case name == "":
			return nil, badRequest("a service's name is empty")
		case slices.Contains(known(snap), name):
		case name == "ssh":
			name = sshdName
		case unitfile.State(ctl.Root, name) == "alias":
			if list, _ := unitfile.Load(ctl.Root, name); len(list) > 0 {
				name = list[0].Name // what is wrong is said where it is started
			}
		}
		names = append(names, name)
	}
	return names, nil
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // a client that has gone needs no answer
	return nil
}

// settleTimeout bounds how long a change waits for its outcome.
const settleTimeout = 2 * time.Minute

// start also knows the units that are installed and not enabled.
func (ctl control) start(ctx context.Context, names ...string) error {
	if err := ctl.load(ctx, names...); err != nil {
		return err
	}
	return ctl.Supervisor.Start(ctx, names...)
}

// stop leaves out the units that are installed and were never started.
func (ctl control) stop(ctx context.Context, names ...string) error {
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !slices.Contains(known(snap), name) && installed(unitfile.State(ctl.Root, name))
	})
	return ctl.Supervisor.Stop(ctx, names...)
}

func (ctl control) restart(ctx context.Context, names ...string) error {
	if err := ctl.load(ctx, names...); err != nil {
		return err
	}
	return ctl.Supervisor.Restart(ctx, names...)
}

// change makes a handler of a method that changes services by name.
func (ctl control) change(do func(context.Context, ...string) error) func(context.Context, call) error {
	return func(ctx context.Context, c call) error {
		names, err := ctl.serviceNames(ctx, c.query)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return badRequest("no service was named")
		}
		ctx, cancel := context.WithTimeout(ctx, settleTimeout)
		defer cancel()
		if err := do(ctx, names...); err != nil {
			return ours(err)
		}
		return ctl.settled(ctx, c, names)
	}
}

// ours gives an unknown name the sentence that clients get for it.
func ours(err error) error {
	var unknown *services.UnknownError
	if errors.As(err, &unknown) {
		return &unknownError{unknown.Name, unknown.Known}
	}
	return err
}

// settled answers once none of the services is on its way to another state; with
// wait=0 at once.
func (ctl control) settled(ctx context.Context, c call, names []string) error {
	list, err := ctl.await(ctx, names, c.query.Get("wait") != "0")
	if err != nil {
		return err
	}
	return writeJSON(c.w, list)
}

func (ctl control) await(ctx context.Context, names []string, wait bool) ([]services.Status, error) {
	for {
		snap, err := ctl.Supervisor.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		list := []services.Status{}
		moving := false
		for _, s := range snap.Services {
			if slices.Contains(names, s.Name) {
				list = append(list, s)
				moving = moving || s.Reloading || s.State == services.Starting || s.State == services.Stopping
			}
		}
		if !moving || !wait {
			return list, nil
		}
		select {
		case <-snap.Changed:
		case <-ctx.Done():
			return list, nil
		}
	}
}
