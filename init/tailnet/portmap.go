package tailnet

import (
	"context"
	"sync/atomic"

	"tailscale.com/feature"
	_ "tailscale.com/feature/portmapper" // sets the hook that we wrap, and therefore first
	"tailscale.com/net/netmon"
	"tailscale.com/net/portmapper/portmappertype"
	"tailscale.com/types/logger"
	"tailscale.com/util/eventbus"
)

func init() {
	hook := &portmappertype.HookNewPortMapper
	upstream := hook.Get()
	*hook = feature.Hook[newPortMapper]{}
	hook.Set(func(logf logger.Logf, bus *eventbus.Bus, netMon *netmon.Monitor, disableUPnP, onlyTCP443 func() bool) portmappertype.Client {
		return &portMapper{Client: upstream(logf, bus, netMon, disableUPnP, onlyTCP443)}
	})
}

type newPortMapper = func(logf logger.Logf, bus *eventbus.Bus, netMon *netmon.Monitor, disableUPnP, onlyTCP443 func() bool) portmappertype.Client

// portMapper asks the gateway for a port as Tailscale's does, but holds up nobody with its
// first question. Tailscale waits up to 250 ms for an answer before it chooses a relay, and
// only then does the node run; the gateway of a container, a bridge, never gives one.
type portMapper struct {
	portmappertype.Client
	asked atomic.Bool
}

// Probe knows nothing the first time, and finds out meanwhile.
func (m *portMapper) Probe(ctx context.Context) (portmappertype.ProbeResult, error) {
	if m.asked.Swap(true) {
		return m.Client.Probe(ctx)
	}
	go m.Client.Probe(context.WithoutCancel(ctx)) // it remembers what it finds
	return portmappertype.ProbeResult{}, nil
}
