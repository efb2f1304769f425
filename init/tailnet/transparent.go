package tailnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/init/tailnet/transparent"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// serveTransparent answers for the services that are transparent: those whose listeners
// we were started with, and those that init sends us later.
func (p *program) serveTransparent() (end func()) {
	filters := p.Filters
	server, err := transparent.Start(transparent.Options{
		Tailnet: carrier{p}, Dir: p.Run, Log: p.Log.Named("transparent"),
		Memory: transparent.MemoryBy(filepath.Join(p.Run, wire.InitFilterSocket)),
	})
	if err != nil {
		p.Log.Error("services cannot be transparent", zap.Error(err))
		p.status.amend(func(base *wire.Status) { base.Transparent = err.Error() })
		for _, f := range filters {
			f.Close() // init has it too: their calls wait
		}
		return func() {}
	}
	for _, f := range filters {
		if err := server.Add(f); err != nil {
			p.Log.Error("a service is not transparent", zap.Error(err))
		}
	}
	l, err := listenPackets(filepath.Join(p.Run, wire.FilterSocket))
	if err != nil {
		p.Log.Error("services cannot be transparent", zap.Error(err))
		p.status.amend(func(base *wire.Status) { base.Transparent = err.Error() })
		return server.Close
	}
	go p.ended("the socket of the filters", func() error { return p.takeFilters(l, server) })
	return func() {
		l.Close()
		server.Close()
	}
}

func listenPackets(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("opening the socket of the filters: %w", err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("opening the socket of the filters: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // init's alone
		l.Close()
		return nil, fmt.Errorf("opening the socket of the filters: %w", err)
	}
	return l, nil
}

// takeFilters takes connections with one listener each.
func (p *program) takeFilters(l *net.UnixListener, server *transparent.Server) error {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		if err := server.Take(conn); err != nil {
			p.Log.Error("a service is not transparent", zap.Error(err))
		}
	}
}

// carrier is the tailnet as package transparent needs it.
type carrier struct{ p *program }

// State is asked at each call.
func (c carrier) State() transparent.State {
	n := c.p.life.Load()
	st := c.p.status.get()
	switch {
	case n != nil && n.device != nil:
		return transparent.State{Device: true}
	case n != nil && n.up():
		var own []netip.Addr
		for _, text := range st.Addresses {
			if a, err := netip.ParseAddr(text); err == nil {
				own = append(own, a)
			}
		}
		return transparent.State{Addresses: own}
	case st.State == wire.Starting && st.Reason == "":
		return transparent.State{}
	}
	return transparent.State{Err: errors.New(line(st))}
}

// joinTick is how often somebody who waits for the box to join looks.
const joinTick = 10 * time.Millisecond

// Dial waits for the box to join, as it does anew whenever this program was started.
func (c carrier) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	tick := time.NewTicker(joinTick)
	defer tick.Stop()
	for st := c.State(); len(st.Addresses) == 0 && st.Err == nil && !st.Device; st = c.State() {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return c.p.dialAddress(ctx, network, to)
}
