package boot

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

func TestParseStat(t *testing.T) {
	const line = "57 (a (b) c) R 12 50 40 0 -1 4194560 100 0 0 0 150 50 7 8 20 0 3 0 1234 99999 25 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
	want := process{parent: 12, group: 50, session: 40, threads: 3, cpu: 2 * time.Second, waited: 150 * time.Millisecond, start: 1234, memory: 25 * int64(os.Getpagesize())}
	if got, ok := parseStat([]byte(line)); !ok || got != want {
		t.Errorf("%+v, %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "57", "57 (x)", "57 (x) R 1 2", strings.Replace(line, ") R", ") Z", 1)} {
		if got, ok := parseStat([]byte(bad)); ok {
			t.Errorf("%q: %+v", bad, got)
		}
	}
}

func TestReadProcessesSeesThisOne(t *testing.T) {
	all, err := readProcesses("/")
	if err != nil {
		t.Fatal(err)
	}
	self := all[os.Getpid()]
	if self.parent != os.Getppid() || self.memory == 0 || self.threads == 0 {
		t.Errorf("this process is %+v", self)
	}
}

func TestUsage(t *testing.T) {
	list := []services.Status{{Name: "web", State: services.Ready, Pid: 10, Restarts: 2}, {Name: "idle", State: services.Stopped}, {Name: "db", State: services.Ready, Pid: 20}}
	before := map[int]process{
		10: {cpu: time.Second, start: 1}, 20: {cpu: time.Second, start: 1},
		12: {cpu: time.Hour, start: 1}, // its number was taken by another since
	}
	now := map[int]process{
		1:  {threads: 9, memory: 5, cpu: time.Second, waited: time.Hour},
		10: {parent: 1, group: 10, session: 10, threads: 1, memory: 100, cpu: 1500 * time.Millisecond, waited: time.Minute, start: 1},
		11: {parent: 10, group: 11, session: 10, threads: 2, memory: 50},               // of the session
		12: {parent: 1, group: 10, session: 99, cpu: 500 * time.Millisecond, start: 5}, // of the group
		13: {parent: 11, group: 13, session: 13},                                       // a grandchild with a session of its own
		20: {parent: 1, group: 20, session: 20, cpu: time.Second, start: 1},
		30: {parent: 1, group: 30, session: 30, memory: 7}, // an orphan
		41: {parent: 42}, 42: {parent: 41},                 // no such thing exists
	}
	got := map[string]Usage{}
	var order []string
	for _, u := range usage(list, before, now, time.Second, 1) {
		got[u.Name] = u
		order = append(order, u.Name)
	}
	if strings.Join(order, " ") != "web idle db init (other)" {
		t.Errorf("the order is %v", order)
	}
	if web := got["web"]; web.Processes != 4 || web.Threads != 3 || web.Memory != 150 || web.CPU != 2*time.Second || web.Percent != 100 || web.Restarts != 2 {
		t.Errorf("web: %+v", web)
	}
	if web, own := got["web"].CPUTotal, got["init"].CPUTotal; web != time.Minute+2*time.Second || own != time.Second {
		t.Errorf("with what has ended: %v, and init %v", web, own)
	}
	if db := got["db"]; db.Processes != 1 || db.Percent != 0 {
		t.Errorf("db: %+v", db)
	}
	if got["idle"].Processes != 0 || got["init"].Memory != 5 || got["(other)"].Processes != 3 {
		t.Errorf("%+v", got)
	}
	if all := usage(list, nil, map[int]process{1: {}}, time.Second, 1); all[len(all)-1].Name != "init" {
		t.Error("there are others where there are none")
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "0.98 KiB", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 100 << 10: "100 KiB",
		1 << 20: "1.00 MiB", 1023 << 10: "1.00 MiB", 15 << 29: "7.50 GiB", 1 << 62: "4194304 TiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestTopText(t *testing.T) {
	now := time.Now()
	var b strings.Builder
	err := Top{Time: now, Services: []Usage{
		{Name: "web", State: services.Ready, Pid: 12, Since: now.Add(-time.Minute), Restarts: 1, Processes: 2, Threads: 3, Memory: 1 << 20, Percent: 12.34},
		{Name: "job", State: services.Backoff, Since: now.Add(-2 * time.Second)},
	}}.WriteText(&b, 62)
	want := `    CPU    MEMORY  PROCESSES  THREADS  RESTARTS  PID  SINCE  …
  12.3%  1.00 MiB          2        3         1   12   1m0s  …
   0.0%       0 B          0        0         0    -     2s  …
`
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, &b, want)
	}
}
