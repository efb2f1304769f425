package boot

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseSettings(t *testing.T) {
	for _, tt := range []struct {
		name     string
		environ  []string
		check    func(s Settings) bool
		problems []string // a part of each
	}{
		{"nothing", nil, func(s Settings) bool {
			return s.SSHPort == 22 && s.GPU == GPUAuto && s.GPUWait == 10*time.Second && s.StopTimeout == 9*time.Second &&
				s.LogFormat == LogText && s.Host == "docker" && s.Workspace == "/workspace" && s.RootPassword == "" && s.MetricsAddr == "" && s.OnExit == OnExitKeep
		}, nil},
		{"every setting", []string{"SSH_PORT=2222", "NIX2VAST_GPU=require", "NIX2VAST_GPU_WAIT=3", "NIX2VAST_STOP_TIMEOUT=1m30s", "NIX2VAST_LOG=json", "WORKSPACE=/data/", "NIX2VAST_GLIBC_CACHE=0", "NIX2VAST_ON_EXIT=exit"}, func(s Settings) bool {
			return s.SSHPort == 2222 && s.GPU == GPURequire && s.GPUWait == 3*time.Second && s.StopTimeout == 90*time.Second && s.LogFormat == LogJSON && s.Workspace == "/data" && s.OnExit == OnExitExit
		}, nil},
		{"empty is unset", []string{"SSH_PORT=", "NIX2VAST_GPU=", "ROOT_PASSWORD="}, func(s Settings) bool { return s.SSHPort == 22 && s.GPU == GPUAuto }, nil},
		{"bad values", []string{"SSH_PORT=70000", "NIX2VAST_GPU=on", "NIX2VAST_GPU_WAIT=-1s", "NIX2VAST_STOP_TIMEOUT=soon", "NIX2VAST_LOG=xml", "NIX2VAST_ON_EXIT=stop", "WORKSPACE=data"}, func(s Settings) bool {
			return s.SSHPort == 22 && s.GPU == GPUAuto && s.GPUWait == 10*time.Second && s.StopTimeout == 9*time.Second && s.LogFormat == LogText && s.Workspace == "/workspace"
		}, []string{
			`SSH_PORT is "70000", not a port from 1 to 65535: 22 is used`,
			`WORKSPACE is "data", not an absolute path: /workspace is used`,
			`NIX2VAST_GPU is "on", not one of auto, require, off: auto is used`,
			`NIX2VAST_GPU_WAIT is "-1s", not a time such as 10s: 10s is used`,
			`NIX2VAST_STOP_TIMEOUT is "soon", not a time such as 10s: 9s is used`,
			`NIX2VAST_LOG is "xml", not one of text, json: text is used`,
			`NIX2VAST_ON_EXIT is "stop", not one of keep, exit: keep is used`,
		}},
		{"a long bad value", []string{"SSH_PORT=" + strings.Repeat("9", 5000)}, nil, []string{`9…", not a port`}},
		{"unknown names", []string{"NIX2VAST_GPUWAIT=3", "NIX2VAST_STOPTIMEOUT=3", "NIX2VAST_=x"}, nil, []string{
			"nearest known name is NIX2VAST_GPU_WAIT", "nearest known name is NIX2VAST_STOP_TIMEOUT", `"NIX2VAST_" is not known`,
		}},
		{"the first of two counts", []string{"SSH_PORT=1", "SSH_PORT=2"}, func(s Settings) bool { return s.SSHPort == 1 && len(s.Environ) == 1 }, nil},
		{"what is no variable", []string{"junk", "=x", "A=1"}, func(s Settings) bool { return slices.Equal(s.Environ, []string{"A=1"}) }, nil},
		{"vast's data directory", []string{"DATA_DIRECTORY=/mnt/"}, func(s Settings) bool { return s.Workspace == "/mnt" }, nil},
		{"ours over vast's", []string{"WORKSPACE=/workspace", "DATA_DIRECTORY=/mnt"}, func(s Settings) bool { return s.Workspace == "/workspace" }, nil},
		{"keys, in the order of the aliases", []string{"AUTHORIZED_KEYS=e", "PUBLIC_KEY=c", "SSH_PUBLIC_KEYS=a", "SSH_PUBKEY=d", "SSH_PUBLIC_KEY=b", "PUBLIC_KEY_FILE=/f"}, func(s Settings) bool {
			return fmt.Sprint(s.PublicKeys) == "[{SSH_PUBLIC_KEYS a} {SSH_PUBLIC_KEY b} {PUBLIC_KEY c} {SSH_PUBKEY d} {AUTHORIZED_KEYS e}]" &&
				fmt.Sprint(s.PublicKeyFiles) == "[{PUBLIC_KEY_FILE /f}]"
		}, nil},
		{"vast", []string{"VAST_CONTAINERLABEL=C.1", "PUBLIC_IPADDR=1.2.3.4", "VAST_TCP_PORT_22=40022"}, func(s Settings) bool {
			return s.Host == "vast" && s.LoginHost == "1.2.3.4" && s.LoginPort == "40022"
		}, nil},
		{"vast with an empty port", []string{"VAST_CONTAINERLABEL=C.1", "PUBLIC_IPADDR=1.2.3.4", "VAST_TCP_PORT_22="}, func(s Settings) bool {
			return s.Host == "vast" && s.LoginHost == "" && s.LoginPort == ""
		}, nil},
		{"an address that is a command", []string{"VAST_CONTAINERLABEL=C.1", "PUBLIC_IPADDR=x; reboot", "VAST_TCP_PORT_22=1"}, func(s Settings) bool { return s.LoginHost == "" }, nil},
		{"runpod, another port", []string{"RUNPOD_POD_ID=x", "SSH_PORT=2022", "RUNPOD_PUBLIC_IP=::1", "RUNPOD_TCP_PORT_2022=7"}, func(s Settings) bool {
			return s.Host == "runpod" && s.LoginHost == "::1" && s.LoginPort == "7"
		}, nil},
		{"salad in kubernetes", []string{"KUBERNETES_SERVICE_HOST=x", "SALAD_MACHINE_ID=x"}, func(s Settings) bool { return s.Host == "salad" }, nil},
		{"fly", []string{"FLY_MACHINE_ID=x"}, func(s Settings) bool { return s.Host == "fly" }, nil},
		{"signals", []string{"NIX2VAST_SIGNALS=15:3, SIGHUP:0 usr1:TERM", "NIX2VAST_SIGNAL_SCOPE=process"}, func(s Settings) bool {
			return len(s.Signals) == 3 && s.Signals[15] == 3 && s.Signals[1] == 0 && s.Signals[10] == 15 && s.SignalScope == ScopeProcess
		}, nil},
		{"bad signals", []string{"NIX2VAST_SIGNALS=HUP:0,TERM", "NIX2VAST_SIGNAL_SCOPE=all"}, func(s Settings) bool { return s.Signals == nil && s.SignalScope == ScopeGroup },
			[]string{`NIX2VAST_SIGNALS: "TERM" is not of the form TERM:INT`, `NIX2VAST_SIGNAL_SCOPE is "all", not one of group, process`}},
		{"signals that nobody gets", []string{"NIX2VAST_SIGNALS=KILL:TERM"}, func(s Settings) bool { return s.Signals == nil },
			[]string{`NIX2VAST_SIGNALS: "KILL" never gets to the main command`}},
		{"kubernetes", []string{"KUBERNETES_SERVICE_HOST=x"}, func(s Settings) bool { return s.Host == "kubernetes" }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, problems := ParseSettings(tt.environ)
			if tt.check != nil && !tt.check(s) {
				t.Errorf("%+v", s)
			}
			wantProblems(t, problems, tt.problems)
		})
	}
}

// wantProblems checks that there is one problem for each part, in their order,
// and that each is a single short line.
func wantProblems(t *testing.T, got, parts []string) {
	t.Helper()
	if len(got) != len(parts) {
		t.Fatalf("%d problems, want %d: %q", len(got), len(parts), got)
	}
	for i, part := range parts {
		if !strings.Contains(got[i], part) || strings.Contains(got[i], "\n") || len(got[i]) > 200 {
			t.Errorf("problem %q, want one short line with %q", got[i], part)
		}
	}
}

func TestPasswordSettings(t *testing.T) {
	for _, tt := range []struct {
		name, password string
		problem        string // "" if it is taken
	}{
		{"plain", "correct horse", ""},
		{"colon", "a:b::", ""},
		{"not UTF-8", "\xff\xfe", ""},
		{"the longest", strings.Repeat("x", 511), ""},
		{"too long", strings.Repeat("x", 512), "ROOT_PASSWORD is 512 bytes long"},
		{"10 KB", strings.Repeat("x", 10<<10), "ROOT_PASSWORD is 10240 bytes long"},
		{"newline", "sesame\nopen", "ROOT_PASSWORD holds a line break"},
		{"CR", "sesame\r", "ROOT_PASSWORD holds a line break"},
		{"like NUL", "sesame\x01", "ROOT_PASSWORD holds a control character"},
		{"DEL", "sesame\x7f", "ROOT_PASSWORD holds a control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, problems := ParseSettings([]string{"ROOT_PASSWORD=" + tt.password})
			if tt.problem == "" {
				wantProblems(t, problems, nil)
				if string(s.RootPassword) != tt.password {
					t.Error("the password is another one")
				}
				return
			}
			wantProblems(t, problems, []string{tt.problem})
			if s.RootPassword != "" || strings.Contains(problems[0], "sesame") {
				t.Errorf("password taken or shown: %q", problems[0])
			}
		})
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	names := []string{"ROOT_PASSWORD", "TAILSCALE_AUTHKEY", "TS_AUTHKEY", "TS_AUTH_KEY", "TAILSCALE_AUTH_KEY", "TS_CLIENT_SECRET"}
	environ := []string{"TS_AUTHKEY_FILE=/run/key", "ROOT_PASSWORD_FILE=/run/password", "GIT_AUTH_KEY=theirs"}
	for _, name := range names {
		environ = append(environ, name+"=hunter2")
	}
	s, problems := ParseSettings(environ)
	wantProblems(t, problems, []string{"TAILSCALE_AUTHKEY and TS_AUTHKEY_FILE say different things", "TS_CLIENT_SECRET is not used"})
	if want := environ[:3]; !slices.Equal(s.Environ, want) {
		t.Errorf("environ %q, want %q", s.Environ, want)
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(asJSON)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, s.RootPassword)
	}
	shown += s.RootPassword.String() + s.RootPassword.GoString()
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Error("the password is shown: ", shown)
	}
}

func TestKnown(t *testing.T) {
	seen := make(map[string]bool)
	for _, setting := range Known() {
		if setting.Does == "" || len(setting.Names) == 0 {
			t.Errorf("%v has no name or no description", setting.Names)
		}
		for _, name := range setting.Names {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
	}
}
