package boot

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// socket serves a handler and returns a connection to it.
func socket(t *testing.T, h handler) net.Conn {
	t.Helper()
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"}
	l, err := net.ListenUnix("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { _ = accept(l, zap.NewNop(), "it", func(conn *net.UnixConn) { answer(conn, h) }) }()
	conn, err := net.DialUnix("unix", nil, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestControlRefusesWhatIsNoRequest(t *testing.T) {
	conn := socket(t, func(context.Context, http.ResponseWriter, *http.Request, uint32) {
		t.Error("rubbish reached the handler")
	})
	if _, err := io.WriteString(conn, "rubbish\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || !strings.HasSuffix(string(b), "this is no HTTP request\n") {
		t.Errorf("%q, %v", b, err)
	}
}

func TestControlNoticesThatAClientHasGone(t *testing.T) {
	gone := make(chan struct{})
	conn := socket(t, func(ctx context.Context, w http.ResponseWriter, _ *http.Request, _ uint32) {
		_, _ = io.WriteString(w, "here")
		<-ctx.Done()
		close(gone)
	})
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: init\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the handler goes on for nobody")
	}
}

func TestControlSurvivesAPanic(t *testing.T) {
	conn := socket(t, func(context.Context, http.ResponseWriter, *http.Request, uint32) { panic("on purpose") })
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: init\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(conn); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
}
