package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/fleek-platform/nix2vast/init/tailnet/transparent"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// carrier stands for the tailnet's program: all that it does with init and with services,
// over a tailnet in which every address says hello.
type carrier struct{ greeter string }

func (c carrier) State() transparent.State {
	return transparent.State{Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}}
}

func (c carrier) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, c.greeter)
}

// carrierMain is the carrier as a program; alone it has no help of init's.
func carrierMain(alone bool) {
	if err := carry("/run/nix2vast", alone); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func carry(dir string, alone bool) error {
	greeter, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := greeter.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello from the tailnet\n")
			c.Close()
		}
	}()
	o := transparent.Options{Tailnet: carrier{greeter.Addr().String()}, Dir: dir, Log: zap.NewExample()}
	if !alone {
		o.Memory = transparent.MemoryBy(filepath.Join(dir, wire.InitFilterSocket))
	}
	server, err := transparent.Start(o)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, wire.FilterSocket)
	_ = os.Remove(path) // of the run before this one
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return err
	}
	notify, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	if _, err := io.WriteString(notify, "READY=1"); err != nil {
		return err
	}
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return err
		}
		if err := server.Take(conn); err != nil {
			return err
		}
	}
}
