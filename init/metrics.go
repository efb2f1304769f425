package boot

import (
	"fmt"
	"net"
	"path/filepath"

	"github.com/fleek-platform/nix2vast/services"
)

// metricsName is the service that answers Prometheus.
const metricsName = "metrics"

// ExporterVerb is what our own program is called with to become the exporter.
const ExporterVerb = "exporter"

// exporter is its name among the programs that are attached.
const exporter = "exporter"

// metricsService is the exporter: a program of its own, so that what serves a
// network is not PID 1. It starts beside sshd, and somebody may be waiting to log
// in.
func metricsService(program, address string) services.Service {
	return services.Service{
		Name:        metricsName,
		Description: "Prometheus metrics",
		ExecStart:   services.Argv(program, ExporterVerb, address),
		Probe:       &services.Probe{HTTP: "http://" + reachable(address) + "/healthz"},
		Execution:   services.Execution{Nice: 10},
	}
}

// reachable is where a server that listens on address is reached from here.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address // it was checked
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.Equal(net.IPv4zero):
		host = "127.0.0.1"
	case ip != nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// setMetricsAddr takes host:port and :port.
func setMetricsAddr(s *Settings, v Variable) string {
	host, port, err := net.SplitHostPort(v.Value)
	if err != nil || !isPort(port) || host != "" && !isHost(host) {
		return fmt.Sprintf("%s is %s, not an address such as 127.0.0.1:9400 or :9400: there are no metrics", v.Name, excerpt(v.Value))
	}
	s.MetricsAddr = v.Value
	return ""
}

// RunExporter turns this process into the exporter. It returns where that fails.
func RunExporter(root, address string) error {
	dir, err := runDir(root)
	if err != nil {
		return err
	}
	return runProgram(root, exporter, "--socket", filepath.Join(dir, controlSocket), address)
}
