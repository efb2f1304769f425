package tailnet

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

func TestHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	const theirs = "127.0.0.1\tlocalhost\n10.0.0.3\tdb # theirs\n"
	if err := os.WriteFile(path, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	inode := func() uint64 {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	read := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := inode()
	machines := []entry{
		{full: "a.tail.test", short: "a", addrs: []netip.Addr{netip.MustParseAddr("fd7a::1"), netip.MustParseAddr("100.64.0.1")}},
		{full: "db.tail.test", short: "db", addrs: []netip.Addr{netip.MustParseAddr("100.64.0.2")}},
		{full: "shared.other.ts.net", addrs: []netip.Addr{netip.MustParseAddr("100.64.0.3")}},
	}
	const ours = "100.64.0.1\ta.tail.test a\nfd7a::1\ta.tail.test a\n" +
		"100.64.0.2\tdb.tail.test\n100.64.0.3\tshared.other.ts.net\n"
	for _, list := range [][]entry{machines[:1], machines, machines} {
		if err := writeHosts(path, list); err != nil {
			t.Fatal(err)
		}
	}
	if want := theirs + hostsBegin + "\n" + ours + hostsEnd + "\n"; read() != want {
		t.Errorf("the hosts are\n%s", read())
	}
	if err := writeHosts(path, nil); err != nil || read() != theirs || inode() != before {
		t.Errorf("afterwards the hosts are (%v)\n%s", err, read())
	}

	// What a crash of the machine left.
	if err := os.WriteFile(path, []byte(theirs+hostsBegin+"\n100.64.0.1\ta.tail"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeHosts(path, nil); err != nil || read() != theirs {
		t.Errorf("of a half-written part is left (%v)\n%s", err, read())
	}
}

func TestNamesInTheBox(t *testing.T) {
	ctl := newControl(t)
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "etc/hosts")
	if err := os.WriteFile(path, []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL}
	b := newBox(t, root, c)
	b.running()
	peer := newPeer(t, ctl, "peer")
	v4, _ := peer.TailscaleIPs()
	eventually(t, func() error {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), v4.String()+"\tpeer.tail.test peer\n") {
			err = errNo("the hosts are\n" + string(text))
		}
		return err
	})
	b.stop()
	if text, err := os.ReadFile(path); err != nil || string(text) != "127.0.0.1 localhost\n" {
		t.Errorf("after the stop the hosts are (%v)\n%s", err, text)
	}

	c.AcceptDNS = new(false)
	newBox(t, root, c).running()
	if text, err := os.ReadFile(path); err != nil || strings.Contains(string(text), "tail.test") {
		t.Errorf("with TS_ACCEPT_DNS=false the hosts are (%v)\n%s", err, text)
	}
}

func TestNamesOfAnEvilServer(t *testing.T) {
	var s names
	s.entries = []entry{
		{full: "a.test\n6.6.6.6 github.com"}, {full: "no dots"}, {full: "bare"}, {full: "good.tail.test"}, {full: "b.test#x"}, {full: ""},
	}
	if list := s.list(); len(list) != 1 || list[0].full != "good.tail.test" {
		t.Errorf("they are %+v", list)
	}
}
