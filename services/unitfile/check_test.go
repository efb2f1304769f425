package unitfile

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/services"
)

// fields is a service as its JSON fields.
func fields(t *testing.T, svc services.Service) map[string]any {
	t.Helper()
	b, err := json.Marshal(svc)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// checked reads a unit that must be good.
func checked(t *testing.T, file, text string) services.Service {
	t.Helper()
	list, err := Check(file, []byte(text))
	if err != nil || len(list) != 1 {
		t.Fatalf("%s: %d services, %v", file, len(list), err)
	}
	return list[0]
}

func TestDirectives(t *testing.T) {
	const start = "[Service]\nExecStart=/bin/x\n"
	usual := fields(t, checked(t, "web.service", start))
	for _, c := range []struct {
		lines string // behind [Service] and an ExecStart
		want  string // the fields that are not the usual ones
	}{
		{"Type=idle", `{}`},
		{"Type=exec", `{"Type":"exec"}`},
		{"Type=notify", `{"Type":"notify","NotifyAccess":"all"}`},
		{"Type=notify\nNotifyAccess=main", `{"Type":"notify","NotifyAccess":"main"}`},
		{"Type=notify-reload\nReloadSignal=USR1", `{"Type":"notify-reload","NotifyAccess":"all","ReloadSignal":"SIGUSR1"}`},
		{"Type=forking\nPIDFile=web/pid", `{"Type":"forking","PIDFile":"/run/web/pid"}`},
		{"Type=oneshot\nRemainAfterExit=true\nExecStart=/bin/y", `{"Type":"oneshot","RemainAfterExit":true,"TimeoutStartSec":null,
			"ExecStart":[{"Argv":["/bin/x"],"Expand":true},{"Argv":["/bin/y"],"Expand":true}]}`},
		{"ExecStart=\nExecStart=/bin/y", `{"ExecStart":[{"Argv":["/bin/y"],"Expand":true}]}`},
		{"ExecStartPre=-+:@prog 'a b' c", `{"ExecStartPre":[{"Argv":["prog","c"],"Argv0":"a b","IgnoreFailure":true,"Privileged":true}]}`},
		{"ExecStartPre=!/bin/y\nExecStartPre=!!/bin/z", `{"ExecStartPre":[{"Argv":["/bin/y"],"Privileged":true,"Expand":true},{"Argv":["/bin/z"],"Expand":true}]}`},
		{"ExecStartPre=/bin/y ; /bin/z \\; ;\nExecStop=/bin/s $MAINPID $$", `{"ExecStartPre":[{"Argv":["/bin/y"],"Expand":true},{"Argv":["/bin/z",";"],"Expand":true}],
			"ExecStop":[{"Argv":["/bin/s","$MAINPID","$$"],"Expand":true}]}`},
		{"ExecStartPost=/bin/sh -c \"while :; do \\\n  # no\n  sleep 1; done\"", `{"ExecStartPost":[{"Argv":["/bin/sh","-c","while :; do  sleep 1; done"],"Expand":true}]}`},
		{"ExecReload=/bin/a\nExecCondition=/bin/b\nExecStopPost=/bin/c", `{"ExecReload":[{"Argv":["/bin/a"],"Expand":true}],
			"ExecCondition":[{"Argv":["/bin/b"],"Expand":true}],"ExecStopPost":[{"Argv":["/bin/c"],"Expand":true}]}`},
		{"Restart=on-failure\nRestartSec=5", `{"Restart":"on-failure","RestartSec":"5s","RestartMaxDelaySec":"5s"}`},
		{"RestartSec=100ms\nRestartSteps=4\nRestartMaxDelaySec=1min", `{"RestartSec":"100ms","RestartSteps":4,"RestartMaxDelaySec":"1m0s"}`},
		{"RestartSec=5\nRestartSec=", `{}`},
		{"StartLimitBurst=3", `{"StartLimitBurst":3}`},
		{"StartLimitInterval=1min", `{"StartLimitBurst":5,"StartLimitIntervalSec":"1m0s"}`},
		{"[Unit]\nStartLimitIntervalSec=0\nStartLimitBurst=3", `{}`},
		{"SuccessExitStatus=SIGKILL TEMPFAIL 250\nRestartPreventExitStatus=255\nRestartForceExitStatus=INT",
			`{"SuccessExitStatus":["SIGKILL","75","250"],"RestartPreventExitStatus":["255"],"RestartForceExitStatus":["SIGINT"]}`},
		{"TimeoutSec=30", `{"TimeoutStartSec":"30s","TimeoutStopSec":"30s"}`},
		{"TimeoutStartSec=0\nTimeoutStopSec=infinity", `{"TimeoutStartSec":"876000h0m0s","TimeoutStopSec":"876000h0m0s"}`},
		{"WatchdogSec=10", `{"WatchdogSec":"10s","NotifyAccess":"all"}`},
		{"WatchdogSec=infinity", `{}`},
		{"KillMode=mixed\nKillSignal=3\nSendSIGHUP=yes\nSendSIGKILL=no", `{"KillMode":"mixed","KillSignal":"SIGQUIT","SendSIGHUP":true,"KeepAlive":true}`},
		{"SendSIGKILL=yes\nSendSIGHUP=no", `{}`},
		{"FileDescriptorStoreMax=4", `{"FileDescriptorStoreMax":4,"NotifyAccess":"all"}`},
		{"User=web\nGroup=www\nSupplementaryGroups=a b\nSupplementaryGroups=c", `{"User":"web","Group":"www","SupplementaryGroups":["a","b","c"]}`},
		{"User=web\nUser=", `{}`},
		{"WorkingDirectory=-/srv/%p", `{"WorkingDirectory":"-/srv/web"}`},
		{"WorkingDirectory=~", `{"WorkingDirectory":"~"}`},
		{"Environment=A=1 \"B=two words\" C='x'\nEnvironment=A=2 D=%%n %n=1", `{"Environment":{"A":"2","B":"two words","C":"x","D":"%n","web.service":"1"}}`},
		{"Environment=A=1\nEnvironment=\nEnvironment=B=2", `{"Environment":{"B":"2"}}`},
		{"EnvironmentFile=-/etc/default/web\nEnvironmentFile=/a b\nUnsetEnvironment=X Y=1\nPassEnvironment=Z", `{"EnvironmentFile":["-/etc/default/web","/a b"],"UnsetEnvironment":["X","Y=1"]}`},
		{"Nice=-5\nOOMScoreAdjust=-900\nUMask=0077\nNoNewPrivileges=1", `{"Nice":-5,"OOMScoreAdjust":-900,"UMask":"0077","NoNewPrivileges":true}`},
		{"LimitNOFILE=1K", ``},
		{"LimitNOFILE=1024:4096\nLimitCORE=infinity\nLimitMEMLOCK=1M", `{"Limit":{"NOFILE":"1024:4096","CORE":"infinity","MEMLOCK":"1048576"}}`},
		{"RuntimeDirectory=web %N/x\nRuntimeDirectoryMode=0750\nRuntimeDirectoryPreserve=restart", `{"RuntimeDirectory":["web","web/x"],"RuntimeDirectoryMode":"0750","RuntimeDirectoryPreserve":"restart"}`},
		{"StateDirectory=a\nStateDirectoryMode=700\nCacheDirectory=b\nLogsDirectory=c\nConfigurationDirectory=d\nConfigurationDirectoryMode=0711",
			`{"StateDirectory":["a"],"StateDirectoryMode":"0700","CacheDirectory":["b"],"LogsDirectory":["c"],"ConfigurationDirectory":["d"],"ConfigurationDirectoryMode":"0711"}`},
		{"LoadCredential=key:/etc/key\nLoadCredential=other", `{"LoadCredential":["key:/etc/key"],"unapplied":["LoadCredential=other"]}`},
		{"StandardOutput=append:/var/log/web\nStandardInput=file:/in", `{"StandardOutput":"append:/var/log/web","StandardError":"inherit","StandardInput":"file:/in"}`},
		{"StandardOutput=syslog\nStandardError=inherit", `{"StandardOutput":"journal","StandardError":"inherit"}`},
		{"StandardOutput=null\nStandardError=journal+console\nStandardInput=tty", `{"StandardOutput":"null","StandardError":"journal","unapplied":["StandardInput=tty"]}`},
		{"SuccessAction=exit\nFailureAction=poweroff-force\n[Unit]\nFailureActionExitStatus=7", `{"SuccessAction":"exit","FailureAction":"exit","FailureActionExitStatus":7}`},
		{"Type=dbus\nBusName=a.b.c", `{"unapplied":["Type=dbus"]}`},
		{"ProtectSystem=full\nPrivateTmp=yes\nProtectSystem=strict\nMemoryMax=1G\nSyslogIdentifier=x\nSlice=a.slice\nCapabilityBoundingSet=\nReadOnlyPaths=\nPrivateDevices=no", `{"unapplied":["ProtectSystem","PrivateTmp","MemoryMax","Slice","CapabilityBoundingSet"]}`},
		{"[Unit]\nDescription=A %p at %%\nDocumentation=man:x\nAfter=network.target db.service a.mount web.service\nAfter=\nBefore=x@1.service\n" +
			"Wants=db.service\nRequires=db.service\nBindsTo=c.service\nPartOf=d.service\nConflicts=e.service shutdown.target",
			`{"Description":"A web at %","After":["db"],"Before":["x@1"],"Wants":["db"],"Requires":["db"],"BindsTo":["c"],"PartOf":["d"],"Conflicts":["e"]}`},
		{"[Unit]\nConditionPathExists=/no\nConditionPathExists=\nConditionPathExists=!/etc/%p\nAssertUser=root\nConditionHost=|x",
			`{"Conditions":["ConditionPathExists=!/etc/web","AssertUser=root","ConditionHost=|x"]}`},
		{"X-Nix2vast-Probe={\"TCP\":\"127.0.0.1:80\"}\nX-Nix2vast-ReadyLine=listening on\nX-Nix2vast-MaxRestarts=3\nX-Nix2vast-Tailnet=transparent\nX-Else=1\n[X-Foo]\nA=1",
			`{"Probe":{"TCP":"127.0.0.1:80"},"ReadyLine":"listening on","MaxRestarts":3,"Tailnet":"transparent"}`},
	} {
		list, err := Check("web.service", []byte(start+c.lines+"\n"))
		if c.want == "" {
			if err == nil {
				t.Errorf("%s: no problem", c.lines)
			}
			continue
		}
		if err != nil || len(list) != 1 {
			t.Errorf("%s: %d services, %v", c.lines, len(list), err)
			continue
		}
		got := fields(t, list[0])
		if list[0].Unapplied != nil {
			var words []any
			for _, w := range list[0].Unapplied {
				words = append(words, w)
			}
			got["unapplied"] = words
		}
		want := maps.Clone(usual)
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		maps.DeleteFunc(want, func(_ string, v any) bool { return v == nil })
		for _, key := range slices.Sorted(maps.Keys(union(got, want))) {
			if !reflect.DeepEqual(got[key], want[key]) {
				t.Errorf("%s\n%s: got %v, want %v", c.lines, key, got[key], want[key])
			}
		}
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func TestCheckProblems(t *testing.T) {
	for _, c := range []struct {
		file, text string
		good       bool // the service comes all the same
		want       []string
	}{
		{"x.service", "[Service]\nExecStart=/x\nEnviroment=A=1", true, []string{`x.service:3: [Service] has no "Enviroment"; did you mean Environment?`}},
		{"x.service", "[Service]\nExecStart=/x\nAfter=y.service", true, []string{`x.service:3: [Service] has no "After"; it belongs into [Unit]`}},
		{"x.service", "[Unit]\nPrivateTmp=yes\n[Service]\nExecStart=/x", true, []string{`x.service:2: [Unit] has no "PrivateTmp"; it belongs into [Service]`}},
		{"x.service", "[Service]\nExecStart=/x\nRestart=alway\nKillMode=all\nType=forked", false, []string{
			`x.service:5: Type "forked" is none of`, `x.service:3: Restart "alway" is none of no, always`, `x.service:4: KillMode "all"`}},
		{"x.service", "[Service]\nExecStart=x/y", false, []string{`x.service:2: ExecStart: "x/y" is neither an absolute path`, "ExecStart is empty"}},
		{"x.service", "[Service]\nExecStart=/x \"y", false, []string{`x.service:2: ExecStart: a quote is not closed`, "ExecStart is empty"}},
		{"x.service", "[Service]\nExecStart=|ls", false, []string{`x.service:2: ExecStart: the prefix | is not supported`, "ExecStart is empty"}},
		{"x.service", "[Service]\nExecStart=/x\nExecStart=/y", false, []string{`x.service:3: ExecStart has 2 commands`}},
		{"x.service", "[Service]\nExecStart=/bin/date +%Y-%Z \\d", true, []string{`x.service:2: ExecStart: there is no specifier %Z`, `x.service:2: ExecStart: \d is no escape`}},
		{"x.service", "[Service]\nExecStart=/x\nRestartSec=soon\nNice=99\nUMask=9\nOOMScoreAdjust=x\nLimitCORE=x\nTimeoutSec=-1", false, []string{
			`:3: RestartSec: "soon" is not a time span`, `:5: UMask: "9" is not a file mode`, `:6: OOMScoreAdjust: "x" is not a whole number`,
			`:7: LimitCORE: "x" is not a size`, `:8: TimeoutSec: "-1" is not a time span`, `:4: Nice 99 is not between`}},
		{"x.service", "[Service]\nExecStart=/x\nLimitNOFILE=20:10", false, []string{`:3: Limit: the soft value`}},
		{"x.service", "[Service]\nExecStart=/x\nEnvironment=A\nEnvironmentFile=x\nWorkingDirectory=srv\nPIDFile=\nStandardOutput=file:x\nStandardInput=x", false, []string{
			`:3: Environment: "A" is not of the form NAME=VALUE`, `:4: EnvironmentFile: "x" is not an absolute path`, `:5: WorkingDirectory: "srv"`,
			`:7: StandardOutput: "file:x" is none of`, `:8: StandardInput: "x" is neither`}},
		{"x.service", "[Service]\nExecStart=/x\nRuntimeDirectory=/run/x ../y z\nSuccessExitStatus=300\nKillSignal=SIGNOPE\nSendSIGHUP=maybe\nRuntimeDirectoryPreserve=x\nFailureAction=burn", false, []string{
			`:3: RuntimeDirectory: "/run/x" is not a relative path`, `:4: SuccessExitStatus: "300" is neither`, `:5: KillSignal: "SIGNOPE" is not a signal`,
			`:6: SendSIGHUP: "maybe" is neither yes nor no`, `:7: RuntimeDirectoryPreserve: "x" is none of`, `:8: FailureAction: "burn" is none`}},
		{"x.service", "[Unit]\nAfter=foo a/b.service good.service\n[Service]\nExecStart=/x", true, []string{`:2: After: "foo" lacks the type`, `:2: After: "a/b.service" is not the name`}},
		{"x.service", "[Service]\nExecStart=/x\nX-Nix2vast-Prob={}\nX-Nix2vast-MaxRestarts=many\nX-Nix2vast-Probe={\"TCP\":\"x\"}", false, []string{
			`:3: X-Nix2vast-Prob: json: unknown field`, `:4: X-Nix2vast-MaxRestarts: json`, `:5: Probe: TCP "x" is not of the form host:port`}},
		{"x.service", "[Service]\nExecStart=/x\nExecStartPre=@/y", false, []string{`:3: ExecStartPre: after @ PROGRAM`}},
		{"x.service", "", false, []string{"x.service: there is no section [Service]"}},
		{"x.service", "[Unit]\nDescription=x", false, []string{"x.service: there is no section [Service]"}},
		{"x.timer", "[Timer]", false, []string{`x.timer: timers are not supported: run a cron daemon as a service, or give`}},
		{"notes", "[Service]", false, []string{`notes: "notes" is neither`}},
		{"a b.service", "[Service]", false, []string{`"a b.service" is not the name of a unit`}},
		{"x.socket", "[Socket]\nListenStream=0\nListenStream=8080", false, []string{`x.socket: Sockets: Listen "0"`}},
		{"x.socket", "[Socket]\nSocketMode=0600", false, []string{`x.socket: it has no ListenStream`}},
		{"x.socket", "[Service]\nExecStart=/x", false, []string{`there is no section [Socket]`}},
	} {
		list, err := Check(c.file, []byte(c.text))
		if (len(list) == 1) != c.good {
			t.Errorf("%s\n%d services", c.text, len(list))
		}
		t.Run(c.text, func(t *testing.T) { sameProblems(t, services.Split(err), c.want) })
		for _, e := range services.Split(err) {
			if p, ok := e.(*services.Problem); !ok || c.good != p.Warning {
				t.Errorf("%v: %T, a warning: %v", e, e, ok && p.Warning)
			}
		}
	}
}

func TestSpecifiers(t *testing.T) {
	name, err := parseName(`foo-bar@a-b\x2dc.service`)
	if err != nil {
		t.Fatal(err)
	}
	u := newLowering("/", name, "/lib/foo-bar@.service", &problems{})
	for specifier, want := range map[string]string{"%n": `foo-bar@a-b\x2dc.service`, "%N": `foo-bar@a-b\x2dc`, "%p": "foo-bar", "%P": "foo/bar",
		"%i": `a-b\x2dc`, "%I": "a/b-c", "%j": "bar", "%J": "bar", "%f": "/a/b-c", "%t": "/run", "%S": "/var/lib", "%C": "/var/cache",
		"%L": "/var/log", "%E": "/etc", "%T": "/tmp", "%V": "/var/tmp", "%h": "/root", "%u": "root", "%U": "0", "%g": "root", "%G": "0",
		"%s": "/bin/sh", "%y": "/lib/foo-bar@.service", "%Y": "/lib", "%d": `/run/nix2vast/credentials/foo-bar@a-b\x2dc`, "%%n 5%": "%n 5%"} {
		if got := u.expanded(specifier); got != want {
			t.Errorf("%s: %q, want %q", specifier, got, want)
		}
	}
	u.name = unitName{prefix: "srv-data", kind: ".service"}
	if got := u.expanded("%f %i"); got != "/srv/data " {
		t.Errorf("without an instance: %q", got)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	svc := checked(t, "x.service", "[Service]\nExecStart=/x %H %a %v %b\n")
	if argv := svc.ExecStart[0].Argv; argv[1] != host || argv[2] == "" || strings.Count(argv[3], ".") < 2 || len(argv[4]) != 32 {
		t.Errorf("of the machine: %q", argv)
	}
	r := root(t.TempDir())
	write(t, r, "/etc/os-release", "NAME=\"A B\"\nID=nix\nVERSION_ID=\"26.05\"\n")
	write(t, r, "/etc/machine-id", "0123\n")
	u = newLowering(r, unitName{prefix: "x", kind: ".service"}, "/x", &problems{})
	if got := u.expanded("%o %w %W%m"); got != "nix 26.05 0123" {
		t.Errorf("%q", got)
	}
}

// TestUnitsInUse compares what becomes of real units with what is known to be right.
func TestUnitsInUse(t *testing.T) {
	files, err := filepath.Glob("testdata/units/*.service")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		svc := checked(t, file, string(b))
		got, err := json.MarshalIndent(struct {
			Service   services.Service
			Unapplied []string
		}{svc, svc.Unapplied}, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(file, ".service") + ".json")
		if err != nil || string(want) != string(got)+"\n" {
			t.Errorf("%s: %v\ngot %s", file, err, got)
		}
	}
}
