package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/image/layer"
)

// source is a blob that is made while it is sent. Each write writes the same bytes: an
// upload that was cut is continued by making the blob again.
type source struct {
	name  string
	write func(context.Context, io.Writer) (layer.Blob, error)
	// sent is told how many bytes have gone out, and negative ones where they were in vain.
	sent func(int64)
}

// upload is a blob on its way.
type upload struct {
	*client
	source
	location string // of the upload at the registry, "" where there is none
	offset   int64  // up to where the registry has it
	out      int64  // how many bytes went out since offset
	intact   bool   // nothing went out since offset was known
	plain    bool   // without Expect
	resumed  bool   // the stream was continued at an offset that the registry named
	whole    *layer.Blob
}

// cut is a failure in the middle of an upload, after which it may be continued.
type cut struct {
	err   error
	pause *http.Response // the answer that may say how long to wait
}

func (c *cut) Error() string { return c.err.Error() }
func (c *cut) Unwrap() error { return c.err }

var (
	errAbandoned = errors.New("the registry took no more of the stream")
	errShort     = errors.New("the registry has fewer bytes than it was sent")
	errExpect    = errors.New("the registry, or a proxy before it, does not understand Expect")
	errLost      = errors.New("the registry has lost the upload")
)

// upload sends a blob in one pass. A cut connection is continued where the registry says
// that it has the beginning, and begun again where it has not; tries without progress are
// bounded. What is left over of a failure is taken back.
func (c *client) upload(ctx context.Context, s source, check func(layer.Blob) error) (layer.Blob, error) {
	if s.sent == nil {
		s.sent = func(int64) {}
	}
	u := &upload{client: c, source: s}
	blob, err := u.run(ctx, check)
	if err != nil && u.location != "" {
		c.cancel(ctx, u.location)
	}
	return blob, c.explain("pushing "+s.name, err)
}

func (u *upload) run(ctx context.Context, check func(layer.Blob) error) (layer.Blob, error) {
	best := int64(0)
	for failures := 0; ; {
		err := u.attempt(ctx)
		if err == nil {
			if check != nil {
				if err := check(*u.whole); err != nil {
					return layer.Blob{}, err
				}
			}
			if err = u.commit(ctx); err == nil {
				return *u.whole, nil
			}
		}
		var c *cut
		if !errors.As(err, &c) || ctx.Err() != nil {
			return layer.Blob{}, err
		}
		if u.offset > best {
			best, failures = u.offset, 0
		}
		if failures++; failures == tries {
			return layer.Blob{}, fmt.Errorf("after %d tries: %w", tries, err)
		}
		if errors.Is(err, errUsed) || errors.Is(err, errExpect) {
			continue // it is otherwise now
		}
		if err := u.base.pause(ctx, pauseBefore(failures, c.pause), fmt.Errorf("%s: %w", u.name, err)); err != nil {
			return layer.Blob{}, err
		}
	}
}

// attempt sends what the registry has not got yet.
func (u *upload) attempt(ctx context.Context) error {
	if u.location != "" && !u.intact {
		if err := u.resume(ctx); err != nil {
			return err
		}
	}
	if u.location == "" {
		resp, err := u.do(ctx, http.MethodPost, u.url("blobs/uploads/"), nil)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if u.location, err = next(resp); err != nil {
			return err
		}
	}
	u.intact = false
	if u.whole != nil && u.offset == u.whole.Size {
		return nil // only the last step is missing
	}
	return u.patch(ctx)
}

// resume asks how much the registry has. A range of "0-0" is both one byte and none: the
// upload is begun again, as it is where the registry does not know any more.
func (u *upload) resume(ctx context.Context) error {
	h, err := u.short(ctx, http.MethodGet, u.location, nil)
	had := u.offset + u.out
	u.offset, u.out = 0, 0
	switch code := status(err); {
	case err == nil:
		if l, err := url.Parse(h.Get("Location")); err == nil && l.String() != "" {
			base, err := url.Parse(u.location)
			if err != nil {
				return fmt.Errorf("the upload's location: %w", err)
			}
			u.location = base.ResolveReference(l).String()
		}
		if end := rangeEnd(h); end > 0 && end < had {
			u.offset, u.resumed = end+1, true
			u.sent(u.offset - had)
			return nil
		}
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return err
	case code == 0 && !broken(err):
		return err
	}
	if code := status(err); code != http.StatusNotFound {
		u.cancel(ctx, u.location)
	}
	u.location = ""
	u.sent(-had)
	return nil
}

// rangeEnd is the last byte of a header "Range: 0-123", or 0.
func rangeEnd(h http.Header) int64 {
	_, last, _ := strings.Cut(strings.TrimPrefix(h.Get("Range"), "bytes="), "-")
	end, err := strconv.ParseInt(last, 10, 64)
	if err != nil || end < 0 {
		return 0
	}
	return end
}

// patch sends the stream from offset on, in one request.
func (u *upload) patch(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type made struct {
		blob layer.Blob
		err  error
	}
	result := make(chan made, 1)
	pr, pw := io.Pipe()
	go func() {
		blob, err := u.write(ctx, &skip{w: pw, n: u.offset})
		pw.CloseWithError(err)
		result <- made{blob, err}
	}()
	body := &stream{ReadCloser: pr, taken: func(n int) {
		u.out += int64(n)
		u.sent(int64(n))
	}}
	// Whoever refuses does so before the body, where it understands Expect.
	header := []string{"Content-Type", "application/octet-stream"}
	if !u.plain {
		header = append(header, "Expect", "100-continue")
	}
	resp, err := u.do(ctx, http.MethodPatch, u.location, body, header...)
	pr.CloseWithError(errAbandoned)
	m := <-result
	body.mu.Lock() // net/http may still be reading, and get to know only now that there is no more
	defer body.mu.Unlock()
	if m.err != nil && !errors.Is(m.err, errAbandoned) && !errors.Is(m.err, io.ErrClosedPipe) && ctx.Err() == nil {
		return m.err // ours, whatever the registry said to the broken stream
	}
	if err != nil {
		return u.patchFailed(err)
	}
	resp.Body.Close()
	location, lost := next(resp)
	if lost == nil {
		u.location = location
	}
	end := rangeEnd(resp.Header)
	switch {
	case m.err != nil:
		return &cut{err: errAbandoned}
	case lost != nil:
		return lost
	case end > 0 && end+1 < u.offset+u.out:
		return &cut{err: errShort}
	}
	u.whole = &m.blob
	u.offset, u.out = m.blob.Size, 0
	return nil
}

// patchFailed says what may be tried again.
func (u *upload) patchFailed(err error) error {
	u.intact = u.out == 0 && errors.Is(err, errUsed)
	var r *refusal
	switch code := status(err); {
	case code == http.StatusNotFound && strings.Contains(err.Error(), "upload"),
		code == http.StatusRequestedRangeNotSatisfiable:
		return &cut{err: fmt.Errorf("%w: %w", errLost, err)}
	case code == http.StatusExpectationFailed && !u.plain:
		u.plain, u.intact = true, u.out == 0
		return &cut{err: errExpect}
	case passing(code):
		errors.As(err, &r)
		return &cut{err: err, pause: r.resp}
	case code == 0 && (broken(err) || errors.Is(err, errUsed)):
		return &cut{err: err}
	}
	return err
}

// commit names the upload by its digest, which the registry computes too.
func (u *upload) commit(ctx context.Context) error {
	l, err := url.Parse(u.location)
	if err != nil {
		return fmt.Errorf("the upload's location: %w", err)
	}
	q := l.Query()
	q.Set("digest", u.whole.Digest)
	l.RawQuery = q.Encode()
	h, err := u.short(ctx, http.MethodPut, l.String(), nil, "Content-Type", "application/octet-stream")
	switch code := status(err); {
	case code == http.StatusNotFound || code == http.StatusRequestedRangeNotSatisfiable:
		// An earlier try may have done it and the answer been lost.
		if ok, _ := u.has(ctx, u.whole.Digest); ok {
			return nil
		}
		u.again()
		return &cut{err: fmt.Errorf("%w: %w", errLost, err)}
	case code == http.StatusBadRequest && u.resumed:
		u.cancel(ctx, u.location) // what it called its offset was none
		u.again()
		return &cut{err: err}
	case code == http.StatusBadRequest:
		return fmt.Errorf("the registry did not receive what was sent, and refused it. Either something on the way"+
			" changes it, or a store path changes while it is read: nix-store --verify --check-contents tells: %w", err)
	case err != nil:
		return err
	}
	if d := h.Get("Docker-Content-Digest"); d != "" && d != u.whole.Digest {
		return fmt.Errorf("the registry says that it has %s, and it was sent %s: do not trust it", u.base.message(d), u.whole.Digest)
	}
	u.location = ""
	return nil
}

// again is for a stream that is sent from its first byte on.
func (u *upload) again() {
	u.sent(-u.offset - u.out)
	u.location, u.out, u.offset, u.resumed, u.whole = "", 0, 0, false, nil
}

// skip passes on what comes after the first n bytes.
type skip struct {
	w io.Writer
	n int64
}

func (s *skip) Write(p []byte) (int, error) {
	if s.n >= int64(len(p)) {
		s.n -= int64(len(p))
		return len(p), nil
	}
	first := int(s.n)
	s.n = 0
	n, err := s.w.Write(p[first:])
	return first + n, err
}
