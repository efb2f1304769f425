package services

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestProbeHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			if r.Method != http.MethodGet || r.URL.RawQuery != "a=b" || r.Host != r.Context().Value(http.LocalAddrContextKey).(net.Addr).String() || !r.Close {
				w.WriteHeader(http.StatusTeapot)
			}
		case "/hints":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(w, r, "/gone", http.StatusFound)
		case "/auth":
			if user, password, _ := r.BasicAuth(); user != "me" || password != "pw" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		case "/endless":
			for _, err := w.Write(make([]byte, 4096)); err == nil && r.Context().Err() == nil; _, err = w.Write(make([]byte, 4096)) {
			}
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "the database\n\x1b[31mis down "+strings.Repeat("x", 9999))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, c := range []struct {
		path   string
		status int
		err    string
	}{
		{"/ok?a=b", 0, ""},
		{"/ok?a=b#part", 0, ""},
		{"/hints", 204, ""},
		{"/moved", 0, ""},
		{"/moved", 200, "GET " + srv.URL + "/moved: status 302"},
		{"/gone", 0, "GET " + srv.URL + "/gone: status 404"},
		{"/gone", 404, ""},
		{"/endless", 0, ""},
		{"/down", 0, "GET " + srv.URL + "/down: status 503: the database [31mis down xxx"},
		{"me:pw@/auth", 0, ""},
		{"me:no@/auth", 0, "GET http://me:xxxxx@" + host + "/auth: status 401"},
	} {
		p := Probe{HTTP: srv.URL + c.path, Status: c.status}
		if user, path, ok := strings.Cut(c.path, "@"); ok {
			p.HTTP = "http://" + user + "@" + host + path
		}
		err := p.ask(t.Context(), asker{})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.HasPrefix(err.Error(), c.err)) {
			t.Errorf("%s, status %d: %v, want %q", c.path, c.status, err, c.err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", c.path, len(err.Error()))
		}
	}
}

// stubborn serves one connection after the other with whatever serve does.
func stubborn(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestProbeBadHTTP(t *testing.T) {
	endless := func(begin, more string) func(net.Conn) {
		return func(c net.Conn) {
			_, err := io.WriteString(c, begin)
			for err == nil {
				_, err = io.WriteString(c, more)
			}
		}
	}
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
		}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		err   string // "": good
	}{
		"endless header": {endless("HTTP/1.1 200 OK\r\n", "X-A: "+strings.Repeat("b", 999)+"\r\n"), "the header of the answer is longer than 64 KiB"},
		"endless line":   {endless("HTTP/1.1 200 OK\r\nX-A: ", strings.Repeat("b", 999)), "the header of the answer is longer than 64 KiB"},
		"endless hints":  {endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), "the header of the answer is longer than 64 KiB"},
		"another":        {says("SSH-2.0-x\r\n"), "malformed HTTP"},
		"nothing":        {says(""), "unexpected EOF"},
		"HTTP/1.0":       {says("HTTP/1.0 200 OK\r\n\r\n"), ""},
		"short body":     {says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort"), ""},
	} {
		p := Probe{HTTP: "http://" + stubborn(t, c.serve), TimeoutSec: Seconds(20)}
		err := p.ask(t.Context(), asker{})
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}

// TestProbeHTTPBodyIsNotAwaited: a stream of events is a good answer.
func TestProbeHTTPBodyIsNotAwaited(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	address := stubborn(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		<-over
	})
	p := Probe{HTTP: "http://" + address, TimeoutSec: Seconds(30)}
	began := time.Now()
	if err := p.ask(t.Context(), asker{}); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestProbeValues(t *testing.T) {
	for _, c := range []struct {
		probe Probe
		err   string
	}{
		{Probe{HTTP: "http://127.0.0.1:8080/health"}, ""},
		{Probe{HTTP: "http://localhost"}, ""},
		{Probe{HTTP: "https://127.0.0.1/"}, "probes speak no TLS"},
		{Probe{HTTP: "127.0.0.1:8080"}, "is not a URL"},
		{Probe{HTTP: "http://127.0.0.1:99999"}, "is not a URL"},
		{Probe{HTTP: "http://127.0.0.1", Status: 42}, "Status 42 is not between"},
		{Probe{Exec: []string{""}}, "names no program"},
		{Probe{Exec: []string{"x"}, TCP: "127.0.0.1:1"}, "exactly one"},
		{Probe{}, "exactly one"},
	} {
		svc := Service{Name: "x", ExecStart: Argv("x"), Probe: &c.probe}.WithDefaults()
		err := svc.Validate()
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%+v: %v, want %q", c.probe, err, c.err)
		}
	}
}
