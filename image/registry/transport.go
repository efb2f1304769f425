package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Net is how a registry is talked to. The zero value is right outside of tests.
type Net struct {
	// AllowHTTP permits plain HTTP, and with it anybody to read what is sent. This
	// machine's own addresses need no permission.
	AllowHTTP bool
	// CA is PEM: authorities that are trusted besides the system's.
	CA []byte
	// Stall is after how long a connection on which nothing moves is given up; 60 s if 0.
	Stall time.Duration
	// Wait waits between two tries, and fails where the context is done first.
	Wait func(context.Context, time.Duration) error

	note func(format string, args ...any) // tells people why nothing happens
}

// tries is how often something is asked for that fails for a reason which may pass: with
// pauses of 1, 2, 4, 8 and 16 s between them.
const tries = 6

// maxPause is how long a registry may ask to be left alone.
const maxPause = 5 * time.Minute

// commitFactor is how much longer a registry may be silent where it is to put a blob
// in its place: some copy it first.
const commitFactor = 5

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// transport is below authentication: each request on the wire passes through it.
type transport struct {
	net   Net
	inner http.RoundTripper

	mu      sync.Mutex
	secrets map[string]bool // what was shown to the registry
	reached bool            // it has answered once
}

func newTransport(n Net) (*transport, error) {
	if n.Stall == 0 {
		n.Stall = time.Minute
	}
	if n.note == nil {
		n.note = func(string, ...any) {}
	}
	if n.Wait == nil {
		n.Wait = wait
	}
	inner := http.DefaultTransport.(*http.Transport).Clone()
	inner.MaxIdleConnsPerHost = lookups
	inner.WriteBufferSize, inner.ReadBufferSize = 256<<10, 64<<10
	if len(n.CA) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a system without any: the given ones are what there is
		}
		if !pool.AppendCertsFromPEM(n.CA) {
			return nil, errors.New("the file of --tls-ca holds no certificate in PEM form")
		}
		inner.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &transport{net: n, inner: inner, secrets: map[string]bool{}}, nil
}

var errUsed = errors.New("the stream was begun with a token that had run out")

// RoundTrip asks again where that may help, and where the body can be sent again.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" && !t.net.AllowHTTP && !loopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("%s speaks plain HTTP only, which anybody on the way can read and change: %w",
			req.URL.Host, errPlain)
	}
	t.remember(req)
	if b, ok := req.Body.(*stream); ok {
		// Authentication sends a request again when its token ran out, with what is
		// left of the body: that must not become a blob.
		if b.used.Swap(true) {
			return nil, errUsed
		}
		return t.attempt(req)
	}
	last := req.Body != nil && req.Body != http.NoBody && req.GetBody == nil
	for n := 1; ; n++ {
		if req.GetBody != nil {
			// Whoever sends it again, here or above, has read the body once.
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			req = req.Clone(req.Context())
			req.Body = body
		}
		resp, err := t.attempt(req)
		if last || n == tries || !t.passing(req.Context(), resp, err) {
			return resp, err
		}
		pause := pauseBefore(n, resp)
		if resp != nil {
			io.Copy(io.Discard, io.LimitReader(resp.Body, maxMessage)) // so that the connection is used again
			resp.Body.Close()
		}
		why := err
		if why == nil {
			why = errors.New(resp.Status)
		}
		if err := t.pause(req.Context(), pause, why); err != nil {
			return nil, err
		}
	}
}

// pause waits before the next try, and says so.
func (t *transport) pause(ctx context.Context, d time.Duration, why error) error {
	t.net.note("%s; trying again in %s", t.message(why.Error()), d.Round(time.Second))
	return t.net.Wait(ctx, d)
}

// passing says whether a failure is of the kind that passes.
func (t *transport) passing(ctx context.Context, resp *http.Response, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err == nil {
		t.mu.Lock()
		t.reached = true
		t.mu.Unlock()
		return passing(resp.StatusCode)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, syscall.ECONNREFUSED) {
		return t.reached // else there is nobody at this address
	}
	return broken(err)
}

func passing(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 &&
		status != http.StatusNotImplemented && status != http.StatusInsufficientStorage
}

// broken says whether a connection ended in the middle, and not for a reason that stays.
func broken(err error) bool {
	var timeout net.Error
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsTemporary
	}
	for _, e := range []error{
		io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE,
		syscall.ENETUNREACH, syscall.EHOSTUNREACH, errStalled, net.ErrClosed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	// Some errors of net/http are no more than text.
	for _, text := range []string{"server closed idle connection", "http2: ", "stream error", "connection error"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// pauseBefore is how long to wait after the n-th failure.
func pauseBefore(n int, resp *http.Response) time.Duration {
	pause := time.Second << (n - 1)
	if resp == nil {
		return pause
	}
	after := resp.Header.Get("Retry-After")
	if d, err := time.ParseDuration(after + "s"); err == nil && d >= 0 {
		pause = d
	} else if at, err := http.ParseTime(after); err == nil {
		pause = time.Until(at)
	}
	return min(max(pause, 0), maxPause)
}

// remember notes what must not be printed.
func (t *transport) remember(req *http.Request) {
	if _, value, ok := strings.Cut(req.Header.Get("Authorization"), " "); ok {
		t.mu.Lock()
		t.secrets[value] = true
		t.mu.Unlock()
	}
}

// attempt is one try, which ends when nothing moves any more.
func (t *transport) attempt(req *http.Request) (*http.Response, error) {
	limit := t.net.Stall
	if req.Method == http.MethodPut {
		limit *= commitFactor
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("%w for %s", errStalled, limit))
	})
	end := func() { w.end(); cancel(nil) }
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watched{req.Body, w, func() {}}
	}
	resp, err := t.inner.RoundTrip(req)
	if err != nil {
		cause := context.Cause(ctx)
		end()
		if errors.Is(cause, errStalled) {
			err = cause
		}
		return nil, err
	}
	resp.Body = &watched{resp.Body, w, end}
	return resp, nil
}

var (
	errStalled = errors.New("nothing moved on the connection")
	errPlain   = errors.New("say --allow-http if that is meant")
)

// watch is a deadline that moves on with each byte. While the bytes are still being made
// on our side it stands still.
type watch struct {
	mu    sync.Mutex
	timer *time.Timer
	limit time.Duration
	done  bool
}

func (w *watch) hold() { w.timer.Stop() }

func (w *watch) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.timer.Reset(w.limit)
	}
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.timer.Stop()
}

// watched is a body, of a request or an answer, whose bytes move a watch on.
type watched struct {
	io.ReadCloser
	watch *watch
	end   func()
}

func (b *watched) Read(p []byte) (int, error) {
	if _, ours := b.ReadCloser.(*stream); ours {
		b.watch.hold()
	}
	n, err := b.ReadCloser.Read(p)
	b.watch.run()
	return n, err
}

func (b *watched) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

// stream is a body that is made while it is sent, and cannot be sent twice.
type stream struct {
	io.ReadCloser
	used  atomic.Bool
	taken func(int) // told how many bytes went out

	mu sync.Mutex // held while taken is called
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.ReadCloser.Read(p)
	s.taken(n)
	return n, err
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// hide takes out of a text what must not be printed.
func (t *transport) hide(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.secrets {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, hidden)
		}
	}
	return text
}

// minSecret is how long a secret is at least: what is shorter is found in every text.
const minSecret = 4
