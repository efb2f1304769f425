package engine

import (
	"crypto/rand"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"golang.org/x/sys/unix"
)

// slowly reads a body a little at a time until somebody has seen enough.
type slowly struct {
	io.Reader
	enough *atomic.Bool
	ticks  <-chan time.Time
}

func (s slowly) Read(p []byte) (int, error) {
	if s.enough.Load() {
		return s.Reader.Read(p)
	}
	<-s.ticks
	return s.Reader.Read(p[:min(len(p), 1<<10)])
}

// TestProgramPushTerminal pushes to a slow registry from a terminal, on which there is one
// line with a bar, the bytes, the rate and the time that is left, and nothing of it at the end.
func TestProgramPushTerminal(t *testing.T) {
	t.Parallel()
	p, store := tinyPlan(t)
	random := make([]byte, 16<<20)
	rand.Read(random)
	must(t, os.WriteFile(filepath.Join(store, largePath, "share/words"), random, 0o644))
	program := build(t, hashed(t, p, store), store)

	var enough atomic.Bool
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	memory := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			r.Body = io.NopCloser(slowly{r.Body, &enough, ticker.C})
		}
		memory.ServeHTTP(w, r)
	}))
	defer server.Close()

	run := program.command(t, "push", program.plan, strings.TrimPrefix(server.URL, "http://")+"/owner/tiny")
	line := "stty cols 120; '" + strings.Join(run.Args, "' '") + "'"
	cmd := exec.CommandContext(t.Context(), "script", "-qec", line, os.DevNull)
	cmd.Env = run.Env
	screen := &trigger{after: " left", then: func() { enough.Store(true) }}
	cmd.Stdout, cmd.Stderr = screen, screen
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, screen.text)
	}
	var bar string
	for _, l := range strings.Split(screen.text, "\r") {
		if strings.Contains(l, " left") {
			bar = l
			break
		}
	}
	for _, part := range []string{"[", "] ", " % ", " MB", "layer ", "/s "} {
		if !strings.Contains(bar, part) {
			t.Errorf("the line has no %q: %q", part, bar)
		}
	}
	if end := screen.text[strings.LastIndex(screen.text, "layer "):]; !strings.Contains(end, "\r\x1b[K") {
		t.Errorf("the line is left on the terminal: %q", end)
	}
}

// openTerminal makes a terminal: the end that a window has, and that which programs have.
func openTerminal(t *testing.T) (window, programs *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(int(window.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(window.Fd()), unix.TIOCGPTN)
	must(t, err)
	programs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	return window, programs
}

// TestProgramHangUp closes the window of a run, with a main command and without: no
// container is left.
func TestProgramHangUp(t *testing.T) {
	t.Parallel()
	runtimes(t, func(t *testing.T, r Runtime) {
		image, _ := loaded(t, r)
		p := build(t, image.Plan, image.Store)
		for _, c := range []struct {
			until string
			args  []string
		}{
			{"Ctrl-C stops and removes it", nil},
			{"main command runs", []string{"--", "sh", "-c", "echo main command runs; exec sleep 1000"}},
		} {
			window, programs := openTerminal(t)
			cmd := p.command(t, append([]string{"run", "--runtime", r.Name, "--gpus", "none", p.plan}, c.args...)...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = programs, programs, programs
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			must(t, cmd.Start())
			programs.Close()
			var screen strings.Builder
			for b := make([]byte, 4096); !strings.Contains(screen.String(), c.until); {
				n, err := window.Read(b)
				if err != nil {
					t.Fatalf("%q: %v\n%s", c.args, err, screen.String())
				}
				screen.Write(b[:n])
			}
			window.Close()
			if _ = cmd.Wait(); !cmd.ProcessState.Exited() {
				t.Errorf("%q: %v", c.args, cmd.ProcessState)
			}
			left, err := r.output(t.Context(), "ps", "--all", "--quiet", "--filter", "label="+imageLabel+"="+image.ConfigDigest)
			if err != nil || left != "" {
				t.Errorf("%q: left behind: %q (%v)", c.args, left, err)
			}
		}
	})
}
