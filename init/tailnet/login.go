package tailnet

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	"tailscale.com/ipn"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// logIn starts a login: with a key, or without one by a URL that the status then names.
// The preferences go with it, since a node that was logged out has lost them.
func (n *node) logIn(ctx context.Context, key string) error {
	if err := n.lc.Start(ctx, ipn.Options{UpdatePrefs: n.prefs(), AuthKey: key}); err != nil {
		return fmt.Errorf("starting the login: %w", err)
	}
	if err := n.lc.StartLoginInteractive(ctx); err != nil {
		return fmt.Errorf("logging in: %w", err)
	}
	return nil
}

// relogin gets a node going again whose own key is worth nothing any more: with the
// credentials, or, where there are none, by a login URL.
func (n *node) relogin(ctx context.Context, f facts, s wire.Status) error {
	if s.Reason != wire.Expired || f.prefs.LoggedOut {
		n.login = pauses{}
		return nil
	}
	if n.Config.AuthKey == "" && s.LoginURL != "" || !n.login.due(f.now) {
		return nil
	}
	if n.Config.AuthKey == "" {
		// Not logIn: behind a start Tailscale takes the map of an expired node, which still comes,
		// for a login, and forgets the URL.
		if err := n.lc.StartLoginInteractive(ctx); err != nil && ctx.Err() == nil {
			n.Log.Warn("asking for a login URL", zap.Error(err), zap.Duration("again in", n.login.pause))
		}
		return nil
	}
	n.Log.Info("the node's key has expired: logging in with the credentials", zap.Duration("again in", n.login.pause))
	if !n.plain() {
		return errAgain
	}
	n.keyless = false
	if err := n.logIn(ctx, n.Config.AuthKey); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// pauses says when something that fails is due again: at once, then ever later.
type pauses struct {
	pause time.Duration
	next  time.Time
}

func (p *pauses) due(now time.Time) bool {
	if now.Before(p.next) {
		return false
	}
	p.pause = min(max(2*p.pause, firstPause), lastPause)
	p.next = now.Add(p.pause)
	return true
}
