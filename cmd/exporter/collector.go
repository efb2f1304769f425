package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label of a set of states, one of which is 1. They are those
// of boot.Phase, services.State and gpu.State.
var (
	phases    = []string{"booting", "ready", "degraded", "stopping"}
	states    = []string{"stopped", "starting", "ready", "stopping", "backoff", "failed", "done"}
	gpuStates = []string{"absent", "requested-not-injected", "partial", "denied", "no-driver", "mismatch", "injected", "ready"}
)

// metric is one name and what it stands for.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// metrics are all that there are. Those of the processes have the label service
// also for "(init)", PID 1 itself, and "(other)", what belongs to no service: the
// sum over it is the container.
type metrics struct {
	up, info, start, phase, boot, stepTook, stepGood, problems, orphans metric
	state, since, restarts                                              metric
	cpu, memory, processes, threads                                     metric
	gpuState, gpuInfo, gpuMemory                                        metric
	all                                                                 []metric
}

func newMetrics() *metrics {
	m := &metrics{}
	define := func(kind prometheus.ValueType) func(name, help string, labels ...string) metric {
		return func(name, help string, labels ...string) metric {
			one := metric{prometheus.NewDesc("nix2vast_"+name, help, labels, nil), kind}
			m.all = append(m.all, one)
			return one
		}
	}
	gauge, counter := define(prometheus.GaugeValue), define(prometheus.CounterValue)

	m.up = gauge("up", "1 if init answered, else 0 and nothing else is known.")
	m.info = gauge("info", "Always 1: the version of init, and who rents the container out.", "version", "host")
	m.start = gauge("start_time_seconds", "When init was started, in seconds since the epoch.")
	m.phase = gauge("phase", "1 for the phase that the container is in.", "phase")
	m.boot = gauge("boot_seconds", "From the start of init to ready; absent before.")
	m.stepTook = gauge("boot_step_seconds", "How long a step of the boot took.", "step")
	m.stepGood = gauge("boot_step_success", "1 if a step of the boot went well.", "step")
	m.problems = gauge("problems", "Sentences below \"problem\" in init status: input that was left out.")
	m.orphans = counter("orphans_reaped_total", "Processes whose parent had ended and that init reaped.")

	m.state = gauge("service_state", "1 for the state that a service is in.", "service", "state")
	m.since = gauge("service_state_timestamp_seconds", "When a service came into its state, in seconds since the epoch.", "service")
	m.restarts = counter("service_restarts_total", "How often a service was started again since somebody started it.", "service")

	m.cpu = counter("service_cpu_seconds_total", "Processor time that the run of a service has used.", "service")
	m.memory = gauge("service_memory_bytes", "Resident memory of a service's processes; shared pages count in each.", "service")
	m.processes = gauge("service_processes", "Processes of a service.", "service")
	m.threads = gauge("service_threads", "Threads of a service's processes.", "service")

	m.gpuState = gauge("gpu_state", "1 for the state of the host's driver; absent while it is not known.", "state")
	m.gpuInfo = gauge("gpu_info", "Always 1: a GPU that the driver answers for.", "gpu", "uuid", "name", "driver")
	m.gpuMemory = gauge("gpu_memory_bytes", "Memory of a GPU; 0 where it is not its own.", "gpu")
	return m
}

// collector is a prometheus.Collector that asks init at each scrape.
type collector struct {
	*metrics
	client client

	mu   sync.Mutex
	runs map[string]run // by the label service
}

func newCollector(cl client) *collector {
	return &collector{metrics: newMetrics(), client: cl, runs: map[string]run{}}
}

// Describe lists all metrics.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range c.all {
		ch <- m.desc
	}
}

// Collect asks init and sends what it answers.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := sink(ch)
	st, err := c.client.status(context.Background())
	if err != nil {
		s.send(c.up, 0)
		return
	}
	s.send(c.up, 1)
	c.container(s, st)
	c.services(s, st.Services)
	if st.GPU != nil {
		c.gpus(s, *st.GPU)
	}
	t, err := c.client.top(context.Background())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.cpu.desc, err)
		return
	}
	c.usage(s, t.Services)
}

func (c *collector) container(s sink, st status) {
	s.send(c.info, 1, st.Version, st.Host)
	s.send(c.start, seconds(st.Since))
	s.sendState(c.phase, phases, st.Phase)
	if st.Took > 0 {
		s.send(c.boot, st.Took.Seconds())
	}
	for _, step := range st.Steps {
		s.send(c.stepTook, step.Took.Seconds(), step.Name)
		s.send(c.stepGood, number(step.OK), step.Name)
	}
	s.send(c.problems, float64(len(st.Problems)))
	s.send(c.orphans, float64(st.Orphans))
}

func (c *collector) services(s sink, list []service) {
	for _, svc := range list {
		s.sendState(c.state, states, svc.State, svc.Name)
		s.send(c.since, seconds(svc.Since), svc.Name)
		s.send(c.restarts, float64(svc.Restarts), svc.Name)
	}
}

func (c *collector) gpus(s sink, g gpu) {
	s.sendState(c.gpuState, gpuStates, g.State)
	for _, d := range g.GPUs {
		s.send(c.gpuInfo, 1, strconv.Itoa(d.Index), d.UUID, d.Name, g.Version)
		s.send(c.gpuMemory, float64(d.MemoryMiB)*(1<<20), strconv.Itoa(d.Index))
	}
}

// usage sends what the rows of init top say. The last row called init is PID 1,
// as a service may have that name.
func (c *collector) usage(s sink, rows []usage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := make(map[string]run, len(rows))
	own := -1
	for i, u := range rows {
		if u.Name == "init" {
			own = i
		}
	}
	for i, u := range rows {
		name := u.Name
		if i == own {
			name = "(init)"
		}
		runs[name] = c.runs[name].grow(u.Pid, u.CPU)
		s.send(c.cpu, runs[name].total.Seconds(), name)
		s.send(c.memory, float64(u.Memory), name)
		s.send(c.processes, float64(u.Processes), name)
		s.send(c.threads, float64(u.Threads), name)
	}
	c.runs = runs // of services that are gone nothing is kept
}

// run adds up the processor time of one run of a service. What init tells falls
// when a daemon ends that nobody but init waits for, which Prometheus would take
// for a start from 0 and count all that is left a second time.
type run struct {
	pid         int           // of the main process: another is another run
	last, total time.Duration // what init told, and what we tell
}

func (r run) grow(pid int, now time.Duration) run {
	if pid != r.pid {
		return run{pid, now, now}
	}
	return run{pid, now, r.total + max(0, now-r.last)}
}

// sink takes the metrics of one scrape.
type sink chan<- prometheus.Metric

func (s sink) send(m metric, value float64, labels ...string) {
	one, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
	if err != nil {
		one = prometheus.NewInvalidMetric(m.desc, err)
	}
	s <- one
}

// sendState sends a 1 for the state that is, and a 0 for each other one. The
// label of the state is the last.
func (s sink) sendState(m metric, all []string, is string, labels ...string) {
	if !slices.Contains(all, is) {
		all = append(slices.Clone(all), is)
	}
	for _, state := range all {
		s.send(m, number(state == is), append(slices.Clone(labels), state)...)
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// seconds since the epoch; 0 for a time that is not known.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}
