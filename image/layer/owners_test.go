package layer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/image/plan"
)

func TestOwners(t *testing.T) {
	s := newStore(t)
	root := s.add(t, "rootfs", tree{"etc/passwd": "root:x:0:0\n", "srv/data/": "", "srv/site/index": "hi", "srv/site/home": "-> index"})
	without, err := Plan(plan.Plan{Rootfs: plan.Rootfs{Path: root}})
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]string{"/srv/data": "1000:0", "/srv/site": "1000:100", "/srv/site/index": "1000:100", "/srv/site/home": "0:999999999"}
	layers, err := Plan(plan.Plan{Rootfs: plan.Rootfs{Path: root, Owners: owners}})
	if err != nil {
		t.Fatal(err)
	}
	if layers[0].Key == without[0].Key {
		t.Error("the owners are no part of the key")
	}
	got := map[string][2]int{}
	for _, m := range members(t, s.tarOf(t, layers[0])) {
		got[strings.TrimSuffix(m.Name, "/")] = [2]int{m.Uid, m.Gid}
		if (m.Uname == "root") != (m.Uid == 0) || (m.Gname == "root") != (m.Gid == 0) {
			t.Errorf("%s belongs to %d(%s):%d(%s)", m.Name, m.Uid, m.Uname, m.Gid, m.Gname)
		}
	}
	for name, want := range map[string][2]int{
		"etc/passwd": {}, "srv": {}, "srv/data": {1000, 0}, "srv/site": {1000, 100}, "srv/site/index": {1000, 100}, "srv/site/home": {0, 999_999_999},
	} {
		if got[name] != want {
			t.Errorf("%s belongs to %v, want %v", name, got[name], want)
		}
	}
	layers[0].Items[0].Owners = map[string]string{"/srv/gone": "1:1"}
	if err := layers[0].Tar(t.Context(), &bytes.Buffer{}, string(s)); err == nil || !strings.Contains(err.Error(), "there is no /srv/gone in") {
		t.Errorf("an owner of nothing: %v", err)
	}
	for _, bad := range []string{"", "1000", "a:b", "1:2:3"} {
		if _, err := Plan(plan.Plan{Rootfs: plan.Rootfs{Path: root, Owners: map[string]string{"/srv/data": bad}}}); err == nil {
			t.Errorf("%q is taken for an owner", bad)
		}
	}
}
