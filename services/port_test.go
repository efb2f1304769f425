package services

import (
	"net"
	"testing"
)

func TestPortFree(t *testing.T) {
	taken := speaker(t, "")
	_, port, _ := net.SplitHostPort(taken)
	if err := portFree(taken); err == nil || err.Error() != "port "+port+" is taken by another process" {
		t.Errorf("a taken port: %v", err)
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	if err := portFree("127.0.0.1:" + port); err == nil {
		t.Error("a port taken on all addresses passed")
	}
	for _, p := range []Probe{{TCP: "127.0.0.1:" + port}, {HTTP: "http://127.0.0.1:" + port + "/x"}} {
		if p.portFree() == nil {
			t.Errorf("a taken port passed: %+v", p)
		}
	}
	for _, p := range []Probe{{HTTP: "http://localhost:" + port}, {HTTP: "http://192.0.2.1:" + port}, {Exec: []string{"x"}}} {
		if err := p.portFree(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	l.Close()
	if err := portFree("127.0.0.1:" + port); err != nil {
		t.Errorf("a free port: %v", err)
	}
}
