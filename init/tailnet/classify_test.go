package tailnet

import (
	"strings"
	"testing"
	"time"

	"tailscale.com/health"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/tsconst"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

func TestLoginFailure(t *testing.T) {
	for text, want := range map[string]wire.Reason{
		"invalid authkey":                                                                wire.BadKey,
		"invalid key: API key does not exist":                                            wire.BadKey,
		"invalid key: unable to validate API key":                                        wire.BadKey,
		"requested tags [tag:x] are invalid or not permitted":                            wire.BadKey,
		"failed to parse auth-key: key too short":                                        wire.BadKey,
		`fetch control key: Get "https://x/key?v=142": dial tcp: lookup x: no such host`: wire.ControlUnreachable,
		`register request: Post "https://x/machine/register": EOF`:                       wire.ControlUnreachable,
		"register request: http 502: bad gateway":                                        wire.ControlUnreachable,
		"tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2019-01-01": wire.ControlUnreachable,
	} {
		f := loginFailure(text, "")
		if f.reason != want || f.text != text || f.cure == "" {
			t.Errorf("%q is %+v", text, f)
		}
		if strings.Contains(text, "x509") && !strings.Contains(f.cure, "clock") {
			t.Errorf("of %q the cure is %q", text, f.cure)
		}
	}
}

func TestClassify(t *testing.T) {
	now := time.Now()
	past := now.Add(-time.Hour)
	warning := func(code health.WarnableCode, u health.UnhealthyState) map[health.WarnableCode]health.UnhealthyState {
		u.WarnableCode = code
		return map[health.WarnableCode]health.UnhealthyState{code: u}
	}
	for _, test := range []struct {
		name   string
		state  ipn.State
		facts  facts
		want   wire.State
		reason wire.Reason
	}{
		{name: "just started", state: ipn.NoState, facts: facts{credentials: true}, want: wire.Starting},
		{name: "about to use the key", state: ipn.NeedsLogin, facts: facts{credentials: true}, want: wire.Starting},
		{name: "a login that gave way to another", state: ipn.NeedsLogin, want: wire.Starting,
			facts: facts{credentials: true, health: warning(tsconst.HealthWarnableLoginState, health.UnhealthyState{
				Args: health.Args{health.ArgError: `fetch control key: Get "https://x/key?v=142": context canceled`}})}},
		{name: "no key", state: ipn.NeedsLogin, want: wire.NeedsLogin, reason: wire.NoKey},
		{name: "stored, but refused", state: ipn.NeedsLogin, facts: facts{credentials: true, joined: true, keyless: true, began: past},
			want: wire.NeedsLogin, reason: wire.Expired},
		{name: "silence", state: ipn.NoState, facts: facts{credentials: true, began: past}, want: wire.Starting, reason: wire.ControlUnreachable},
		{name: "running", state: ipn.Running, want: wire.Running},
		{name: "running, warming up", state: ipn.Running, want: wire.Running,
			facts: facts{health: warning(tsconst.HealthWarnableWarmingUp, health.UnhealthyState{ImpactsConnectivity: true})}},
		{name: "running, no relay", state: ipn.Running, want: wire.Degraded,
			facts: facts{health: warning(tsconst.HealthWarnableNoDERPHome, health.UnhealthyState{Text: "no relay", ImpactsConnectivity: true})}},
		{name: "running, control lost", state: ipn.Running, want: wire.Degraded, reason: wire.ControlUnreachable,
			facts: facts{health: warning(tsconst.HealthWarnableNotInMapPoll, health.UnhealthyState{Text: "lost"})}},
		{name: "running by what it knew, just started", state: ipn.Running, facts: facts{heard: past}, want: wire.Running},
		{name: "running, nothing heard", state: ipn.Running, facts: facts{began: past, heard: past}, want: wire.Degraded, reason: wire.ControlUnreachable},
		{name: "approval", state: ipn.NeedsMachineAuth, want: wire.NeedsLogin, reason: wire.NeedsApproval},
		{name: "logs wanted", state: ipn.Stopped, want: wire.Failed, reason: wire.LogsRequired,
			facts: facts{health: warning(tsconst.HealthWarnableLocalLogConfigError, health.UnhealthyState{Text: "tailnet requires logging to be enabled"})}},
		{name: "switched off", state: ipn.Stopped, want: wire.Degraded},
	} {
		f := test.facts
		f.status, f.prefs, f.now = &ipnstate.Status{BackendState: test.state.String()}, ipn.NewPrefs(), now
		if f.began.IsZero() {
			f.began = now
		}
		if f.heard.IsZero() {
			f.heard = now
		}
		s := classify(f)
		if s.State != test.want || s.Reason != test.reason {
			t.Errorf("%s: %+v", test.name, s)
		}
		if (s.Reason != "" || s.State == wire.Degraded) && s.Text == "" {
			t.Errorf("%s: there is no text in %+v", test.name, s)
		}
		if s.Reason != "" && s.Cure == "" {
			t.Errorf("%s: there is no cure in %+v", test.name, s)
		}
	}
}

func TestPauses(t *testing.T) {
	var p pauses
	now := time.Now()
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		if !p.due(now) || p.due(now) {
			t.Fatalf("at %v it is not due once", p)
		}
		if p.pause != want*time.Second {
			t.Errorf("the pause is %v, not %v", p.pause, want*time.Second)
		}
		now = now.Add(p.pause)
	}
}
