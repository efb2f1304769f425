package tailnet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tailscale.com/health"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tsconst"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// facts are what is known of a node.
type facts struct {
	status  *ipnstate.Status
	prefs   *ipn.Prefs
	health  map[health.WarnableCode]health.UnhealthyState
	control string
	// credentials says that the node can log in by itself; joined that it did so before;
	// keyless that it was started without them.
	credentials, joined, keyless bool
	// heard is when the control server was last listened to.
	now, began, heard time.Time
}

// patience is how long a control server may take before it counts as unreachable.
const patience = 15 * time.Second

// classify makes a status of what is known: where the node is, why it is not further, and
// what somebody can do about it.
func classify(f facts) wire.Status {
	s := wire.Status{State: wire.Starting, SSH: f.prefs.RunSSH}
	if self := f.status.Self; self != nil {
		s.Name = strings.TrimSuffix(self.DNSName, ".")
		if self.KeyExpiry != nil {
			s.KeyExpiry = self.KeyExpiry.UTC()
		}
	}
	for _, a := range f.status.TailscaleIPs {
		s.Addresses = append(s.Addresses, a.String())
	}
	switch f.status.BackendState {
	case ipn.Running.String():
		running(&s, f)
	case ipn.NeedsMachineAuth.String():
		s.State, s.Reason, s.Text = wire.NeedsLogin, wire.NeedsApproval, "the tailnet wants each machine to be approved"
		s.Cure = "approve " + cmp.Or(s.Name, "the machine") + " in the admin console, or use a key that is pre-approved"
	case ipn.Stopped.String():
		stopped(&s, f)
	default:
		loggedOut(&s, f)
	}
	return s
}

// running tells a node that works from one that does so only by what it knew before.
func running(s *wire.Status, f facts) {
	s.State = wire.Running
	// Tailscale itself says so after eight minutes. A node that was just started runs by what it
	// knew before, and has not had the time to listen.
	if silence := min(f.now.Sub(f.heard), f.now.Sub(f.began)); silence > patience {
		s.State, s.Reason, s.Cure = wire.Degraded, wire.ControlUnreachable, reachCure
		s.Text = fmt.Sprintf("%s has not been reached for a while; peers that are known stay reachable", server(f.control))
	}
	for _, code := range slices.Sorted(keys(f.health)) {
		u := f.health[code]
		switch code {
		case tsconst.HealthWarnableNotInMapPoll, tsconst.HealthWarnableMapResponseTimeout:
			s.State, s.Reason, s.Text, s.Cure = wire.Degraded, wire.ControlUnreachable, u.Text, reachCure
		case tsconst.HealthWarnableWarmingUp, tsconst.HealthWarnableUpdateAvailable:
		default:
			s.Warnings = append(s.Warnings, u.Text)
			if u.ImpactsConnectivity && s.State == wire.Running {
				s.State, s.Text = wire.Degraded, u.Text
			}
		}
	}
}

// stopped is a node that does not want to run: the tailnet's rules forbid it, or somebody
// stopped it with the command-line tool.
func stopped(s *wire.Status, f facts) {
	if u, ok := f.health[tsconst.HealthWarnableLocalLogConfigError]; ok {
		s.State, s.Reason, s.Text, s.Cure = wire.Failed, wire.LogsRequired, u.Text, "set TS_LOGS=1: this tailnet's rules want the logs"
		return
	}
	s.State, s.Text, s.Cure = wire.Degraded, "the node is switched off", "tailscale up, or init restart tailnet"
}

// loggedOut is a node without a key that is worth something, and one that is about to use
// what it has.
func loggedOut(s *wire.Status, f facts) {
	s.LoginURL = f.status.AuthURL
	why := loginError(f.health)
	if u, ok := f.health[tsconst.HealthWarnableNetworkStatus]; ok && why == "" {
		s.Reason, s.Text, s.Cure = wire.ControlUnreachable, u.Text, reachCure
		return
	}
	expired := !s.KeyExpiry.IsZero() && s.KeyExpiry.Before(f.now)
	needs := f.status.BackendState == ipn.NeedsLogin.String()
	switch {
	case f.prefs.LoggedOut && f.joined:
		s.State, s.Reason, s.Text, s.Cure = wire.NeedsLogin, wire.NoKey, "somebody logged this box out", "init tailnet login"
	case why != "":
		l := loginFailure(why, f.control)
		if f.keyless && f.credentials && l.reason == wire.BadKey {
			l = expiredKey(why) // it was not the credentials that were refused
		}
		s.Reason, s.Text, s.Cure = l.reason, l.text, l.cure
		if s.Reason != wire.ControlUnreachable {
			s.State = wire.NeedsLogin
		}
	case expired || needs && f.keyless && f.credentials && f.now.Sub(f.began) > time.Second:
		l := expiredKey("the node's key has expired")
		s.State, s.Reason, s.Text, s.Cure = wire.NeedsLogin, l.reason, l.text, l.cure
	case s.LoginURL != "" || needs && !f.credentials:
		s.State, s.Reason, s.Text = wire.NeedsLogin, wire.NoKey, "there is no key to join with"
		s.Cure = "open the login URL, or set TAILSCALE_AUTHKEY"
	case f.now.Sub(f.began) > patience:
		s.Reason, s.Text = wire.ControlUnreachable, fmt.Sprintf("%s has not answered for %v", server(f.control), f.now.Sub(f.began).Round(time.Second))
		s.Cure = reachCure
	}
}

func expiredKey(text string) failure {
	return failure{
		reason: wire.Expired, text: text,
		cure: "init tailnet login, or a new TAILSCALE_AUTHKEY; the key of a node with tags does not expire",
	}
}

// loginError is what the control server, or the way to it, said to the last login. One that
// gave way to another says nothing.
func loginError(h map[health.WarnableCode]health.UnhealthyState) string {
	text := h[tsconst.HealthWarnableLoginState].Args[health.ArgError]
	if strings.HasSuffix(text, context.Canceled.Error()) {
		return ""
	}
	return text
}

// reachCure is for a control server that does not answer.
const reachCure = "look at the network of the box; the control server is tried again and again"

// network are parts of messages that come from the way to the control server rather than
// from it.
var network = []string{
	"fetch control key", "dial tcp", "connection refused", "connection reset", "no route to host", "no such host", "timeout",
	"deadline exceeded", "network is unreachable", "EOF", "tls:", "x509:", "register request: Post", "register request: http 5",
	"getNoiseClient", "noise", "unexpected HTTP response", "server misbehaving", "rate limit", "Too Many Requests", "invalid character",
}

// loginFailure tells a bad key from a bad network by what upstream said.
func loginFailure(text, control string) failure {
	for _, part := range network {
		if !strings.Contains(text, part) {
			continue
		}
		f := failure{reason: wire.ControlUnreachable, text: text, cure: reachCure}
		if strings.Contains(text, "x509:") {
			f.cure = "look at the clock of the box, and at what stands between it and " + server(control)
		}
		return f
	}
	return failure{reason: wire.BadKey, text: text, cure: "make a new key in the admin console, under Settings, Keys, and set TAILSCALE_AUTHKEY"}
}

// server names the control server.
func server(url string) string { return cmp.Or(url, ipn.DefaultControlURL) }

// keys are those of a map.
func keys[V any](m map[health.WarnableCode]V) func(func(health.WarnableCode) bool) {
	return func(yield func(health.WarnableCode) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
