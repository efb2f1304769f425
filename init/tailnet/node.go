package tailnet

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailscale/wireguard-go/tun"
	"go.uber.org/zap"
	"tailscale.com/client/local"
	"tailscale.com/envknob"
	"tailscale.com/health"
	"tailscale.com/ipn"
	"tailscale.com/tsnet"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// node is one life of the connection, from tsnet's start to its end.
type node struct {
	*program
	state *state
	srv   *tsnet.Server
	lc    *local.Client
	// keyless says that the node was started without the credentials that there are.
	keyless bool
	// joined says that the box is or was in the tailnet.
	joined bool
	// heard is when the control server was last listened to.
	heard time.Time
	began time.Time

	device tun.Device // nil in userspace mode
	link   link
	expose exposure
	names  names
	serve  serving

	// working is since when the node carries traffic, with or without its control server; nil: it
	// does not.
	working atomic.Pointer[time.Time]

	mu     sync.Mutex
	health map[health.WarnableCode]health.UnhealthyState

	login pauses
}

// stopTime is how long the node may take to end; an ephemeral one logs out in it. tsnet
// has a limit of five seconds of its own.
const stopTime = 5 * time.Second

// live runs one node until ctx ends or the node cannot go on.
func (p *program) live(ctx context.Context, force bool) error {
	st, err := openState(filepath.Join(p.Root, p.Config.StateDir))
	if err != nil {
		return err
	}
	defer st.close()
	if c := p.Config; c.AuthKey == "" && (c.IDToken != "" || c.Audience != "") && !st.stored {
		return errIdentity
	}
	n := &node{program: p, state: st, began: time.Now(), joined: st.stored, keyless: st.stored && !force}
	envknob.Setenv("TSNET_FORCE_LOGIN", map[bool]string{true: "1", false: ""}[force])
	if n.expose, err = parseExpose(p.Config.Expose, p.Config.Private); err != nil {
		p.status.warn(err.Error() + "; peers reach nothing")
	}
	if err := n.openDevice(); err != nil {
		return err
	}
	n.srv = n.server()
	if err := n.start(ctx); err != nil {
		if n.device != nil {
			n.device.Close()
		}
		return err
	}
	defer n.stop()
	if n.device == nil {
		n.receive()
	}
	n.publish()
	if err := n.prefer(ctx); err != nil {
		return err
	}
	p.life.Store(n)
	defer p.life.Store(nil)
	return n.watch(ctx)
}

// server is tsnet's, with the credentials only where they are needed: tsnet would turn a
// client's secret into a new key at each start, and not start where that fails.
func (n *node) server() *tsnet.Server {
	c := n.Config
	backend := n.Log.Named("backend").Sugar()
	s := &tsnet.Server{
		Dir: n.state.dir, Hostname: c.Hostname, ControlURL: c.ControlURL, Ephemeral: c.Ephemeral,
		Port: c.Port, AdvertiseTags: c.Tags,
		Tun: n.device, Logf: backend.Debugf, UserLogf: backend.Debugf,
	}
	if !n.keyless {
		s.AuthKey = c.AuthKey
	}
	return s
}

// plain says whether the credentials are a key, for which Tailscale has to be asked
// nothing first.
func (n *node) plain() bool { return !strings.HasPrefix(n.Config.AuthKey, "tskey-client-") }

// errIdentity refuses the one kind of credentials whose code brings the SDK of a cloud
// along, which is larger than all else here.
var errIdentity = &failure{
	reason: wire.BadKey, text: "an identity token (TS_ID_TOKEN, TS_AUDIENCE) cannot be used to join",
	cure: "set TS_CLIENT_SECRET with TS_TAGS, or TAILSCALE_AUTHKEY",
}

// start starts tsnet. Only a client's secret makes that wait for the network; a stop in
// the meantime is not waited for.
func (n *node) start(ctx context.Context) error {
	started := make(chan error, 1)
	go func() { started <- n.srv.Start() }()
	slow := time.After(patience)
	for waiting := true; waiting; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-slow:
			n.tell(wire.Status{
				State: wire.Starting, Reason: wire.ControlUnreachable, Cure: reachCure,
				Text: fmt.Sprintf("Tailscale has not made a key of the client's secret for %v", patience),
			})
		case err := <-started:
			if err != nil {
				return n.startFailure(err)
			}
			waiting = false
		}
	}
	lc, err := n.srv.LocalClient()
	if err != nil {
		return fmt.Errorf("asking the node: %w", err)
	}
	n.lc = lc
	return nil
}

// startFailure tells whose fault it is that tsnet does not start.
func (n *node) startFailure(err error) error {
	if !strings.Contains(err.Error(), "error resolving auth key") {
		return fmt.Errorf("starting the node: %w", err)
	}
	f := loginFailure(err.Error(), n.Config.ControlURL)
	return &f
}

// stop ends the node; an ephemeral one is logged out and forgets what it was.
func (n *node) stop() {
	n.hideNames()
	done := make(chan error, 1)
	go func() { done <- n.srv.Close() }()
	select {
	case err := <-done:
		if err != nil {
			n.Log.Warn("ending the node", zap.Error(err))
		}
	case <-time.After(stopTime):
		n.Log.Warn("the node did not end in time", zap.Duration("limit", stopTime))
	}
	if n.Config.Ephemeral {
		if err := n.state.forget(); err != nil {
			n.Log.Warn(err.Error())
		}
	}
}

// prefer sets what tsnet has no field for. Each start of tsnet forgets it.
func (n *node) prefer(ctx context.Context) error {
	mp := &ipn.MaskedPrefs{Prefs: *n.prefs(), RouteAllSet: true, RunSSHSet: true, AdvertiseRoutesSet: true}
	if _, err := n.lc.EditPrefs(ctx, mp); err != nil {
		return fmt.Errorf("setting the node's preferences: %w", err)
	}
	return nil
}

// prefs are the preferences that the configuration asks for.
func (n *node) prefs() *ipn.Prefs {
	c := n.Config
	prefs := ipn.NewPrefs()
	prefs.Hostname, prefs.ControlURL, prefs.AdvertiseTags = c.Hostname, c.ControlURL, c.Tags
	prefs.WantRunning, prefs.RouteAll, prefs.RunSSH = true, c.AcceptRoutes, n.wantsSSH()
	if len(c.Routes) > 0 && n.device != nil {
		n.status.warn("TS_ROUTES: with a network device the box forwards, but does not translate: the subnets need a route back to the tailnet")
	}
	for _, r := range c.Routes {
		prefix, err := netip.ParsePrefix(r)
		if err != nil {
			n.status.warn(fmt.Sprintf("TS_ROUTES: %q is not a network, as 10.0.0.0/8 is one", r))
			continue
		}
		prefs.AdvertiseRoutes = append(prefs.AdvertiseRoutes, prefix.Masked())
	}
	return prefs
}

// How often the node is looked at without being asked to, and the pause after a look where
// much changes: short at first, since a box that joins should not wait for it.
const (
	lookEvery  = 5 * time.Second
	firstPeace = 5 * time.Millisecond
	lastPeace  = 100 * time.Millisecond
)

// watch follows what happens to the node until ctx ends.
func (n *node) watch(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	peace := firstPeace
	for ctx.Err() == nil {
		changed, err := n.listen(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for open := true; open && ctx.Err() == nil; {
			if err := n.look(ctx); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
			case <-time.After(peace):
			}
			peace = min(2*peace, lastPeace)
			select {
			case <-ctx.Done():
			case <-tick.C:
				peace = firstPeace
			case _, open = <-changed:
			}
		}
	}
	return nil
}

// listen subscribes to the node's changes. The channel is closed when the node drops a
// listener that was too slow.
func (n *node) listen(ctx context.Context) (<-chan struct{}, error) {
	w, err := n.lc.WatchIPNBus(ctx, ipn.NotifyInitialState|ipn.NotifyInitialHealthState|ipn.NotifyPeerChanges)
	if err != nil {
		return nil, fmt.Errorf("listening to the node: %w", err)
	}
	changed := make(chan struct{}, 1)
	go func() {
		defer close(changed)
		defer w.Close()
		for {
			note, err := w.Next()
			if err != nil {
				return
			}
			if note.Health != nil {
				n.mu.Lock()
				n.health = note.Health.Warnings
				n.mu.Unlock()
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}

// look brings everything up to date with the node: the status, and later what hangs on it.
func (n *node) look(ctx context.Context) error {
	f, err := n.facts(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if n.names.set(f.status) {
		n.renamed()
	}
	if n.device != nil {
		if err := n.configure(f.status); err != nil {
			n.status.warn(err.Error())
		}
	}
	s := classify(f)
	s.Warnings = append(s.Warnings, relayed(f.status)...)
	s.Warnings = append(s.Warnings, n.offer(ctx, f.status)...)
	// Who finds the node not working looks at the status for the reason: it is never behind.
	up := f.status.BackendState == ipn.Running.String()
	if up && !n.up() {
		n.working.Store(&f.now)
	}
	n.tell(s)
	if !up {
		n.working.Store(nil)
	}
	return n.relogin(ctx, f, s)
}

// facts asks the node.
func (n *node) facts(ctx context.Context) (facts, error) {
	st, err := n.lc.Status(ctx)
	if err != nil {
		return facts{}, fmt.Errorf("asking the node for its status: %w", err)
	}
	prefs, err := n.lc.GetPrefs(ctx)
	if err != nil {
		return facts{}, fmt.Errorf("asking the node for its preferences: %w", err)
	}
	up := st.BackendState == ipn.Running.String()
	n.joined = n.joined || up
	if !up || n.srv.Sys().HealthTracker.Get().GetInPollNetMap() {
		n.heard = time.Now()
	}
	f := facts{
		status: st, prefs: prefs, control: n.Config.ControlURL, credentials: n.Config.AuthKey != "",
		joined: n.joined, keyless: n.keyless, now: time.Now(), began: n.began, heard: n.heard,
	}
	n.mu.Lock()
	f.health = n.health
	n.mu.Unlock()
	return f, nil
}
