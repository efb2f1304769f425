package modular

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

func good(t *testing.T, text string) (map[string]services.Service, []File) {
	t.Helper()
	list, files, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	all := map[string]services.Service{}
	for _, svc := range list {
		all[svc.Name] = svc
	}
	return all, files
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %#v, want %#v", what, got, want)
	}
}

func names(list []services.Service) string {
	var all []string
	for _, svc := range list {
		all = append(all, svc.Name)
	}
	return strings.Join(all, " ")
}

// TestCompliance has the cases of nixpkgs' testers.modularServiceCompliance.
func TestCompliance(t *testing.T) {
	b, err := os.ReadFile("testdata/compliance.json")
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := Parse("compliance.json", b)
	same(t, "the services", names(list), "basic-argv sub-services.a sub-services.a.b sub-services.a.b.c warned warned.inner")
	all := map[string]services.Service{}
	for _, svc := range list {
		all[svc.Name] = svc
	}
	same(t, "testProcessArgv", all["basic-argv"].ExecStart, services.Argv("/nix/store/a-test-program/bin/test-program", "--arg1", "two words", "", "$HOME", "'"))
	same(t, "testSubServiceArgv", all["sub-services.a.b.c"].ExecStart, services.Argv("/nix/store/a-test-program/bin/test-program", "c"))
	var texts []string
	for _, e := range services.Split(err) {
		texts = append(texts, e.Error())
	}
	same(t, "testAssertions, testFailingAssertionValue and testWarnings", texts, []string{
		"compliance.json:18: service failing: you cannot enable this together with that",
		"compliance.json:26: service sub-failing.inner: the inner assertion",
		"compliance.json:33: service warned: this option is obsolete",
		"compliance.json:37: service warned.inner: the inner warning",
	})
}

func TestForms(t *testing.T) {
	for _, c := range []struct {
		name, json string // of the service s
		field      func(services.Service) any
		want       any
	}{
		{"words are not read", `"process": {"argv": ["/a", "$B", "c d"]}`, func(s services.Service) any { return s.ExecStart }, services.Argv("/a", "$B", "c d")},
		{"the defaults", `"process": {"argv": ["/a"]}`, func(s services.Service) any { return [2]any{s.Type, s.Restart} }, [2]any{services.Simple, services.RestartAlways}},
		{"environment", `"process": {"argv": ["/a"], "environment": {"A": "1", "B": null}}`, func(s services.Service) any {
			return [2]any{s.Environment, s.UnsetEnvironment}
		}, [2]any{map[string]string{"A": "1"}, []string{"B"}}},
		{"what argv has already", `"process": {"argv": ["/a"], "flags": {"--x": true}, "flagFormat": null}`, func(s services.Service) any { return s.ExecStart }, services.Argv("/a")},
		{"reloadCommand", `"process": {"argv": ["/a"], "reloadSignal": "HUP", "reloadCommand": "/bin/kill -HUP $MAINPID"}`, func(s services.Service) any { return s.ExecReload },
			services.Commands{{Argv: []string{"/bin/kill", "-HUP", "$MAINPID"}, Expand: true}}},
		{"reloadSignal", `"process": {"argv": ["/a"], "reloadSignal": "SIGUSR1", "reloadCommand": null}`, func(s services.Service) any { return s.ExecReload[0].Argv },
			[]string{"/bin/sh", "-c", `kill -s USR1 "$MAINPID"`}},
		{"systemd's notification", `"process": {"argv": ["/a"]}, "notificationProtocol": ["systemd"]`, func(s services.Service) any { return [2]any{s.Type, s.NotificationFd} }, [2]any{services.Notify, 0}},
		{"s6's", `"process": {"argv": ["/a"]}, "notificationProtocol": ["s6"]`, func(s services.Service) any { return [2]any{s.Type, s.NotificationFd} }, [2]any{services.Notify, 3}},
		{"as an object", `"process": {"argv": ["/a"]}, "notificationProtocol": {"systemd": true, "s6": false}`, func(s services.Service) any { return [2]any{s.Type, s.NotificationFd} }, [2]any{services.Notify, 0}},
		{"as an object of both", `"process": {"argv": ["/a"]}, "notificationProtocol": {"systemd": true, "s6": true}`, func(s services.Service) any { return [2]any{s.Type, s.NotificationFd} }, [2]any{services.Notify, 3}},
		{"as one word", `"process": {"argv": ["/a"]}, "notificationProtocol": "none"`, func(s services.Service) any { return s.Type }, services.Simple},
		{"our fields", `"process": {"argv": ["/a"], "environment": {"A": "1"}}, "nix2vast": {"Requires": ["db"], "RestartSec": 2, "Environment": {"B": "2"}, "Probe": {"TCP": "127.0.0.1:80"}, "User": null}`,
			func(s services.Service) any {
				return [4]any{s.Requires, time.Duration(*s.RestartSec), s.Environment, *s.Probe}
			},
			[4]any{[]string{"db"}, 2 * time.Second, map[string]string{"A": "1", "B": "2"}, services.Probe{TCP: "127.0.0.1:80"}}},
		{"ours win", `"process": {"argv": ["/a"]}, "nix2vast": {"Restart": "no"}, "systemd": {"service": {"serviceConfig": {"Restart": "always"}}}`, func(s services.Service) any { return s.Restart }, services.RestartNo},
		{"argv of ours", `"nix2vast": {"ExecStart": ["/a"]}`, func(s services.Service) any { return s.ExecStart }, services.Argv("/a")},
		{"a unit's order", `"process": {"argv": ["/a"]}, "systemd": {"service": {"after": ["db.service", "network.target"], "wants": ["x.service"], "requires": "db.service"}}`,
			func(s services.Service) any { return [3]any{s.After, s.Wants, s.Requires} }, [3]any{[]string{"db"}, []string{"x"}, []string{"db"}}},
		{"a unit's scripts", `"process": {"argv": ["/a"]}, "systemd": {"services": {"": {"preStart": "mkdir x\n"}}}`, func(s services.Service) any { return s.ExecStartPre },
			services.Argv("/bin/sh", "-e", "-c", "mkdir x\n")},
		{"a unit's path", `"process": {"argv": ["/a"]}, "systemd": {"service": {"path": ["/nix/store/a", "/nix/store/b"]}}`, func(s services.Service) any { return s.Environment["PATH"] },
			"/nix/store/a/bin:/nix/store/a/sbin:/nix/store/b/bin:/nix/store/b/sbin"},
		{"other units", `"process": {"argv": ["/a"]}, "systemd": {"services": {"setup": {"script": "x"}}}`, func(s services.Service) any { return s.Unapplied }, []string{"systemd.services.setup"}},
		{"a sandbox", `"process": {"argv": ["/a"]}, "systemd": {"service": {"wantedBy": ["multi-user.target"], "serviceConfig": {"ProtectSystem": "strict", "DynamicUser": true}}}`,
			func(s services.Service) any { return s.Unapplied }, []string{"ProtectSystem", "DynamicUser"}},
		{"a unit's values", `"process": {"argv": ["/a"]}, "systemd": {"service": {"serviceConfig": {"Type": "oneshot", "RemainAfterExit": true, "User": 1000, "RuntimeDirectory": "a b",
			"RuntimeDirectoryMode": "0750", "LimitNOFILE": 1024, "SuccessExitStatus": [3, "SIGTERM"], "TimeoutStartSec": "infinity", "TimeoutStopSec": "1min 30s", "RestartSec": 0.5}}}`,
			func(s services.Service) any {
				return []any{s.Type, s.RemainAfterExit, s.User, s.RuntimeDirectory, s.RuntimeDirectoryMode.FileMode.String(), s.Limit["NOFILE"], s.SuccessExitStatus,
					s.TimeoutStartSec, time.Duration(s.TimeoutStopSec), time.Duration(*s.RestartSec)}
			},
			[]any{services.Oneshot, true, "1000", []string{"a", "b"}, "-rwxr-x---", "1024", services.ExitStatuses{"3", "SIGTERM"}, forever, 90 * time.Second, 500 * time.Millisecond}},
		{"a unit's commands", `"process": {"argv": ["/a"]}, "systemd": {"service": {"serviceConfig": {"ExecStartPre": ["/no", "", "-+/b 'c d' \"e\\\"f\" g\\x20%n", ":@/i j $K"]}}}`,
			func(s services.Service) any { return s.ExecStartPre },
			services.Commands{{Argv: []string{"/b", "c d", `e"f`, "g s.service"}, IgnoreFailure: true, Privileged: true, Expand: true}, {Argv: []string{"/i", "$K"}, Argv0: "j"}}},
		{"a unit's conditions", `"process": {"argv": ["/a"]}, "systemd": {"service": {"unitConfig": {"ConditionPathExists": ["/a", "!/b"], "StartLimitBurst": 3, "RequiresMountsFor": "/x"}}}`,
			func(s services.Service) any { return []any{s.Conditions, s.StartLimitBurst, s.Unapplied} },
			[]any{[]string{"ConditionPathExists=/a", "ConditionPathExists=!/b"}, 3, []string{"unitConfig.RequiresMountsFor"}}},
	} {
		all, _ := good(t, `{"services": {"s": {`+c.json+`}}}`)
		same(t, c.name+": it", c.field(all["s"]), c.want)
		bare, _ := good(t, `{"s": {`+c.json+`}}`)
		same(t, c.name+", in a bare map: it", c.field(bare["s"]), c.want)
	}
}

func TestAServiceCalledServices(t *testing.T) {
	all, _ := good(t, `{"services": {"process": {"argv": ["/a"]}}, "b": {"process": {"argv": ["/b"]}}}`)
	same(t, "the services", []bool{len(all) == 2, all["services"].ExecStart != nil, all["b"].ExecStart != nil}, []bool{true, true, true})
}

func TestNimi(t *testing.T) {
	second, half := services.Seconds(1), services.Seconds(.5)
	for _, c := range []struct {
		restart string
		policy  services.Restart
		delay   *services.Duration
		most    int
	}{
		{`{}`, services.RestartOnFailure, &second, 0},
		{`{"mode": "never", "time": 1}`, services.RestartNo, nil, 0},
		{`{"mode": "up-to-count", "time": 500, "count": 3}`, services.RestartOnFailure, &half, 3},
	} {
		all, _ := good(t, `{"services": {"a": {"process": {"argv": ["/a"]}}, "b": {"process": {"argv": ["/b"]}, "nix2vast": {"Restart": "always"}}},
			"settings": {"restart": `+c.restart+`, "logging": {"enable": true}}, "assertions": [], "warnings": []}`)
		same(t, c.restart+": it", []any{all["a"].Restart, all["a"].RestartSec, all["a"].MaxRestarts}, []any{c.policy, c.delay, c.most})
		same(t, c.restart+": b's own", all["b"].Restart, services.RestartAlways)
	}
}

func TestConfigData(t *testing.T) {
	_, files := good(t, `{"services": {"web": {"process": {"argv": ["/a"]},
		"configData": {
			"web.conf": {"enable": true, "name": "web.conf", "text": "x=1\n", "source": "/nix/store/c-web.conf", "path": null},
			"sub/b": {"source": "/nix/store/b"},
			"c": {"name": "d", "text": ""},
			"off": {"enable": false, "text": "x"},
			"e": {"text": "e", "path": "/etc/web/e"}},
		"services": {"worker": {"process": {"argv": ["/w"]}, "configData": {"w": {"text": "w"}}}}}}}`)
	same(t, "the files", files, []File{
		{Service: "web", Path: "/etc/nix2vast/services/web/web.conf", Text: "x=1\n"},
		{Service: "web", Path: "/etc/nix2vast/services/web/sub/b", Source: "/nix/store/b"},
		{Service: "web", Path: "/etc/nix2vast/services/web/d"},
		{Service: "web", Path: "/etc/web/e", Text: "e"},
		{Service: "web.worker", Path: "/etc/nix2vast/services/web.worker/w", Text: "w"},
	})
}

func TestProblems(t *testing.T) {
	const argv = `"process": {"argv": ["/a"]}`
	for _, c := range []struct {
		name, json string
		want       []string
		left       string
	}{
		{"nothing", ``, []string{"f:1: the JSON ends too early"}, ""},
		{"a list", `[]`, []string{"f:1: the file is a list; it must be a map"}, ""},
		{"YAML", `a: b`, []string{"f:1: this is not JSON"}, ""},
		{"a service that is none", `{"s": 1}`, []string{`f:1: s is "1"; it must be a map`}, ""},
		{"no argv", "{\n\"s\": {}}", []string{"f:2: s.process.argv is missing or empty"}, ""},
		{"an empty argv", `{"s": {"process": {"argv": []}}}`, []string{"f:1: s.process.argv is missing or empty"}, ""},
		{"a command line", `{"s": {"process": {"argv": "/a b"}}}`, []string{`f:1: s.process.argv is "/a b"; it must be a list of texts`, "is missing or empty"}, ""},
		{"an unknown key", "{\"services\": {\"s\": {" + argv + ",\n\"proces\": {}}}}", []string{"f:2: services.s.proces is not a key that is known; is it process?"}, "s"},
		{"a bad name", `{"a/b": {` + argv + `}}`, []string{"service a/b: the name must be"}, ""},
		{"a long sub-service", `{"` + strings.Repeat("n", 60) + `": {"services": {"inner": {` + argv + `}}}}`, []string{"the name must be"}, ""},
		{"a name given twice", "{\"a\": {" + argv + "},\n\"a\": {" + argv + "}}", []string{"f:2: a is given twice"}, "a"},
		{"a name that a sub-service has", "{\"a.b\": {" + argv + "},\n\"a\": {" + argv + `, "services": {"b": {` + argv + `}}}}`, []string{"f:2: service a.b: the name is taken by that of line 1"}, "a.b a"},
		{"an unknown field of ours", "{\"a\": {" + argv + ", \"nix2vast\": {\n\"Restrat\": 1}}}", []string{`f:2: a.nix2vast.Restrat: unknown field "Restrat"`}, "a"},
		{"a field of ours of another type", "{\"a\": {" + argv + ", \"nix2vast\": {\n\"After\": \"b\"}}}", []string{"f:2: a.nix2vast.After: a value of the kind string does not fit here"}, "a"},
		{"a time span that is none", `{"a": {` + argv + `, "nix2vast": {"RestartSec": "soon"}}}`, []string{`f:1: a.nix2vast.RestartSec: "soon" is not a time span`}, "a"},
		{"a value that is not good", `{"a": {` + argv + `, "nix2vast": {"KillSignal": "TERM"}}}`, []string{`f:1: service a: KillSignal "TERM" is not a signal`}, ""},
		{"a unit's time span", `{"a": {` + argv + `, "systemd": {"service": {"serviceConfig": {"TimeoutSec": "1 fortnight"}}}}}`, []string{`TimeoutSec is "1 fortnight"; it must be a time span`}, "a"},
		{"a unit's mode", `{"a": {` + argv + `, "systemd": {"service": {"serviceConfig": {"UMask": "rw"}}}}}`, []string{`UMask: "rw" is not a file mode`}, "a"},
		{"a quote", `{"a": {` + argv + `, "systemd": {"service": {"serviceConfig": {"ExecStartPre": "/b 'c"}}}}}`, []string{`ExecStartPre: a quote is not closed in "'c"`}, "a"},
		{"a specifier", `{"a": {` + argv + `, "systemd": {"service": {"serviceConfig": {"ExecStartPre": "/b %z"}}}}}`, []string{"f:1: a.systemd.service.serviceConfig.ExecStartPre: there is no specifier %z; it stays"}, "a"},
		{"no program", `{"a": {` + argv + `, "systemd": {"service": {"serviceConfig": {"ExecStartPre": "-"}}}}}`, []string{`ExecStartPre: "" is neither an absolute path nor the name of a program`}, "a"},
		{"another protocol", `{"a": {` + argv + `, "notificationProtocol": ["upstart"]}}`, []string{`"upstart" is none of systemd, s6`}, "a"},
		{"a signal", `{"a": {"process": {"argv": ["/a"], "reloadSignal": "HUB"}}}`, []string{`reloadSignal is "HUB"; it must be a signal such as HUP`}, "a"},
		{"a circle", "{\"a\": {" + argv + `, "nix2vast": {"After": ["b"]}},` + "\n\"b\": {" + argv + `, "nix2vast": {"After": ["a"]}}}`, []string{"f:1: service a: the order goes round in a circle"}, "a b"},
		{"a file without content", `{"a": {` + argv + `, "configData": {"x": {}}}}`, []string{"a.configData.x has neither text nor source"}, "a"},
		{"a file elsewhere", `{"a": {` + argv + `, "configData": {"../x": {"text": ""}}}}`, []string{`"../x" is not a relative path without ".."`}, "a"},
		{"a file nowhere", `{"a": {` + argv + `, "configData": {"x": {"text": "", "path": "x"}}}}`, []string{`path "x" is not absolute`}, "a"},
		{"a file of two", `{"a": {` + argv + `, "configData": {"x": {"text": "", "path": "/x"}}}, "b": {` + argv + `, "configData": {"x": {"text": "", "path": "/y/../x"}}}}`,
			[]string{"service b: configData: /x is a file of service a too"}, "a b"},
		{"nimi's startup", `{"services": {}, "settings": {"startup": {"runOnStartup": "/nix/store/x"}}}`, []string{"settings.startup.runOnStartup is not supported; make it a service"}, ""},
		{"NUL", `{"a": {"process": {"argv": ["/a", "\u0000"]}}}`, []string{"f:1: a.process.argv[1] holds a NUL byte"}, "a"},
		{"too deep", strings.Repeat(`{"a": {"services": `, 100) + "{}" + strings.Repeat("}}", 100), []string{"it is nested too deeply"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, _, err := Parse("f", []byte(c.json))
			for _, want := range c.want {
				if !slices.ContainsFunc(services.Split(err), func(e error) bool { return strings.Contains(e.Error(), want) }) {
					t.Errorf("the error lacks %q:\n%v", want, err)
				}
			}
			if n := len(services.Split(err)); n != len(c.want) {
				t.Errorf("%d problems, want %d:\n%v", n, len(c.want), err)
			}
			same(t, "what is left", names(list), c.left)
		})
	}
}

// FuzzModular wants every service that comes out to be one that the supervisor takes.
func FuzzModular(f *testing.F) {
	b, err := os.ReadFile("testdata/compliance.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, seed := range []string{
		`{"s": {"process": {"argv": ["/a"], "environment": {"A": null}, "reloadCommand": "a 'b"}, "configData": {"x": {"text": "y"}}}}`,
		`{"s": {"process": {"argv": ["/a"]}, "nix2vast": {"Probe": {"Exec": ["x"]}, "ExecStartPre": [["a"], {"Argv": ["b"]}], "Type": "oneshot"}}}`,
		`{"s": {"process": {"argv": ["/a"]}, "systemd": {"service": {"serviceConfig": {"ExecStop": ["-@/a b $C"], "LimitNOFILE": "1:2", "TimeoutSec": "1h 2min"}}}}}`,
		`{"services": {"s": {"services": {"t": {"services": {}}}}}, "settings": {"restart": {"mode": "always"}}}`, `[`, `{"a":`, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		list, files, err := Parse("f", b)
		for _, svc := range list {
			if bad := svc.Validate(); bad != nil {
				t.Errorf("a service that is not good: %v", bad)
			}
		}
		for _, file := range files {
			if !strings.HasPrefix(file.Path, "/") || strings.Contains(file.Path+"/", "/../") {
				t.Errorf("a file at %q", file.Path)
			}
		}
		for _, e := range services.Split(err) {
			var problem *services.Problem
			if !errors.As(e, &problem) {
				t.Errorf("%#v is no Problem", e)
			}
		}
	})
}
