package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// What is read of the control socket's answers; init/openapi.yaml tells the whole.
type (
	status struct {
		Phase    string        `json:"phase"`
		Version  string        `json:"version"`
		Host     string        `json:"host"`
		Since    time.Time     `json:"since"`
		Took     time.Duration `json:"took_ns"`
		Steps    []step        `json:"steps"`
		Services []service     `json:"services"`
		GPU      *gpu          `json:"gpu"`
		Problems []string      `json:"problems"`
		Orphans  int           `json:"orphans_reaped"`
	}
	step struct {
		Name string        `json:"name"`
		OK   bool          `json:"ok"`
		Took time.Duration `json:"took_ns"`
	}
	service struct {
		Name     string    `json:"name"`
		State    string    `json:"state"`
		Since    time.Time `json:"since"`
		Restarts int       `json:"restarts"`
	}
	gpu struct {
		State   string      `json:"state"`
		Version string      `json:"version"`
		GPUs    []gpuDevice `json:"gpus"`
	}
	gpuDevice struct {
		Index     int    `json:"index"`
		UUID      string `json:"uuid"`
		Name      string `json:"name"`
		MemoryMiB int    `json:"memory_mib"`
	}

	top struct {
		Services []usage `json:"services"`
	}
	usage struct {
		Name      string        `json:"name"`
		Pid       int           `json:"pid"`
		Processes int           `json:"processes"`
		Threads   int           `json:"threads"`
		Memory    int64         `json:"memory_bytes"`
		CPU       time.Duration `json:"cpu_total_ns"`
	}
)

// client asks the init of this container.
type client struct{ socket string }

// askTimeout bounds one question. Init answers within milliseconds.
const askTimeout = 5 * time.Second

// maxAnswer is more than thousands of services need, in bytes.
const maxAnswer = 64 << 20

func (cl client) status(ctx context.Context) (status, error) {
	var st status
	return st, cl.ask(ctx, "/v1/status", &st)
}

// top asks for the shortest span that there is, as no percentage is wanted.
func (cl client) top(ctx context.Context) (top, error) {
	var t top
	return t, cl.ask(ctx, "/v1/top?span=10ms", &t)
}

// ask decodes the answer to GET path into answer.
func (cl client) ask(ctx context.Context, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", cl.socket)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://init"+path, nil)
	if err != nil {
		return fmt.Errorf("asking init: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("asking init: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what could be read is the message
		return fmt.Errorf("init answers %s with %s: %s", path, resp.Status, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("reading init's answer: %w", err)
	}
	return nil
}
