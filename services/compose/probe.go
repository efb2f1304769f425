package compose

import (
	"net"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

// probe is a readiness_probe or liveness_probe. What is 0 was not given.
type probe struct {
	line    int
	exec    string
	dir     string
	http    bool
	host    string
	port    int
	path    string
	scheme  string
	status  int
	headers map[string]string

	delay, period, timeout services.Duration
	success, failure       int
}

func (p *project) readProbe(to **probe) tree.Setter {
	return func(n *tree.Node, at string) {
		q := &probe{line: n.Line}
		way := false
		p.Map(n, at, tree.Fields{
			"exec": func(n *tree.Node, at string) {
				way = true
				p.Map(n, at, tree.Fields{"command": p.Text(&q.exec), "working_dir": p.Text(&q.dir)})
				if n.Kind == tree.Map && q.exec == "" {
					p.Add(n, "%s has no command", at)
				}
			},
			"http_get": func(n *tree.Node, at string) {
				way, q.http = true, true
				p.Map(n, at, tree.Fields{
					"host": p.Text(&q.host), "path": p.Text(&q.path),
					"scheme":      tree.OneOf(&p.Reader, &q.scheme, map[string]string{"http": "http", "https": "https", "": ""}),
					"port":        p.readPort(&q.port),
					"num_port":    p.readPort(&q.port),
					"status_code": p.Int(&q.status, 0, 599),
					"headers":     p.Environment(&q.headers, nil),
				})
			},
			"initial_delay_seconds": p.Seconds(&q.delay),
			"period_seconds":        p.Seconds(&q.period),
			"timeout_seconds":       p.Seconds(&q.timeout),
			"success_threshold":     p.Int(&q.success, 0, 1<<20),
			"failure_threshold":     p.Int(&q.failure, 0, 1<<20),
		})
		if n.Kind == tree.Map && !way {
			p.Add(n, "%s asks nothing; give exec.command or http_get", at)
		}
		if q.exec != "" || q.http {
			*to = q
		}
	}
}

// readPort takes a port that is quoted, or nothing in quotes.
func (p *project) readPort(to *int) tree.Setter {
	return func(n *tree.Node, at string) {
		if n.Kind == tree.Text && n.Text == "" {
			return
		}
		p.Int(to, 1, 65535)(n, at)
	}
}

// service is the probe without its pace. exec goes before http_get, as there.
func (q *probe) service(p *project, proc *process) services.Probe {
	s := services.Probe{InitialDelaySec: q.delay, TimeoutSec: q.timeout, SuccessThreshold: q.success}
	if q.exec == "" {
		s.HTTP, s.Status, s.Headers = q.url(), q.status, q.headers
		return s
	}
	text := q.exec
	if q.dir != "" && p.path(q.dir) != proc.WorkingDirectory {
		text = "cd -- " + quote(p.path(q.dir)) + " || exit 1\n" + text
	}
	s.Exec = []string{p.shell, p.shellArg, text}
	return s
}

func (q *probe) url() string {
	scheme, host, path := q.scheme, strings.TrimSpace(q.host), q.path
	if scheme == "" {
		scheme = "http"
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	host = strings.Trim(host, "[]")
	switch {
	case q.port != 0:
		host = net.JoinHostPort(host, strconv.Itoa(q.port))
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return scheme + "://" + host + path
}

// quote makes one word of a text for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// probes sets what tells that a process is ready, and still works. Without a
// liveness_probe readiness goes on being asked: process-compose stops a process
// that is not ready any more.
func (proc *process) probes(p *project, svc *services.Service) {
	if proc.ready != nil {
		ready := proc.ready.service(p, proc)
		svc.Probe = &ready
		if period, failure := proc.ready.period, proc.ready.failure; period != 0 || failure != 0 {
			if period == 0 {
				period = services.Seconds(10)
			}
			if failure == 0 {
				failure = 3
			}
			svc.TimeoutStartSec = min(proc.ready.delay+period*services.Duration(min(failure, 1<<20)), never)
			svc.TimeoutStartSec = max(svc.TimeoutStartSec, services.Seconds(1))
		}
	}
	watch := proc.live
	if watch == nil && proc.ready != nil {
		same := *proc.ready
		same.delay = 0
		watch = &same
	}
	if watch != nil {
		live := watch.service(p, proc)
		live.PeriodSec, live.FailureThreshold, live.SuccessThreshold = watch.period, watch.failure, 0
		svc.Liveness = &live
	}
}
