package unitfile

import (
	"os"
	"testing"
)

// What an enable did is undone, and nothing else.
func TestRemember(t *testing.T) {
	dir := t.TempDir()
	r := root(dir)
	const unit, old = "[Service]\nExecStart=/bin/new\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n", "[Service]\nExecStart=/bin/old\n"
	write(t, r, "/etc/systemd/system/old.service", old)
	write(t, r, "/etc/systemd/system/some.target.wants/kept", "")
	write(t, r, "/root/old.service", unit)
	write(t, r, "/root/fresh.service", unit)
	before, err := r.remembered()
	if err != nil || len(before) != 3 {
		t.Fatalf("%v, %v", before, err)
	}
	undo, err := Remember(dir, "/root/old.service", "/root/fresh.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "fresh"} {
		if _, _, err := Install(dir, r.at("/root/"+name+".service")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Enable(dir, "fresh"); err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	after, err := r.remembered()
	if err != nil || len(after) != len(before) {
		t.Errorf("%v, %v, and there was %v", after, err, before)
	}
	if b, err := os.ReadFile(r.at("/etc/systemd/system/old.service")); err != nil || string(b) != old {
		t.Errorf("%s, %v", b, err)
	}
}
