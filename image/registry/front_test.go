package registry

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	memory "github.com/google/go-containerregistry/pkg/registry"
)

// request is one that a front has seen.
type request struct {
	method, path string
	body         int64 // how many bytes of it were read
}

// front is a registry in this process. Its uploads are those of the specification, which can
// be resumed; everything else is go-containerregistry's. Before each request a fault may
// happen.
type front struct {
	*httptest.Server
	next http.Handler

	mu       sync.Mutex
	uploads  map[string][]byte
	requests []request
	count    int // of uploads

	// fault is asked before each request; nil is none.
	fault func(n int, r *http.Request) *fault
	end   chan struct{} // closed when the test ends
}

// fault is what goes wrong with one request.
type fault struct {
	status int
	header http.Header
	body   string
	after  int64         // so many bytes of the body are read first
	cut    bool          // the connection ends then
	stall  bool          // nothing more is read then
	wait   time.Duration // before anything else
	lose   bool          // the upload is forgotten then
	digest string        // what the registry says that it has
	short  bool          // it says that all is well then, and has no more
}

func newFront(t *testing.T, options ...memory.Option) *front {
	t.Helper()
	f := &front{uploads: map[string][]byte{}, end: make(chan struct{})}
	f.next = memory.New(append(options, memory.Logger(log.New(io.Discard, "", 0)))...)
	f.Server = httptest.NewUnstartedServer(f)
	f.Server.Config.ErrorLog = log.New(io.Discard, "", 0)
	f.Server.Start()
	t.Cleanup(func() {
		close(f.end)
		f.Server.Close()
	})
	return f
}

func (f *front) host() string { return strings.TrimPrefix(f.URL, "http://") }

// seen counts requests by method, and by a part of the path.
func (f *front) seen(method, part string) (n int, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if r.method == method && strings.Contains(r.path, part) {
			n++
			bytes += r.body
		}
	}
	return n, bytes
}

func (f *front) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = nil
}

func (f *front) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.uploads)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	n := 0
	for _, o := range f.requests {
		if o.method == r.Method {
			n++
		}
	}
	f.requests = append(f.requests, request{r.Method, r.URL.String(), 0})
	i := len(f.requests) - 1
	var ft *fault
	if f.fault != nil {
		ft = f.fault(n, r)
	}
	f.mu.Unlock()
	if ft == nil {
		ft = &fault{}
	}
	if ft.wait > 0 {
		<-time.After(ft.wait)
	}
	if !strings.Contains(r.URL.Path, "/blobs/uploads/") {
		f.plain(w, r, ft)
		return
	}
	f.upload(w, r, ft, i)
}

// refuse answers with the fault's status.
func (ft *fault) refuse(w http.ResponseWriter) {
	for k, v := range ft.header {
		w.Header()[k] = v
	}
	w.WriteHeader(ft.status)
	io.WriteString(w, ft.body)
}

func (f *front) plain(w http.ResponseWriter, r *http.Request, ft *fault) {
	switch {
	case ft.cut:
		panic(http.ErrAbortHandler)
	case ft.stall:
		<-f.end
	case ft.status != 0:
		ft.refuse(w)
	case ft.digest != "":
		w.Header().Set("Docker-Content-Digest", ft.digest)
		w.WriteHeader(http.StatusCreated)
	default:
		f.next.ServeHTTP(w, r)
	}
}

func (f *front) upload(w http.ResponseWriter, r *http.Request, ft *fault, n int) {
	id := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	f.mu.Lock()
	data, known := f.uploads[id]
	f.mu.Unlock()
	switch {
	case r.Method == http.MethodPost && (ft.status != 0 || ft.cut || ft.stall):
		f.plain(w, r, ft)
		return
	case r.Method == http.MethodPost && r.URL.Query().Get("mount") != "" && !ft.lose: // else it begins an upload
		f.mount(w, r)
		return
	case r.Method == http.MethodPost:
		f.mu.Lock()
		f.count++
		id = strconv.Itoa(f.count)
		f.uploads[id] = nil
		f.mu.Unlock()
		w.Header().Set("Location", r.URL.Path+id+"?state=0")
		w.Header().Set("Range", "0-0")
		w.WriteHeader(http.StatusAccepted)
		return
	case !known && ft.status == 0:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"blob upload unknown to registry"}]}`)
		return
	}
	if r.Method == http.MethodPatch {
		limit := int64(1 << 62)
		if ft.status != 0 || ft.cut || ft.stall || ft.lose || ft.short {
			limit = ft.after
		}
		b, err := io.ReadAll(io.LimitReader(r.Body, limit))
		f.mu.Lock()
		data = append(slices.Clip(data), b...)
		if _, ok := f.uploads[id]; ok { // else it was given up meanwhile
			f.uploads[id] = data
		}
		f.requests[n].body = int64(len(b))
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
	f.finish(w, r, ft, id, data)
}

// finish is what an upload does when its bytes are read.
func (f *front) finish(w http.ResponseWriter, r *http.Request, ft *fault, id string, data []byte) {
	if ft.lose {
		f.drop(id)
	}
	switch {
	case ft.cut:
		panic(http.ErrAbortHandler)
	case ft.stall:
		<-f.end
		return
	case ft.status != 0:
		ft.refuse(w)
		return
	}
	w.Header().Set("Location", r.URL.Path+"?state="+strconv.Itoa(len(data)))
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(data)-1, 0)))
	if len(ft.header) > 0 {
		w.Header().Set("Range", ft.header.Get("Range"))
	}
	switch r.Method {
	case http.MethodPatch:
		w.WriteHeader(http.StatusAccepted)
	case http.MethodGet:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		f.drop(id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPut:
		f.drop(id)
		if ft.digest != "" {
			w.Header().Set("Docker-Content-Digest", ft.digest)
			w.WriteHeader(http.StatusCreated)
			return
		}
		u := *r.URL
		u.Path = strings.TrimSuffix(u.Path, id)
		whole := httptest.NewRequest(http.MethodPost, u.String(), strings.NewReader(string(data)))
		f.next.ServeHTTP(w, whole)
	}
}

func (f *front) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.uploads, id)
}

// mount copies a blob, which in go-containerregistry's registry belongs to all repositories.
func (f *front) mount(w http.ResponseWriter, r *http.Request) {
	digest, from := r.URL.Query().Get("mount"), r.URL.Query().Get("from")
	head := httptest.NewRecorder()
	f.next.ServeHTTP(head, httptest.NewRequest(http.MethodHead, "/v2/"+from+"/blobs/"+digest, nil))
	if head.Code != http.StatusOK {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}
