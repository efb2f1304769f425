package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Registry is the part of https://github.com/opencontainers/distribution-spec that pulls
// need, for one image. It makes a layer while it sends it.
type Registry struct {
	image    Image
	progress *Progress
	byDigest map[string]int // layers

	mu     sync.Mutex
	asked  bool
	err    error
	seen   chan struct{} // closed when somebody asks for the first time
	broken chan struct{} // closed when err is set
}

// NewRegistry makes a registry that offers the image by the plan's name, with the plan's
// tags. progress may be nil.
func NewRegistry(image Image, progress *Progress) *Registry {
	r := &Registry{image: image, progress: progress, byDigest: map[string]int{}, seen: make(chan struct{}), broken: make(chan struct{})}
	for n := range image.Layers {
		r.byDigest[image.blob(n).Digest] = n
	}
	return r
}

// Err is the first failure to make a layer. Whoever pulls is only told that the
// connection broke.
func (r *Registry) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Registry) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
		close(r.broken)
	}
}

func (r *Registry) notice() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.asked {
		r.asked = true
		close(r.seen)
	}
}

func (r *Registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.notice()
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	rest, ok := strings.CutPrefix(q.URL.Path, "/v2/")
	switch {
	case q.Method != http.MethodGet && q.Method != http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is for pulling only")
		return
	case !ok:
		http.NotFound(w, q)
		return
	case rest == "":
		send(w, q, "application/json", "", []byte("{}"))
		return
	}
	what, ok := strings.CutPrefix(rest, r.image.Plan.Name+"/")
	if !ok {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "this registry has "+r.image.Plan.Name+" only")
		return
	}
	switch kind, name, _ := strings.Cut(what, "/"); kind {
	case "manifests":
		r.manifest(w, q, name)
	case "blobs":
		r.blob(w, q, name)
	case "tags":
		tags, _ := json.Marshal(map[string]any{"name": r.image.Plan.Name, "tags": r.tags()}) // strings marshal
		send(w, q, "application/json", "", tags)
	default:
		http.NotFound(w, q)
	}
}

func (r *Registry) tags() []string { return append([]string{r.image.Plan.Tag}, r.image.Plan.Tags...) }

func (r *Registry) manifest(w http.ResponseWriter, q *http.Request, name string) {
	if name != r.image.Digest && !slices.Contains(r.tags(), name) {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no "+name+" here")
		return
	}
	send(w, q, string(types.OCIManifestSchema1), r.image.Digest, r.image.Manifest)
}

func (r *Registry) blob(w http.ResponseWriter, q *http.Request, digest string) {
	if digest == r.image.ConfigDigest {
		send(w, q, "application/octet-stream", digest, r.image.Config)
		return
	}
	n, ok := r.byDigest[digest]
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "no layer has the digest "+digest)
		return
	}
	size := r.image.blob(n).Size
	from, err := resumeFrom(q.Header.Get("Range"), size)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID", err.Error())
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", digest)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(size-from, 10))
	if from > 0 {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, size-1, size))
		w.WriteHeader(http.StatusPartialContent)
	}
	if q.Method == http.MethodHead {
		return
	}
	r.stream(w, q, n, from)
}

// stream sends a layer, less its first bytes. Those are made all the same: a layer has no
// other beginning.
func (r *Registry) stream(w http.ResponseWriter, q *http.Request, n int, from int64) {
	name := r.image.Layers[n].Name
	r.progress.start(name)
	err := r.image.write(q.Context(), &skipper{r.progress.watch(w), from}, n)
	r.progress.end(name, r.image.blob(n).Size-from, err)
	if err == nil {
		return
	}
	if q.Context().Err() == nil && !hungUp(err) {
		r.fail(err)
	}
	panic(http.ErrAbortHandler) // the one way to tell the other side that the body is not whole
}

// hungUp says whether it was the other side that ended the connection.
func hungUp(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// skipper leaves out the first bytes.
type skipper struct {
	w io.Writer
	n int64
}

func (s *skipper) Write(p []byte) (int, error) {
	skip := min(s.n, int64(len(p)))
	s.n -= skip
	if skip == int64(len(p)) {
		return len(p), nil
	}
	n, err := s.w.Write(p[skip:])
	return n + int(skip), err
}

// resumeFrom reads "bytes=N-", which is what is sent after a connection broke. Any other
// range is answered by the whole, as HTTP allows.
func resumeFrom(header string, size int64) (int64, error) {
	text, ok := strings.CutPrefix(header, "bytes=")
	first, last, found := strings.Cut(text, "-")
	if !ok || !found || last != "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil || n < 0 {
		return 0, nil
	}
	if n >= size {
		return 0, fmt.Errorf("byte %d is behind the end of the layer, which has %d", n, size)
	}
	return n, nil
}

func send(w http.ResponseWriter, q *http.Request, kind, digest string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if digest != "" {
		h.Set("Docker-Content-Digest", digest)
	}
	if q.Method == http.MethodGet {
		w.Write(body) // whoever went away does not want it
	}
}

// refuse answers with the error of the specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	body, _ := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": code, "message": message}}})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) // as in send
}

// Server is a Registry that listens.
type Server struct {
	*Registry
	Addr string // host:port, where it is reached from this machine
	http *http.Server
	done chan error
}

// Listen starts the registry at an address such as "127.0.0.1:0", port 0 standing for any
// that is free. It has to be closed.
func (r *Registry) Listen(ctx context.Context, address string) (*Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	address = listener.Addr().String()
	if a, ok := listener.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		address = fmt.Sprintf("127.0.0.1:%d", a.Port) // one of all that it listens at
	}
	s := &Server{Registry: r, Addr: address, done: make(chan error, 1), http: &http.Server{
		Handler: r, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}}
	go func() { s.done <- s.http.Serve(listener) }()
	return s, nil
}

// Reference is what to pull: host:port/name:tag.
func (s *Server) Reference() string { return s.Addr + "/" + s.image.Plan.Name + ":" + s.image.Plan.Tag }

// Wait waits until the registry ends by itself, or ctx ends.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case err := <-s.done:
		s.done <- err
		return fmt.Errorf("the registry: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// Close ends the registry and every connection.
func (s *Server) Close() {
	s.http.Close() // its error is that of a listener which is closed already
	s.done <- <-s.done
}
