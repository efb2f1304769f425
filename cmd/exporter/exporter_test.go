package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	gpus "github.com/fleek-platform/nix2vast/gpu"
	boot "github.com/fleek-platform/nix2vast/init"
	"github.com/fleek-platform/nix2vast/services"
)

// TestFields: what is read of init's answers is there, under that name and of
// that kind.
func TestFields(t *testing.T) {
	sameFields(t, reflect.TypeFor[status](), reflect.TypeFor[boot.Status]())
	sameFields(t, reflect.TypeFor[top](), reflect.TypeFor[boot.Top]())
}

func sameFields(t *testing.T, ours, theirs reflect.Type) {
	t.Helper()
	for ours.Kind() == reflect.Pointer || ours.Kind() == reflect.Slice {
		if ours.Kind() != theirs.Kind() {
			t.Errorf("%v reads %v", ours, theirs)
			return
		}
		ours, theirs = ours.Elem(), theirs.Elem()
	}
	if theirs == reflect.TypeFor[services.State]() {
		theirs = reflect.TypeFor[string]() // by MarshalText
	}
	if ours.Kind() != theirs.Kind() || ours.Kind() != reflect.Struct {
		if ours.Kind() != theirs.Kind() {
			t.Errorf("%v reads %v", ours, theirs)
		}
		return
	}
	if ours == reflect.TypeFor[time.Time]() {
		return
	}
	for _, f := range reflect.VisibleFields(ours) {
		i := slices.IndexFunc(reflect.VisibleFields(theirs), func(g reflect.StructField) bool {
			name, _, _ := strings.Cut(g.Tag.Get("json"), ",")
			return name == f.Tag.Get("json")
		})
		if i < 0 {
			t.Errorf("%v has no field %s", theirs, f.Tag.Get("json"))
			continue
		}
		sameFields(t, f.Type, reflect.VisibleFields(theirs)[i].Type)
	}
}

func TestStates(t *testing.T) {
	if want := []string{string(boot.Booting), string(boot.Ready), string(boot.Degraded), string(boot.Stopping)}; !slices.Equal(phases, want) {
		t.Errorf("the phases are %q, not %q", want, phases)
	}
	var want []string
	for s := services.Stopped; s <= services.Done; s++ {
		want = append(want, s.String())
	}
	if !slices.Equal(states, want) {
		t.Errorf("the states are %q, not %q", want, states)
	}
	want = nil
	for _, s := range []gpus.State{gpus.Absent, gpus.Requested, gpus.Partial, gpus.Denied, gpus.NoDriver, gpus.Mismatch, gpus.Injected, gpus.Ready} {
		want = append(want, string(s))
	}
	if !slices.Equal(gpuStates, want) {
		t.Errorf("the states of the GPU are %q, not %q", want, gpuStates)
	}
}

// answering serves a control socket with these answers, since no real init has a
// GPU here.
func answering(t *testing.T, st boot.Status, rows []boot.Usage) client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, v := range map[string]any{"/v1/status": st, "/v1/top": boot.Top{Services: rows}} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	server := &http.Server{Handler: mux}
	go func() {
		defer func() { _ = recover() }()
		_ = server.Serve(l)
	}()
	t.Cleanup(func() { server.Close() })
	return client{socket}
}

// box is a container with a GPU, and with a service that has the name of init.
func box() (boot.Status, []boot.Usage) {
	st := boot.Status{
		Phase: boot.Ready, Version: "1.0", Host: "va\"st\n", Since: time.Unix(1e9, 0), Took: time.Second / 4,
		Steps: []boot.StepStatus{{Name: "mounts", OK: true, Took: time.Millisecond}, {Name: "accounts"}},
		Services: []services.Status{
			{Name: "init", State: services.Ready, Since: time.Unix(1e9+1, 5e8), Restarts: 3},
			{Name: "db", State: services.Backoff},
		},
		GPU: &gpus.Report{State: gpus.Ready, Version: "570.1", GPUs: []gpus.GPU{
			{Index: 0, UUID: "GPU-a", Name: "H100", MemoryMiB: 81559}, {Index: 1, UUID: "GPU-b", Name: "H100"},
		}},
		Problems: []string{"one"}, Orphans: 7,
	}
	return st, []boot.Usage{
		{Name: "init", Pid: 20, Processes: 2, Threads: 5, Memory: 4096, CPU: time.Hour, CPUTotal: 1500 * time.Millisecond},
		{Name: "db"}, {Name: "init", Pid: 1, Processes: 1}, {Name: "(other)", Processes: 4},
	}
}

func TestMetrics(t *testing.T) {
	cl := answering(t, first(box()), second(box()))
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(newCollector(cl)); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	text := get(t, cl, "/metrics", http.StatusOK)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || len(families) != len(newMetrics().all) {
		t.Errorf("%d of %d metrics, %v", len(families), len(newMetrics().all), err)
	}
	for _, line := range []string{
		`nix2vast_up 1`,
		`nix2vast_info{host="va\"st\n",version="1.0"} 1`,
		`nix2vast_start_time_seconds 1e+09`,
		`nix2vast_boot_seconds 0.25`,
		`nix2vast_boot_step_seconds{step="mounts"} 0.001`,
		`nix2vast_boot_step_success{step="accounts"} 0`,
		`nix2vast_problems 1`,
		`nix2vast_orphans_reaped_total 7`,
		`nix2vast_phase{phase="ready"} 1`,
		`nix2vast_phase{phase="booting"} 0`,
		`nix2vast_service_state{service="db",state="backoff"} 1`,
		`nix2vast_service_state{service="db",state="ready"} 0`,
		`nix2vast_service_state_timestamp_seconds{service="init"} 1.0000000015e+09`,
		`nix2vast_service_restarts_total{service="init"} 3`,
		`nix2vast_service_cpu_seconds_total{service="init"} 1.5`,
		`nix2vast_service_memory_bytes{service="init"} 4096`,
		`nix2vast_service_processes{service="init"} 2`,
		`nix2vast_service_threads{service="init"} 5`,
		`nix2vast_service_processes{service="(init)"} 1`,
		`nix2vast_service_processes{service="(other)"} 4`,
		`nix2vast_gpu_state{state="ready"} 1`,
		`nix2vast_gpu_state{state="denied"} 0`,
		`nix2vast_gpu_info{driver="570.1",gpu="0",name="H100",uuid="GPU-a"} 1`,
		`nix2vast_gpu_memory_bytes{gpu="0"} 8.5520809984e+10`,
		`nix2vast_gpu_memory_bytes{gpu="1"} 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s is not in\n%s", line, text)
		}
	}
	if got := get(t, cl, "/healthz", http.StatusOK); got != "ready\n" {
		t.Errorf("/healthz says %q", got)
	}
}

func first(st boot.Status, _ []boot.Usage) boot.Status     { return st }
func second(_ boot.Status, rows []boot.Usage) []boot.Usage { return rows }

// get asks the exporter for a path.
func get(t *testing.T, cl client, path string, code int) string {
	t.Helper()
	handler, err := routes(cl)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, _ := io.ReadAll(w.Body)
	if w.Code != code {
		t.Fatalf("%s answers %d: %s", path, w.Code, body)
	}
	return string(body)
}

// TestNoInit: without init there is one metric that says so, and an exporter that
// is not healthy.
func TestNoInit(t *testing.T) {
	cl := client{filepath.Join(t.TempDir(), "nothing")}
	want := "# HELP nix2vast_up 1 if init answered, else 0 and nothing else is known.\n# TYPE nix2vast_up gauge\nnix2vast_up 0\n"
	if got := get(t, cl, "/metrics", http.StatusOK); got != want {
		t.Errorf("the metrics are\n%s", got)
	}
	if got := get(t, cl, "/healthz", http.StatusServiceUnavailable); !strings.Contains(got, "asking init: ") {
		t.Errorf("/healthz says %q", got)
	}
}

// TestAnswersThatAreNone: an init that answers nonsense breaks no scrape.
func TestAnswersThatAreNone(t *testing.T) {
	st, _ := box()
	st.Phase = "asleep" // one that a later init may have
	text := get(t, answering(t, st, []boot.Usage{{Name: "db"}, {Name: "db"}}), "/metrics", http.StatusOK)
	for _, line := range []string{`nix2vast_up 1`, `nix2vast_phase{phase="asleep"} 1`, `nix2vast_phase{phase="ready"} 0`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%s is not in\n%s", line, text)
		}
	}
}

// TestRun: the counter of a run never falls, and starts anew with each run.
func TestRun(t *testing.T) {
	var r run
	for i, tt := range []struct {
		pid       int
		now, want time.Duration
	}{
		{10, 5, 5}, {10, 8, 8},
		{10, 3, 8}, // a daemon of it ended
		{10, 4, 9},
		{11, 2, 2}, // another run
		{0, 0, 0}, {12, 7, 7},
	} {
		if r = r.grow(tt.pid, tt.now); r.total != tt.want {
			t.Errorf("%d: the total is %d, want %d", i, r.total, tt.want)
		}
	}
}
