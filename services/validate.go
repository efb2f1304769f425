package services

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// validName keeps names usable as file names and in a log prefix. 64 leaves room
// in a socket path of 107 bytes. (No regexp: compiling one would cost every start
// of the program a tenth of a millisecond.)
func validName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '@'
		if !letter && (i == 0 || c != '.' && c != ':' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// report takes what is wrong with a definition.
type report func(format string, args ...any)

// Validate says everything that is wrong with a definition that has its defaults.
func (svc *Service) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("service %s: "+format, append([]any{svc.Name}, args...)...))
	}
	if !validName(svc.Name) {
		bad("the name must be 1 to 64 letters, digits or any of _ . @ : - and not begin with . : or -")
	}
	svc.validateCommands(bad)
	svc.validateStart(bad)
	svc.validateEnd(bad)
	svc.Execution.validate(bad)
	svc.Probe.validate(bad, "Probe")
	svc.Liveness.validate(bad, "Liveness")
	for _, s := range svc.Sockets {
		s.validate(bad)
	}
	return errors.Join(errs...)
}

func (svc *Service) validateCommands(bad report) {
	if len(svc.ExecStart) == 0 && !(svc.Type == Oneshot && len(svc.ExecStop) > 0) {
		bad("ExecStart is empty; give the program and its arguments as a list")
	}
	if len(svc.ExecStart) > 1 && svc.Type != Oneshot {
		bad("ExecStart has %d commands; only a oneshot may have more than one", len(svc.ExecStart))
	}
	for field, list := range svc.commands() {
		for _, c := range list {
			if len(c.Argv) == 0 || c.Argv[0] == "" {
				bad("%s is empty; give the program and its arguments as a list", field)
			}
			if slices.ContainsFunc(c.Argv, func(arg string) bool { return strings.ContainsRune(arg, 0) }) {
				bad("%s holds a NUL byte", field)
			}
		}
	}
}

// commands yields each of the command fields with its name.
func (svc *Service) commands() func(yield func(string, Commands) bool) {
	return func(yield func(string, Commands) bool) {
		_ = yield("ExecCondition", svc.ExecCondition) && yield("ExecStartPre", svc.ExecStartPre) &&
			yield("ExecStart", svc.ExecStart) && yield("ExecStartPost", svc.ExecStartPost) &&
			yield("ExecReload", svc.ExecReload) && yield("ExecStop", svc.ExecStop) && yield("ExecStopPost", svc.ExecStopPost)
	}
}

func (svc *Service) validateStart(bad report) {
	oneOf(bad, "Type", svc.Type, Simple, Exec, Forking, Oneshot, Notify, NotifyReload)
	oneOf(bad, "NotifyAccess", svc.NotifyAccess, NotifyNone, NotifyMain, NotifyExec, NotifyAll)
	if svc.Type == Oneshot && (svc.Probe != nil || svc.Liveness != nil || svc.ReadyLine != "") {
		bad("a oneshot has no Probe, Liveness or ReadyLine: it is done when it ends")
	}
	if svc.NotificationFd != 0 && svc.NotificationFd < 3 {
		bad("NotificationFd %d is one of stdin, stdout and stderr; use 3 or more", svc.NotificationFd)
	}
	if first := 3 + len(svc.Sockets) + len(svc.Descriptors) + svc.FileDescriptorStoreMax; svc.NotificationFd != 0 && svc.NotificationFd < first && first > 3 {
		bad("NotificationFd %d is among the descriptors from 3 on that it is given for its Sockets; use %d or more", svc.NotificationFd, first)
	}
	if svc.NotificationFd > 1023 {
		bad("NotificationFd %d is more than 1023", svc.NotificationFd)
	}
	if svc.PIDFile != "" && !strings.HasPrefix(svc.PIDFile, "/") {
		bad("PIDFile %q is not an absolute path", svc.PIDFile)
	}
	for _, c := range svc.Conditions {
		if key, _, ok := strings.Cut(c, "="); !ok || !strings.HasPrefix(key, "Condition") && !strings.HasPrefix(key, "Assert") {
			bad("Conditions: %q is not of the form ConditionPathExists=/path", c)
		}
	}
	for _, name := range slices.Concat(svc.After, svc.Before, svc.AfterStart, svc.Wants, svc.Requires, svc.BindsTo, svc.PartOf, svc.Conflicts,
		svc.PropagatesReloadTo, svc.ReloadPropagatedFrom) {
		if name == svc.Name {
			bad("it names itself among the services that it depends on")
		}
	}
}

func (svc *Service) validateEnd(bad report) {
	oneOf(bad, "Restart", svc.Restart, RestartNo, RestartAlways, RestartOnSuccess, RestartOnFailure, RestartOnAbnormal, RestartOnAbort, RestartOnWatchdog)
	oneOf(bad, "KillMode", svc.KillMode, KillGroup, KillMixed, KillProcess, KillNone)
	oneOf(bad, "SuccessAction", svc.SuccessAction, "", ActionNone, ActionExit)
	oneOf(bad, "FailureAction", svc.FailureAction, "", ActionNone, ActionExit)
	if svc.KillSignal.number() == 0 {
		bad("KillSignal %q is not a signal; use a name such as SIGTERM", svc.KillSignal)
	}
	if svc.ReloadSignal.number() == 0 {
		bad("ReloadSignal %q is not a signal; use a name such as SIGHUP", svc.ReloadSignal)
	}
	for field, list := range map[string]ExitStatuses{"SuccessExitStatus": svc.SuccessExitStatus,
		"RestartPreventExitStatus": svc.RestartPreventExitStatus, "RestartForceExitStatus": svc.RestartForceExitStatus} {
		for _, item := range list {
			n, err := strconv.Atoi(item)
			if err == nil && n >= 0 && n <= 255 || unix.SignalNum("SIG"+strings.TrimPrefix(item, "SIG")) != 0 {
				continue
			}
			bad("%s: %q is neither an exit code nor a signal such as SIGTERM", field, item)
		}
	}
	for field, code := range map[string]*int{"SuccessActionExitStatus": svc.SuccessActionExitStatus, "FailureActionExitStatus": svc.FailureActionExitStatus} {
		if code != nil && (*code < 0 || *code > 255) {
			bad("%s %d is not between 0 and 255", field, *code)
		}
	}
	for field, n := range map[string]int{"RestartSteps": svc.RestartSteps, "MaxRestarts": svc.MaxRestarts,
		"StartLimitBurst": svc.StartLimitBurst, "FileDescriptorStoreMax": svc.FileDescriptorStoreMax} {
		if n < 0 {
			bad("%s %d is negative", field, n)
		}
	}
}

func (x *Execution) validate(bad report) {
	dir := strings.TrimPrefix(x.WorkingDirectory, "-")
	if !strings.HasPrefix(dir, "/") && dir != "~" {
		bad("WorkingDirectory %q is not an absolute path", x.WorkingDirectory)
	}
	if x.Nice < -20 || x.Nice > 19 {
		bad("Nice %d is not between -20 and 19", x.Nice)
	}
	if x.OOMScoreAdjust != nil && (*x.OOMScoreAdjust < -1000 || *x.OOMScoreAdjust > 1000) {
		bad("OOMScoreAdjust %d is not between -1000 and 1000", *x.OOMScoreAdjust)
	}
	for _, k := range slices.Sorted(maps.Keys(x.Environment)) {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(x.Environment[k], 0) {
			bad("Environment: %q is not a variable that a process can be given", k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.Limit)) {
		if _, _, err := parseLimit(name, x.Limit[name]); err != nil {
			bad("Limit: %v", err)
		}
	}
	for _, list := range [][]string{x.RuntimeDirectory, x.StateDirectory, x.CacheDirectory, x.LogsDirectory, x.ConfigurationDirectory} {
		for _, d := range list {
			if d == "" || strings.HasPrefix(d, "/") || slices.Contains(strings.Split(d, "/"), "..") {
				bad("the directory %q is not a relative path without \"..\"", d)
			}
		}
	}
	for _, c := range x.LoadCredential {
		if id, path, ok := strings.Cut(c, ":"); !ok || !validName(id) || !strings.HasPrefix(path, "/") {
			bad("LoadCredential %q is not of the form ID:/path", c)
		}
	}
	oneOf(bad, "RuntimeDirectoryPreserve", x.RuntimeDirectoryPreserve, "", "no", "yes", "restart")
	oneOf(bad, "Tailnet", x.Tailnet, "", TailnetNone, TailnetTransparent)
	x.validateStandard(bad)
}

func (x *Execution) validateStandard(bad report) {
	for field, value := range map[string]string{"StandardInput": x.StandardInput, "StandardOutput": x.StandardOutput, "StandardError": x.StandardError} {
		how, path, isFile := strings.Cut(value, ":")
		switch {
		case isFile && strings.HasPrefix(path, "/") && (how == "file" || field != "StandardInput" && (how == "append" || how == "truncate")):
		case !isFile && (value == "" || value == "null" || field != "StandardInput" && (value == "journal" || value == "inherit")):
		default:
			bad("%s %q is none of null, journal, file:/PATH, append:/PATH, truncate:/PATH", field, value)
		}
	}
}

func (p *Probe) validate(bad report, field string) {
	if p == nil {
		return
	}
	ways := 0
	if len(p.Exec) > 0 {
		ways++
		if p.Exec[0] == "" || slices.ContainsFunc(p.Exec, func(arg string) bool { return strings.ContainsRune(arg, 0) }) {
			bad("%s: Exec names no program, or holds a NUL byte", field)
		}
	}
	if p.HTTP != "" {
		ways++
		p.validateHTTP(bad, field)
	}
	if p.TCP != "" {
		ways++
		if portOf(p.TCP) == 0 {
			bad("%s: TCP %q is not of the form host:port", field, p.TCP)
		}
	}
	if ways != 1 {
		bad("%s needs exactly one of Exec, HTTP and TCP", field)
	}
	if p.SuccessThreshold < 0 || p.FailureThreshold < 0 {
		bad("%s: a threshold is negative", field)
	}
	if p.TimeoutSec > Duration(time.Hour) {
		bad("%s: TimeoutSec %v is more than an hour", field, time.Duration(p.TimeoutSec))
	}
}

func (p *Probe) validateHTTP(bad report, field string) {
	u, err := url.Parse(p.HTTP)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || portOf(httpAddress(u)) == 0:
		bad("%s: HTTP %q is not a URL such as http://127.0.0.1:8080/health", field, p.HTTP)
	case u.Scheme == "https":
		bad("%s: HTTP %q: probes speak no TLS; give the service's plain port, or Exec with curl -fk", field, u.Redacted())
	}
	if p.Status != 0 && (p.Status < 200 || p.Status > 599) {
		bad("%s: Status %d is not between 200 and 599", field, p.Status)
	}
}

func (s *Socket) validate(bad report) {
	oneOf(bad, "Sockets: Type", s.Type, "", "stream", "datagram", "seqpacket")
	if strings.HasPrefix(s.Listen, "/") {
		if len(s.Listen) > 107 {
			bad("Sockets: the path %q is longer than the 107 bytes that the kernel takes", s.Listen)
		}
		return
	}
	if n, err := strconv.ParseUint(s.Listen, 10, 16); err == nil && n > 0 {
		return
	}
	if _, _, err := net.SplitHostPort(s.Listen); err != nil || portOf(s.Listen) == 0 {
		bad("Sockets: Listen %q is neither a port, nor host:port, nor the path of a socket", s.Listen)
	}
}

// limits are the names behind "Limit" in systemd.exec(5).
var limits = map[string]int{
	"CPU": unix.RLIMIT_CPU, "FSIZE": unix.RLIMIT_FSIZE, "DATA": unix.RLIMIT_DATA, "STACK": unix.RLIMIT_STACK,
	"CORE": unix.RLIMIT_CORE, "RSS": unix.RLIMIT_RSS, "NOFILE": unix.RLIMIT_NOFILE, "AS": unix.RLIMIT_AS,
	"NPROC": unix.RLIMIT_NPROC, "MEMLOCK": unix.RLIMIT_MEMLOCK, "LOCKS": unix.RLIMIT_LOCKS, "SIGPENDING": unix.RLIMIT_SIGPENDING,
	"MSGQUEUE": unix.RLIMIT_MSGQUEUE, "NICE": unix.RLIMIT_NICE, "RTPRIO": unix.RLIMIT_RTPRIO, "RTTIME": unix.RLIMIT_RTTIME,
}

// parseLimit reads one resource limit: the kernel's number of it, and the two values.
func parseLimit(name, value string) (resource int, limit unix.Rlimit, err error) {
	resource, ok := limits[name]
	if !ok {
		return 0, limit, fmt.Errorf("there is no %s; there are %s", name, strings.Join(slices.Sorted(maps.Keys(limits)), " "))
	}
	soft, hard, two := strings.Cut(value, ":")
	if !two {
		hard = soft
	}
	for _, part := range []struct {
		text string
		to   *uint64
	}{{soft, &limit.Cur}, {hard, &limit.Max}} {
		if part.text == "infinity" {
			*part.to = unix.RLIM_INFINITY
			continue
		}
		if *part.to, err = strconv.ParseUint(part.text, 10, 64); err != nil {
			return 0, limit, fmt.Errorf("%s %q is not a number, infinity, or SOFT:HARD", name, value)
		}
	}
	if limit.Cur > limit.Max {
		return 0, limit, fmt.Errorf("the soft value of %s %q is more than the hard one", name, value)
	}
	return resource, limit, nil
}

func oneOf[T ~string](bad report, field string, value T, allowed ...T) {
	if !slices.Contains(allowed, value) {
		names := make([]string, 0, len(allowed))
		for _, a := range allowed {
			if a != "" {
				names = append(names, string(a))
			}
		}
		bad("%s %q is none of %s", field, value, strings.Join(names, ", "))
	}
}
