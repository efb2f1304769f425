package unitfile

import (
	"os"
	"path"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/fleek-platform/nix2vast/services"
)

// tree makes a root with files. A text "-> TARGET" is a symbolic link; a file
// without a folder is in /usr/lib/systemd/system.
func tree(t *testing.T, files map[string]string) root {
	t.Helper()
	r := root(t.TempDir())
	for file, text := range files {
		if !strings.HasPrefix(file, "/") {
			file = "/usr/lib/systemd/system/" + file
		}
		write(t, r, file, text)
	}
	return r
}

func write(t *testing.T, r root, file, text string) {
	t.Helper()
	if err := os.MkdirAll(path.Dir(r.at(file)), 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		err = os.Symlink(target, r.at(file))
	} else {
		err = os.WriteFile(r.at(file), []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func names(list []services.Service) string {
	var all []string
	for _, svc := range list {
		all = append(all, svc.Name)
	}
	return strings.Join(all, " ")
}

func words(cmds services.Commands) string {
	var all []string
	for _, c := range cmds {
		all = append(all, strings.Join(c.Argv, " "))
	}
	return strings.Join(all, "; ")
}

const start = "[Service]\nExecStart=/bin/"

func TestLoadFinds(t *testing.T) {
	r := tree(t, map[string]string{
		"/lib/systemd/system/a.service":           start + "lib",
		"a.service":                               start + "usr",
		"/usr/local/lib/systemd/system/a.service": start + "local",
		"/run/systemd/system/b.service":           start + "run",
		"b.service":                               start + "usr",
		"/etc/systemd/system/b.service":           start + "etc",
		"masked.service":                          start + "x",
		"/etc/systemd/system/masked.service":      "-> /dev/null",
		"empty.service":                           start + "x",
		"/run/systemd/system/empty.service":       "",
		"real.service":                            start + "real",
		"/etc/systemd/system/alias.service":       "-> /usr/lib/systemd/system/real.service",
		"/etc/systemd/system/alias2.service":      "-> alias.service",
		"/opt/app/app.service":                    start + "app",
		"/etc/systemd/system/linked.service":      "-> ../../../opt/app/app.service",
		"t@.service":                              start + "t %i",
		"t@special.service":                       start + "special",
		"/etc/systemd/system/u@.service":          "-> /usr/lib/systemd/system/t@.service",
		"d@.service":                              start + "d %i\n[Install]\nDefaultInstance=tty1",
		"loop.service":                            "-> loop.service",
		"gone.service":                            "-> /nowhere",
	})
	// What leads out of the root must end in it.
	write(t, r, "/etc/systemd/system/out.service", "-> ../../../../../../../../../opt/app/app.service")
	for _, c := range []struct{ name, want, command string }{
		{"a", "a", "/bin/local"},
		{"b.service", "b", "/bin/etc"},
		{"alias", "real", "/bin/real"},
		{"alias2.service", "real", "/bin/real"},
		{"linked", "linked", "/bin/app"},
		{"out", "out", "/bin/app"},
		{"t@1.service", "t@1", "/bin/t 1"},
		{"t@special", "t@special", "/bin/special"},
		{"u@2", "t@2", "/bin/t 2"},
		{"d@", "d@tty1", "/bin/d tty1"},
	} {
		list, err := Load(string(r), c.name)
		if err != nil || names(list) != c.want || words(list[0].ExecStart) != c.command {
			t.Errorf("%s: %q %+v, %v; want %q %q", c.name, names(list), list, err, c.want, c.command)
		}
	}
	for name, want := range map[string]string{"masked": "masked.service: it is masked", "empty": "empty.service: it is masked", "none": "none.service: there is no such unit",
		"t@": "/usr/lib/systemd/system/t@.service: it is a template; name an instance, such as t@1", "x.timer": "x.timer: timers are not supported: ",
		"../a": `"../a.service" is not the name of a unit`, "loop": "too many levels of symbolic links", "gone": "there is no such unit"} {
		list, err := Load(string(r), name)
		if len(list) != 0 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v, want %q", name, names(list), err, want)
		}
	}
	list, err := Load(string(r), "real", "alias", "none", "a")
	if names(list) != "real a" || len(services.Split(err)) != 1 {
		t.Errorf("%s, %v: good services must come beside what is wrong", names(list), err)
	}
}

func TestDropIns(t *testing.T) {
	r := tree(t, map[string]string{
		"a-b-c.service":                                   start + "a\nEnvironment=BASE=1",
		"service.d/10-all.conf":                           "[Service]\nEnvironment=ALL=1 LAST=10",
		"a-.service.d/20-a.conf":                          "[Service]\nEnvironment=A=1 LAST=20",
		"a-b-.service.d/30-ab.conf":                       "[Service]\nEnvironment=AB=1 LAST=30",
		"a-b-c.service.d/40-own.conf":                     "[Service]\nEnvironment=USR=1 LAST=40",
		"/etc/systemd/system/a-b-c.service.d/40-own.conf": "[Service]\nEnvironment=ETC=1 LAST=40",
		"/run/systemd/system/a-b-c.service.d/05-run.conf": "[Service]\nEnvironment=RUN=1 LAST=05\nExecStart=\nExecStart=/bin/new",
		"a-b-c.service.d/50-off.conf":                     "[Service]\nEnvironment=OFF=1",
		"/etc/systemd/system/a-b-c.service.d/50-off.conf": "-> /dev/null",
		"a-b-c.service.d/60-not-me.txt":                   "[Service]\nEnvironment=TXT=1",
		"service.d/40-own.conf":                           "[Service]\nEnvironment=TYPE=1",
		"t@.service":                                      start + "t",
		"t@.service.d/x.conf":                             "[Service]\nUser=%i",
		"t@1.service.d/y.conf":                            "[Service]\nGroup=%i\nbad",
	})
	list, err := Load(string(r), "a-b-c")
	if err != nil || len(list) != 1 {
		t.Fatal(err)
	}
	want := map[string]string{"BASE": "1", "ALL": "1", "A": "1", "AB": "1", "ETC": "1", "RUN": "1", "LAST": "40"}
	if !reflect.DeepEqual(list[0].Environment, want) || words(list[0].ExecStart) != "/bin/new" {
		t.Errorf("%v, %v", list[0].Environment, words(list[0].ExecStart))
	}
	list, err = Load(string(r), "t@1")
	if len(list) != 1 || list[0].User != "1" || list[0].Group != "1" {
		t.Errorf("%+v", list)
	}
	sameProblems(t, services.Split(err), []string{`/usr/lib/systemd/system/t@1.service.d/y.conf:3: "bad" is not of the form`})
	text, err := Cat(string(r), "t@1.service")
	if want := "# /usr/lib/systemd/system/t@.service\n" + start + "t\n\n# /usr/lib/systemd/system/service.d/10-all.conf\n"; err != nil || !strings.HasPrefix(text, want) ||
		!strings.HasSuffix(text, "\n\n# /usr/lib/systemd/system/t@1.service.d/y.conf\n[Service]\nGroup=%i\nbad\n") {
		t.Errorf("%s %v", text, err)
	}
	if _, err := Cat(string(r), "none"); err == nil {
		t.Error("Cat of nothing is no error")
	}
}

func TestLoadFollows(t *testing.T) {
	r := tree(t, map[string]string{
		"web.service": "[Unit]\nWants=cache.service ghost.service web-net.target web.mount systemd-journald.service\nRequires=db@main.service gone.service\n" +
			"BindsTo=bound.service\nAfter=alias.service network.target other.service gpu.service\nBefore=web.service\nConflicts=shutdown.target cache.service\n" + start + "web",
		"cache.service":                          "[Unit]\nWants=deep.service\n" + start + "cache",
		"deep.service":                           "[Unit]\nWants=web.service masked.service\n" + start + "deep",
		"db@.service":                            "[Unit]\nPartOf=web.service\n" + start + "db",
		"bound.service":                          start + "bound",
		"other.service":                          start + "other",
		"masked.service":                         "",
		"systemd-journald.service":               start + "journald",
		"linked.service":                         start + "linked",
		"upheld.service":                         start + "upheld",
		"/etc/systemd/system/alias.service":      "-> /usr/lib/systemd/system/cache.service",
		"web.service.wants/linked.service":       "-> ../linked.service",
		"web.service.upholds/upheld.service":     "-> ../upheld.service",
		"web.service.requires/db@second.service": "-> ../db@.service",
	})
	list, err := LoadBeside(string(r), []string{"gpu"}, "web")
	if names(list) != "web cache linked upheld db@main db@second bound deep" {
		t.Fatalf("%s, %v", names(list), err)
	}
	sameProblems(t, services.Split(err), []string{"web.service:3: Requires: gone.service: there is no such unit; it starts without"})
	web := list[0]
	for field, c := range map[string][2][]string{
		"After": {web.After, {"cache", "gpu"}}, "Before": {web.Before, nil}, "Wants": {web.Wants, {"cache", "linked", "upheld"}},
		"Requires": {web.Requires, {"db@main", "db@second"}}, "BindsTo": {web.BindsTo, {"bound"}}, "Conflicts": {web.Conflicts, {"cache"}},
		"PartOf": {list[4].PartOf, {"web"}},
	} {
		if !reflect.DeepEqual(c[0], c[1]) {
			t.Errorf("%s: %q, want %q", field, c[0], c[1])
		}
	}
	if web.Source != "/usr/lib/systemd/system/web.service" || web.Restart != services.RestartNo {
		t.Errorf("%q %q", web.Source, web.Restart)
	}
	if err := services.Check(list, "gpu"); err != nil {
		t.Errorf("what Load gives names services that are not there: %v", err)
	}
}

func TestLoadLeavesOut(t *testing.T) {
	r := tree(t, map[string]string{
		"bad.service":    start + "x\nRestart=alway",
		"odd.service":    start + "x\nRestrat=always",
		"needs.service":  "[Unit]\nRequires=bad.service\nAfter=bad.service\n" + start + "y",
		"folder.service": "-> /usr",
	})
	if err := syscall.Mkfifo(r.at("/usr/lib/systemd/system/pipe.service"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := Load(string(r), "bad", "odd", "needs", "folder", "pipe")
	if names(list) != "odd needs" || list[1].After != nil {
		t.Errorf("%s, %q", names(list), list[1].After)
	}
	sameProblems(t, services.Split(err), []string{"odd.service:3: [Service] has no \"Restrat\"; did you mean Restart?",
		"needs.service:2: Requires: bad.service: its definition is of no use; it starts without",
		"bad.service:3: Restart \"alway\" is none of", "folder.service: reading /usr/lib/systemd/system/folder.service: it is not a regular file",
		"folder.service: ExecStart is empty", "pipe.service: reading /usr/lib/systemd/system/pipe.service: it is not a regular file", "pipe.service: ExecStart is empty"})
}

func TestSockets(t *testing.T) {
	r := tree(t, map[string]string{
		"web.service": start + "web",
		"web.socket": "[Socket]\nListenStream=99\nListenStream=\nListenStream=%t/web.sock\nListenDatagram=127.0.0.1:53\nListenSequentialPacket=/run/q\n" +
			"SocketMode=0660\nSocketUser=web\nSocketGroup=www\nBacklog=9\nListenStream=@abstract",
		"docker.service":  "[Unit]\nRequires=docker.socket\nAfter=docker.socket\n" + start + "dockerd",
		"docker.socket":   "[Socket]\nListenStream=2375\nFileDescriptorName=api",
		"asked.service":   "[Service]\nSockets=one.socket two.socket\nExecStart=/bin/asked",
		"one.socket":      "[Socket]\nService=asked.service\nListenStream=1",
		"two.socket":      "[Socket]\nService=asked.service\nListenStream=2",
		"client.service":  "[Unit]\nRequires=docker.socket\n" + start + "client",
		"inetd@.service":  start + "inetd",
		"inetd.socket":    "[Socket]\nListenStream=7\nAccept=yes",
		"alone.socket":    "[Socket]\nListenStream=8",
		"badport.service": start + "x",
		"badport.socket":  "[Socket]\nListenStream=x",
		"sockets.target":  "",
		"plain.service":   start + "plain",
		"plain.socket":    "[Socket]\nListenStream=5",
		"reset.service":   start + "reset",
		"reset.socket":    "[Socket]\nListenStream=6",
		"/etc/systemd/system/sockets.target.wants/reset.socket": "-> /usr/lib/systemd/system/reset.socket",
	})
	for _, c := range []struct {
		name, want string
		sockets    []services.Socket // of the first service
		problems   []string
	}{
		{"web.socket", "web", []services.Socket{
			{Listen: "/run/web.sock", Type: "stream", Name: "web.socket", Mode: services.Mode{Set: true, FileMode: 0o660}, User: "web", Group: "www"},
			{Listen: "127.0.0.1:53", Type: "datagram", Name: "web.socket", Mode: services.Mode{Set: true, FileMode: 0o660}, User: "web", Group: "www"},
			{Listen: "/run/q", Type: "seqpacket", Name: "web.socket", Mode: services.Mode{Set: true, FileMode: 0o660}, User: "web", Group: "www"}}, nil},
		{"web", "web", nil, nil}, // not enabled
		{"reset", "reset", []services.Socket{{Listen: "6", Type: "stream", Name: "reset.socket"}}, nil},
		{"plain", "plain", nil, nil},
		{"docker", "docker", []services.Socket{{Listen: "2375", Type: "stream", Name: "api"}}, nil},
		{"asked", "asked", []services.Socket{{Listen: "1", Type: "stream", Name: "one.socket"}, {Listen: "2", Type: "stream", Name: "two.socket"}}, nil},
		{"client", "client docker", nil, nil},
		{"inetd.socket", "", nil, []string{"inetd.socket:3: Accept=yes, a service for each connection, is not supported"}},
		{"alone.socket", "", nil, []string{"alone.socket: its service alone.service: there is no such unit"}},
		{"badport.socket", "", nil, []string{`badport.service: Sockets: Listen "x" is neither a port`}},
		{"none.socket", "", nil, []string{"none.socket: there is no such unit"}},
	} {
		list, err := Load(string(r), c.name)
		if names(list) != c.want {
			t.Errorf("%s: %q, want %q", c.name, names(list), c.want)
		} else if len(list) > 0 && !reflect.DeepEqual(list[0].Sockets, c.sockets) {
			t.Errorf("%s: %+v\nwant %+v", c.name, list[0].Sockets, c.sockets)
		}
		t.Run(c.name, func(t *testing.T) { sameProblems(t, services.Split(err), c.problems) })
	}
	list, _ := Load(string(r), "web.socket")
	if want := []string{"Backlog", "ListenStream=@abstract"}; !reflect.DeepEqual(list[0].Unapplied, want) {
		t.Errorf("%q, want %q", list[0].Unapplied, want)
	}
	if list, _ := Load(string(r), "client"); !reflect.DeepEqual(list[0].Requires, []string{"docker"}) {
		t.Errorf("what needs a socket needs its service: %q", list[0].Requires)
	}
}
