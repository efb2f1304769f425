package plan

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	portSyntax   = regexp.MustCompile(`^([0-9]{1,5})(/(tcp|udp|sctp))?$`)
	signalSyntax = regexp.MustCompile(`^(SIG[A-Z0-9+-]+|[0-9]{1,2})$`)
)

// config looks at what engines refuse only when the container starts, or worse, do not.
func (v *validator) config() {
	c := v.plan.Config
	for _, port := range slices.Sorted(maps.Keys(c.ExposedPorts)) {
		m := portSyntax.FindStringSubmatch(port)
		if m == nil {
			v.add("config: the port %q is none such as 22/tcp", port)
		} else if n, _ := strconv.Atoi(m[1]); n < 1 || n > 65535 { // digits, by the expression
			v.add("config: the port %q is not in 1 to 65535", port)
		}
	}
	names := map[string]bool{}
	for _, entry := range c.Env {
		key, _, ok := strings.Cut(entry, "=")
		if !ok || key == "" {
			v.add("config: the environment's %q is no NAME=VALUE", entry)
		} else if names[key] {
			v.add("config: the environment sets %s twice", key)
		}
		names[key] = true
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		v.add("config: the working directory %q is no absolute path", c.WorkingDir)
	}
	if len(c.Entrypoint) > 0 && !path.IsAbs(c.Entrypoint[0]) {
		v.add("config: the entry point %q is no absolute path", c.Entrypoint[0])
	}
	for _, volume := range slices.Sorted(maps.Keys(c.Volumes)) {
		if !path.IsAbs(volume) {
			v.add("config: the volume %q is no absolute path", volume)
		}
	}
	if c.StopSignal != "" && !signalSyntax.MatchString(c.StopSignal) {
		v.add("config: the stop signal %q is none such as SIGTERM", c.StopSignal)
	}
	if h := c.Healthcheck; h != nil && len(h.Test) > 0 && !slices.Contains([]string{"NONE", "CMD", "CMD-SHELL"}, h.Test[0]) {
		v.add("config: the health check begins with %q, not with NONE, CMD or CMD-SHELL", h.Test[0])
	}
	if _, ok := c.Labels[""]; ok {
		v.add("config: a label has no name")
	}
}
