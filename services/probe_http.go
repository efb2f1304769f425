package services

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	httpHeaderBytes = 64 << 10 // of an answer; net/http sets no limit
	httpBodyBytes   = 64 << 10
	httpTextBytes   = 256 // of a bad answer's body, to show

	// httpDrain is how long the body of an answer is read. Its status has been judged
	// by then; a server whose answer was read to the end logs no broken pipe.
	httpDrain = 200 * time.Millisecond
)

// askHTTP is good for the status Status or, where none is given, for 200 to 399.
func (p *Probe) askHTTP(ctx context.Context) error {
	u, err := url.Parse(p.HTTP)
	if err != nil {
		return fmt.Errorf("reading the URL of the probe: %w", err)
	}
	status, text, err := httpGet(ctx, u, p.Headers)
	switch {
	case err != nil:
		return fmt.Errorf("GET %s: %w", u.Redacted(), p.explain(err))
	case status == p.Status || p.Status == 0 && status >= 200 && status <= 399:
		return nil
	case text != "":
		return fmt.Errorf("GET %s: status %d: %s", u.Redacted(), status, text)
	}
	return fmt.Errorf("GET %s: status %d", u.Redacted(), status)
}

// httpGet asks on one connection of its own, without a transport and its
// goroutines, and without TLS, which would add a megabyte to what PID 1 keeps in
// memory. Redirects are not followed. text is the beginning of the body.
func httpGet(ctx context.Context, u *url.URL, headers map[string]string) (status int, text string, err error) {
	conn, hangUp, err := dial(ctx, httpAddress(u))
	if err != nil {
		return 0, "", err
	}
	defer hangUp()
	req := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{"User-Agent": {"nix2vast-probe"}}, Close: true}
	for name, value := range headers {
		req.Header.Set(name, value)
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value
		}
	}
	if password, _ := u.User.Password(); u.User != nil {
		req.SetBasicAuth(u.User.Username(), password)
	}
	if err := req.Write(conn); err != nil {
		return 0, "", err
	}
	limit := &io.LimitedReader{R: conn, N: httpHeaderBytes}
	answer := bufio.NewReader(limit)
	resp, err := http.ReadResponse(answer, req)
	for err == nil && resp.StatusCode >= 100 && resp.StatusCode <= 199 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(answer, req) // "103 Early Hints" and such come before the answer
	}
	if err != nil && limit.N <= 0 {
		return 0, "", fmt.Errorf("the header of the answer is longer than %d KiB", httpHeaderBytes>>10)
	}
	if err != nil {
		return 0, "", err
	}
	limit.N = httpBodyBytes
	_ = conn.SetReadDeadline(time.Now().Add(httpDrain)) // without it, ctx ends the reading
	begin, _ := io.ReadAll(io.LimitReader(resp.Body, httpTextBytes))
	_, _ = io.Copy(io.Discard, resp.Body) // a body that ends early is as good
	return resp.StatusCode, printable(string(begin)), nil
}

// httpAddress is the host:port of a URL.
func httpAddress(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80"))
}
