package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tests TestEdge16 to TestEdge30 hold the program to cases in which PID 1s
// are known to fail, each in a box with services of a config.

// oddBox is a box of services.
type oddBox struct {
	*foreground
	dir    string
	socket string // the control socket, as the box has it
}

// definitions are services by their names, as in an image's config.
type definitions map[string]map[string]any

// sh defines a service that is a shell script.
func sh(script string) map[string]any {
	return map[string]any{"ExecStart": []string{"sh", "-c", script}}
}

// perl defines a service that is a perl script; in it tell_init sends a notification.
func perl(script string, more ...any) map[string]any {
	const prelude = `use Socket; $| = 1; socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
		sub tell_init { send($s, $_[0], 0, sockaddr_un($ENV{NOTIFY_SOCKET})) or die "telling: $!" }
		sub nap { select(undef, undef, undef, $_[0]) } `
	svc := map[string]any{"ExecStart": []string{"perl", "-e", prelude + script}}
	for i := 0; i < len(more); i += 2 {
		svc[more[i].(string)] = more[i+1]
	}
	return svc
}

// config is the text of an image's config.
func (d definitions) config(t *testing.T) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"version": 1, "services": d})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// startOddBox boots a box with services. args are those of the program box, less its name.
func startOddBox(t *testing.T, services definitions, args ...string) *oddBox {
	t.Helper()
	return startOddBoxOn(t, nil, services, args...)
}

// startOddBoxOn does so with a standard input.
func startOddBoxOn(t *testing.T, stdin io.Reader, services definitions, args ...string) *oddBox {
	t.Helper()
	b := &oddBox{dir: t.TempDir(), socket: "/run/nix2vast/control.sock"}
	b.again(t, stdin, oddBoxArgs(t, services, args)...)
	return b
}

// oddBoxArgs puts the config before the other arguments of a box.
func oddBoxArgs(t *testing.T, services definitions, args []string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, services.config(t), 0o644); err != nil {
		t.Fatal(err)
	}
	return append([]string{"-e", "NIX2VAST_GPU=off", "-put", "/etc/nix2vast/config.json=" + file}, args...)
}

// again boots the box with what an earlier run of it left: stop and start.
func (b *oddBox) again(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	args = append([]string{b.dir}, args...)
	o, err := parseBox(args)
	if err != nil {
		t.Fatal(err)
	}
	f := &foreground{t: t, ended: make(chan struct{})}
	if f.cmd, err = startBox(o, args, stdin, f, f); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.ended)
		_ = f.cmd.Wait() // the code is looked at
	}()
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		<-f.ended
	})
	b.foreground = f
}

// root is a path of the box, from outside.
func (b *oddBox) root(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", b.cmd.Process.Pid, path)
}

// in runs a program in the box, as docker exec does. It returns what the program
// printed and its exit code.
func (b *oddBox) in(argv ...string) (string, int) {
	b.t.Helper()
	enter := []string{"-t", fmt.Sprint(b.cmd.Process.Pid), "-m", "-p", "-n", "-i", "-u", "-r", "-w"}
	if os.Getuid() != 0 {
		enter = append(enter, "-U", "--preserve-credentials")
	}
	enter = append(enter, "env", "-i", "PATH=/run/nix2vast/bin:/:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, argv...)...)
	cmd.WaitDelay = time.Second // what it left behind may hold the output open
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		b.t.Fatalf("%q in the box: %v; the box printed:\n%s", argv, err, b)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// must runs a program in the box that has to succeed.
func (b *oddBox) must(argv ...string) string {
	b.t.Helper()
	out, code := b.in(argv...)
	if code != 0 {
		b.t.Fatalf("%q in the box ends with %d:\n%s\nthe box printed:\n%s", argv, code, out, b)
	}
	return out
}

// edgeStatus is what init status --json prints.
type edgeStatus struct {
	Phase    string
	Services []edgeService
	Problems []string
	Orphans  int `json:"orphans_reaped"`
}

type edgeService struct {
	Name, State, Note string
	Pid, Restarts     int
	Pids              []int
	Text              string `json:"status_text"`
	ExitCode          int    `json:"exit_code"`
}

// ask is one GET of the control socket, from outside: it takes no process in the box.
func (b *oddBox) ask(path string) ([]byte, error) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.root(b.socket))
		},
	}}
	answer, err := client.Get("http://init" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}

// status is the state of everything; empty as long as nobody answers.
func (b *oddBox) status() (s edgeStatus) {
	b.t.Helper()
	text, err := b.ask("/v1/status")
	if err != nil {
		return s
	}
	if err := json.Unmarshal(text, &s); err != nil {
		b.t.Fatalf("the status: %v\n%s", err, text)
	}
	return s
}

func (s edgeStatus) service(name string) edgeService {
	i := slices.IndexFunc(s.Services, func(svc edgeService) bool { return svc.Name == name })
	if i < 0 {
		return edgeService{State: "absent"}
	}
	return s.Services[i]
}

// booted waits until the boot is over.
func (b *oddBox) booted() {
	b.t.Helper()
	b.until("the boot is over", func() bool {
		phase := b.status().Phase
		return phase == "ready" || phase == "degraded"
	})
}

// is waits until a service is in a state.
func (b *oddBox) is(name, state string) edgeService {
	b.t.Helper()
	var svc edgeService
	b.until(name+" is "+state, func() bool { svc = b.status().service(name); return svc.State == state })
	return svc
}

// lives checks that init answers, supervises and reaps.
func (b *oddBox) lives() {
	b.t.Helper()
	before := b.status().Orphans
	b.must("sh", "-c", "for n in 1 2 3 4 5; do (sleep 0.01 &); done")
	b.until("five orphans are reaped", func() bool { return b.status().Orphans >= before+5 })
}

// stop sends SIGTERM, and wants an exit code within a time.
func (b *oddBox) stop(code int, within time.Duration) {
	b.t.Helper()
	began := time.Now()
	b.send(15)
	b.wantCode(code)
	if took := time.Since(began); took > within {
		b.t.Errorf("the stop took %v, more than %v; the box printed:\n%s", took, within, b)
	}
}

// never fails where the box has printed a text.
func (b *oddBox) never(text string) {
	b.t.Helper()
	if strings.Contains(b.String(), text) {
		b.t.Errorf("the box printed %q:\n%s", text, b)
	}
}
