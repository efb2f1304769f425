package unitfile

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

// full has every field that JSON can say, each with another value than its default.
func full() services.Service {
	number := func(n int) *int { return &n }
	mode := func(m os.FileMode) services.Mode { return services.Mode{Set: true, FileMode: m} }
	sec := services.Seconds(2)
	return services.Service{
		Name: "web", Description: "100% of it; \"quoted\" $HOME", Disabled: true, Type: services.Forking, RemainAfterExit: true, PIDFile: "/run/web.pid",
		NotifyAccess: services.NotifyMain, NotificationFd: 300,
		ExecStart: services.Commands{{Argv: []string{"/bin/web", "", "a b", ";", "it's", "%n", "$$", "${A}", "\xff\n\t", "tab\\"}, Argv0: "we b",
			IgnoreFailure: true, Privileged: true, Expand: true}},
		ExecCondition: services.Argv("/bin/a", "$HOME"), ExecStartPre: services.Commands{{Argv: []string{"/bin/b"}}, {Argv: []string{"./c", "d"}}},
		ExecStartPost: services.Argv("-odd"), ExecReload: services.Argv("reload", "x"), ReloadSignal: "SIGUSR1", ExecStop: services.Argv("/bin/s p/x"),
		ExecStopPost: services.Argv("/bin/post"), Conditions: []string{"ConditionPathExists=!/a b%", "AssertUser=root", "ConditionUser= x", "ConditionOdd=1"},
		After: []string{"a", "b@1"}, Before: []string{"c.d"}, AfterStart: []string{"s"}, Wants: []string{"e"}, Requires: []string{"f"}, BindsTo: []string{"g"},
		PartOf: []string{"h"}, Conflicts: []string{"i"}, PropagatesReloadTo: []string{"j"}, ReloadPropagatedFrom: []string{"k"}, Restart: services.RestartOnAbort, RestartSec: &sec, RestartSteps: 3,
		RestartMaxDelaySec: services.Seconds(60), MaxRestarts: 4, StartLimitIntervalSec: services.Seconds(61), StartLimitBurst: 2,
		SuccessExitStatus: services.ExitStatuses{"3", "SIGHUP"}, RestartPreventExitStatus: services.ExitStatuses{"TERM"},
		RestartForceExitStatus: services.ExitStatuses{"5"}, TimeoutStartSec: services.Duration(1500 * time.Millisecond), TimeoutStopSec: 1, KillSignal: "SIGINT",
		KillMode: services.KillMixed, SendSIGHUP: true, KeepAlive: true, WatchdogSec: services.Seconds(7), Essential: true,
		SuccessAction: services.ActionNone, FailureAction: services.ActionNone, SuccessActionExitStatus: number(1), FailureActionExitStatus: number(0),
		Probe:    &services.Probe{HTTP: "http://127.0.0.1:80/%41?a=b;c", PeriodSec: sec, SuccessThreshold: 2},
		Liveness: &services.Probe{Exec: []string{"/bin/true", "a b"}}, ReadyLine: "ready\\.\n", FileDescriptorStoreMax: 9, LogLocation: "/var/log/a b ",
		Sockets: []services.Socket{{Listen: "80", Type: "stream", Name: "x", Mode: mode(0o600), User: "u", Group: "g"}},
		Execution: services.Execution{Environment: map[string]string{"A": "a b", "EMPTY": "", "B": "%i$x\"'\\", "C": "\xff\x01ä", "D D": "1"},
			EnvironmentFile: []string{"-/etc/default/web", "/a b"}, UnsetEnvironment: []string{"X Y", "Z"}, WorkingDirectory: "-/srv/%", User: "web", Group: "www",
			SupplementaryGroups: []string{"a", "b"}, Nice: 5, OOMScoreAdjust: number(0), UMask: mode(0), Limit: map[string]string{"NOFILE": "1:2", "RTTIME": "5", "CPU": "infinity"},
			NoNewPrivileges: true, RuntimeDirectory: []string{"a", "b c"}, RuntimeDirectoryMode: mode(0o700), RuntimeDirectoryPreserve: "restart",
			StateDirectory: []string{"s"}, StateDirectoryMode: mode(0o701), CacheDirectory: []string{"c"}, CacheDirectoryMode: mode(0o702), LogsDirectory: []string{"l"},
			LogsDirectoryMode: mode(0o703), ConfigurationDirectory: []string{"e"}, ConfigurationDirectoryMode: mode(0o704), LoadCredential: []string{"id:/p"},
			Tailnet:       services.TailnetTransparent,
			StandardInput: "file:/in", StandardOutput: "append:/out", StandardError: "null"},
	}
}

// there and back must be the same service.
func roundTrip(t *testing.T, svc services.Service) string {
	t.Helper()
	text := Format(svc)
	list, err := Check(svc.Name+".service", []byte(text))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, from\n%s", err, text)
	}
	want, got := svc.WithDefaults(), list[0]
	want.Source, want.Unapplied, got.Source, got.Unapplied = "", nil, "", nil
	was, is := reflect.ValueOf(want), reflect.ValueOf(got)
	for _, f := range reflect.VisibleFields(was.Type()) {
		if a, b := was.FieldByIndex(f.Index), is.FieldByIndex(f.Index); !f.Anonymous && !reflect.DeepEqual(a.Interface(), b.Interface()) {
			t.Errorf("%s: %+v came back as %+v, from\n%s", f.Name, a, b, text)
		}
	}
	return text
}

func TestFormat(t *testing.T) {
	svc := full()
	v := reflect.ValueOf(svc)
	for _, f := range reflect.VisibleFields(v.Type()) {
		if !f.Anonymous && f.Tag.Get("json") != "-" && v.FieldByIndex(f.Index).IsZero() {
			t.Errorf("the test leaves %s at its zero value", f.Name)
		}
	}
	text := roundTrip(t, svc)
	for _, line := range []string{"Type=forking", `Environment="A=a b"`, "LimitNOFILE=1:2", "TimeoutStartSec=1500ms", "After=a.service b@1.service", "SendSIGKILL=no",
		`X-Nix2vast-LogLocation="/var/log/a b "`, "X-Nix2vast-MaxRestarts=4", "Nice=5", "RestartSec=2s", "RuntimeDirectoryMode=0700", `EnvironmentFile=-/etc/default/web`} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, text)
		}
	}
	// What a unit can say it must say in systemd's words.
	for _, name := range []string{"Type", "Environment", "Restart", "RestartSec", "After", "Limit", "ExecStart", "TimeoutStopSec", "UMask", "StandardError", "OOMScoreAdjust",
		"StartLimitBurst", "SuccessActionExitStatus", "KillMode", "KeepAlive", "WatchdogSec", "LoadCredential", "RuntimeDirectory", "User"} {
		if strings.Contains(text, ownKey+name+"=") {
			t.Errorf("%s is written as our own", name)
		}
	}
}

func TestFormatVariants(t *testing.T) {
	zero, sec := services.Duration(0), services.Seconds(1)
	for _, svc := range []services.Service{
		{Name: "x", ExecStart: services.Argv("/bin/x")},
		{Name: "x", ExecStart: services.Argv("x", "-y"), Essential: true},
		{Name: "x", Type: services.Oneshot, ExecStart: services.Commands{{Argv: []string{"/a"}}, {Argv: []string{"/b"}}}},
		{Name: "x", Type: services.Oneshot, ExecStop: services.Argv("/b")},
		{Name: "x", Type: services.Notify, ExecStart: services.Argv("/x"), RestartSec: &zero},
		{Name: "x", ExecStart: services.Argv("/x"), RestartSec: &sec, RestartMaxDelaySec: sec, Restart: services.RestartNo},
		{Name: "x", ExecStart: services.Argv("/x"), RestartSec: &sec},
		{Name: "x", ExecStart: services.Argv("/x"), RestartMaxDelaySec: sec, StartLimitBurst: 3},
		{Name: "x", ExecStart: services.Argv("/x"), StartLimitIntervalSec: sec, TimeoutStartSec: infinity, TimeoutStopSec: infinity},
		{Name: "x", ExecStart: services.Argv("/x"), Execution: services.Execution{StandardOutput: "null"}},
		{Name: "x", ExecStart: services.Argv("/x"), Execution: services.Execution{StandardOutput: "inherit", StandardError: "journal"}},
		{Name: "a.b", ExecStart: services.Argv("/x"), After: []string{"c.d", "e"}},
		{Name: "x", ExecStart: services.Argv(strings.Repeat("/long", 100_000))},
	} {
		roundTrip(t, svc)
	}
}

// TestDebian reads the units of Debian's packages: what people have, without a problem.
func TestDebian(t *testing.T) {
	if out, err := exec.Command("../../dev/units.sh", "../../build/units").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files, err := filepath.Glob("../../build/units/*/*")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	good := map[string]services.Service{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		list, err := Check(file, b)
		if !strings.Contains(string(b), "\n[Service]") && !strings.Contains(string(b), "[Socket]") {
			// systemd-exit.service and its like only have a SuccessAction.
			sameProblems(t, services.Split(err), []string{"there is no section [Service]"})
			continue
		}
		if err != nil || strings.HasSuffix(file, ".service") != (len(list) == 1) {
			t.Errorf("%d services, %v", len(list), err)
			continue
		}
		if len(list) == 1 {
			good[filepath.Base(file)] = list[0]
			roundTrip(t, list[0])
		}
	}
	for name, want := range map[string]string{
		"postgresql@.service": `{"Type":"forking","PIDFile":"/run/postgresql/instance.pid","PartOf":["postgresql"],"Before":["postgresql"],"OOMScoreAdjust":-900,
			"TimeoutStopSec":"1h0m0s","Conditions":["AssertPathExists=/etc/postgresql/instance/postgresql.conf"],"User":null,
			"ExecStart":[{"Argv":["/usr/bin/pg_ctlcluster","--skip-systemctl-redirect","instance","start"],"IgnoreFailure":true,"Expand":true}]}`,
		"postgresql.service": `{"Type":"oneshot","RemainAfterExit":true,"ExecStart":[{"Argv":["/bin/true"],"Expand":true}],"Restart":"no"}`,
		"cron.service":       `{"EnvironmentFile":["-/etc/default/cron"],"KillMode":"process","Restart":"on-failure"}`,
		"rsyslog.service":    `{"Type":"notify","Restart":"on-failure","Limit":{"NOFILE":"16384"},"StandardOutput":"null"}`,
		"ssh.service":        `{"Type":"notify","KillMode":"process","Restart":"on-failure","RestartPreventExitStatus":["255"],"RuntimeDirectory":["sshd"]}`,
		"memcached.service":  `{"Restart":"always","PIDFile":"/run/memcached/memcached.pid","NoNewPrivileges":true}`,
		"haproxy.service":    `{"KillMode":"mixed","SuccessExitStatus":["143"]}`,
		"named.service":      `{"EnvironmentFile":["-/etc/default/named"],"Restart":"on-failure"}`,
		"fail2ban.service":   `{"RuntimeDirectory":["fail2ban"]}`,
	} {
		svc, ok := good[name]
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		expected := map[string]any{}
		if err := json.Unmarshal([]byte(want), &expected); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		got := fields(t, svc)
		for key, value := range expected {
			if !reflect.DeepEqual(got[key], value) {
				t.Errorf("%s: %s is %v, want %v", name, key, got[key], value)
			}
		}
	}
}
