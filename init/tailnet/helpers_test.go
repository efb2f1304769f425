package tailnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"tailscale.com/cmd/tailscaled/childproc"
	"tailscale.com/tsnet"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/logger"

	"github.com/fleek-platform/nix2vast/init/tailnet/tailtest"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// limit is how long anything may take in a test: the machine may be busy.
const limit = 60 * time.Second

func TestMain(m *testing.M) {
	// Sessions of Tailscale SSH are the program again.
	if len(os.Args) > 2 && os.Args[1] == "be-child" {
		args := os.Args[3:]
		if os.Args[2] == "ssh" {
			args = Session("/", args)
		}
		if err := childproc.Code[os.Args[2]](args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) > 3 && os.Args[1] == "transparent" {
		fmt.Fprintln(os.Stderr, becomeTransparent(os.Args[2], os.Args[3:]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == "traffic" {
		if err := traffic(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	tailtest.Main(m)
}

// newControl is a control server on loopback.
func newControl(t *testing.T, change ...func(*testcontrol.Server)) *testcontrol.Server {
	t.Helper()
	return tailtest.Control(t, "127.0.0.1", change...)
}

// box is a program under test.
type box struct {
	t    testing.TB
	run  string
	root string
	log  *logLines
	stop func()
}

// newBox starts a program in userspace mode, unless the mode is said. The state is kept
// in root.
func newBox(t *testing.T, root string, c wire.Config) *box {
	t.Helper()
	if c.Userspace == nil {
		c.Userspace = new(true)
	}
	return startBox(t, root, c)
}

func startBox(t *testing.T, root string, c wire.Config) *box {
	t.Helper()
	if c.StateDir == "" {
		c.StateDir = "/state"
	}
	// The kernel's tables of listeners are those of the test's network; devices are the
	// machine's.
	for name, to := range map[string]string{"proc": "/proc", "dev": "/dev"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	// Names of sockets are short.
	run, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	b := &box{t: t, run: run, root: root, log: &logLines{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, Options{Root: root, Run: run, Config: c, Log: b.log.logger()})
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(limit):
			t.Error("the program does not stop")
		}
	})
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Log(b.log.text())
		}
	})
	return b
}

// wait waits until the status file says what is asked.
func (b *box) wait(what string, ok func(wire.Status) bool) wire.Status {
	b.t.Helper()
	var s wire.Status
	eventually(b.t, func() error {
		text, err := os.ReadFile(filepath.Join(b.run, wire.StatusFile))
		if err != nil {
			return err
		}
		s = wire.Status{}
		if err := json.Unmarshal(text, &s); err != nil {
			b.t.Fatalf("the status is not JSON: %v\n%s", err, text)
		}
		if !ok(s) {
			return fmt.Errorf("the status is not %s:\n%s", what, text)
		}
		return nil
	})
	return s
}

func (b *box) running() wire.Status {
	b.t.Helper()
	return b.wait("running", func(s wire.Status) bool { return s.State == wire.Running && len(s.Addresses) > 0 })
}

func (b *box) reason(r wire.Reason) wire.Status {
	b.t.Helper()
	return b.wait(string(r), func(s wire.Status) bool { return s.Reason == r })
}

// client speaks to the program's socket.
func (b *box) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(b.run, wire.Socket))
		},
	}}
}

// eventually tries until something holds.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

// newPeer is another node of the tailnet, up.
func newPeer(t *testing.T, ctl *testcontrol.Server, name string) *tsnet.Server {
	t.Helper()
	s := &tsnet.Server{Dir: t.TempDir(), Hostname: name, ControlURL: ctl.HTTPTestServer.URL, UserLogf: logger.Discard}
	t.Cleanup(func() { s.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := s.Up(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// greet has a peer say a sentence to an echo.
func greet(t *testing.T, from *tsnet.Server, address string) {
	t.Helper()
	conn, err := dialPeer(t, from, "tcp", address)
	if err == nil {
		err = says(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// logLines keeps what a program logs.
type logLines struct {
	mu  sync.Mutex
	buf []byte
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	return len(b), nil
}

func (l *logLines) Sync() error { return nil }

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}

func (l *logLines) logger() *zap.Logger {
	level := zapcore.InfoLevel
	if os.Getenv("VERBOSE") != "" {
		level = zapcore.DebugLevel
	}
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()), l, level))
}

// post sends a request as this user, root.
func (b *box) post(path, body string, want int) {
	b.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	res, err := b.client().Post("http://tailnet"+path, "application/json", r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != want {
		b.t.Fatalf("POST %s: %s: %s", path, res.Status, text)
	}
}

// newRecorder asks a program as another user.
func newRecorder(p *program, method, path string, uid int) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	p.routes().ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), peerKey{}, uid)))
	return w
}

// errNo is an error of a test.
type errNo string

func (e errNo) Error() string { return string(e) }

// writePasswd gives a root users.
func writePasswd(root string) error {
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\n"), 0o644)
}

// needRoot ends a test that makes devices or switches users, where this is not root but
// the root of a user namespace.
func needRoot(t *testing.T) {
	t.Helper()
	if ids, err := os.ReadFile("/proc/self/uid_map"); err != nil || !strings.Contains(string(ids), "4294967295") {
		t.Fatal("this test makes devices and switches users: run it as root")
	}
}
