package tailnet

import (
	"context"
	"encoding/binary"
	"net"
	"testing"

	"tailscale.com/net/netmon"
	"tailscale.com/net/portmapper/portmappertype"
	"tailscale.com/util/eventbus"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// slow is a port mapper whose gateway takes its time.
type slow struct {
	portmappertype.Client
	answer chan portmappertype.ProbeResult
}

func (s slow) Probe(context.Context) (portmappertype.ProbeResult, error) { return <-s.answer, nil }

// TestPortMapperHoldsUpNobody: the first probe returns before the gateway has answered, the
// next ones tell what it answers.
func TestPortMapperHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := slow{answer: make(chan portmappertype.ProbeResult)}
	m := &portMapper{Client: s}
	none, found := portmappertype.ProbeResult{}, portmappertype.ProbeResult{PMP: true}
	if got, err := m.Probe(t.Context()); got != none || err != nil {
		t.Errorf("the first probe is %+v, %v", got, err)
	}
	s.answer <- found // it asks all the same
	go func() { s.answer <- found }()
	if got, err := m.Probe(t.Context()); got != found || err != nil {
		t.Errorf("the second probe is %+v, %v", got, err)
	}
}

// TestPortMapperIsUsed: who makes a port mapper by Tailscale's hook gets ours.
func TestPortMapperIsUsed(t *testing.T) {
	t.Parallel()
	bus := eventbus.New()
	defer bus.Close()
	made := portmappertype.HookNewPortMapper.Get()(t.Logf, bus, netmon.NewStatic(), nil, nil)
	defer made.Close()
	if _, ok := made.(*portMapper); !ok {
		t.Errorf("it is a %T", made)
	}
}

// gateway speaks NAT-PMP (RFC 6886) on an island's way out, and has each port mapped to that of
// the same number of an address.
func gateway(t *testing.T, at string, external [4]byte) {
	t.Helper()
	c, err := net.ListenPacket("udp4", net.JoinHostPort(at, "5351"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		for b := make([]byte, 1<<10); ; {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var answer []byte
			switch {
			case n == 2 && b[0] == 0 && b[1] == 0: // which is your address?
				answer = append([]byte{0, 128, 0, 0, 0, 0, 0, 1}, external[:]...)
			case n == 12 && b[0] == 0 && b[1] == 1: // map a port of UDP
				answer = append([]byte{0, 129, 0, 0, 0, 0, 0, 1}, b[4:6]...)
				answer = append(answer, b[4:6]...)
				answer = binary.BigEndian.AppendUint32(answer, 7200)
			default:
				continue
			}
			_, _ = c.WriteTo(answer, from) // it asks again
		}
	}()
}

// TestPortMapping: where a gateway maps ports, the node has one mapped and tells its peers.
func TestPortMapping(t *testing.T) {
	i := newIsland(t, 9)
	external := [4]byte{203, 0, 113, 7}
	gateway(t, i.hub, external)
	ctl := controlForIslands(t)
	i.join(buildProgram(t)+" --run "+i.run, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL})
	eventually(t, func() error {
		for _, n := range ctl.AllNodes() {
			for _, e := range n.Endpoints {
				if e.Addr().As4() == external {
					return nil
				}
			}
		}
		return errNo("no endpoint is the gateway's")
	})
}
