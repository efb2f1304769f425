package boot

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

func TestTailnetSettings(t *testing.T) {
	defaults := defaultTailnet().Config
	defaults.Private = []uint16{1055, 9002}
	yes, no := true, false
	for _, tt := range []struct {
		name     string
		environ  []string
		asked    bool
		change   func(c *wire.Config) // of the defaults
		problems []string             // a part of each
	}{
		{"nothing", nil, false, nil, nil},
		{"every setting", []string{
			"TS_HOSTNAME=Box-1", "TS_CONTROL_URL=https://hs.example.org/", "TS_STATE_DIR=/data/ts/", "TS_TAGS=tag:gpu, train", "TS_EPHEMERAL=true",
			"TS_SSH=1", "TS_LOGS=yes", "TS_ENABLE_METRICS=true", "TS_ENABLE_HEALTH_CHECK=on", "TS_LOCAL_ADDR_PORT=:9100",
			"TS_USERSPACE=false", "TS_SOCKS5_SERVER=127.0.0.1:1080", "TS_OUTBOUND_HTTP_PROXY_LISTEN=off", "TS_EXPOSE=22,8000-9000,loopback",
			"TS_ACCEPT_DNS=false", "TS_ROUTES=10.0.0.0/8,fd00::/8", "TS_ACCEPT_ROUTES=true", "TS_SERVE_CONFIG=/etc/nix2vast//serve.json", "TS_CLIENT_ID=k1", "TS_AUDIENCE=them",
		}, true, func(c *wire.Config) {
			*c = wire.Config{Hostname: "box-1", ControlURL: "https://hs.example.org", StateDir: "/data/ts", Tags: []string{"tag:gpu", "tag:train"},
				Ephemeral: true, SSH: true, Logs: true, Metrics: true, Health: true, LocalAddress: ":9100", Userspace: &no, SOCKS5: "127.0.0.1:1080",
				Expose: "22,8000-9000,loopback", AcceptDNS: &no, Routes: []string{"10.0.0.0/8", "fd00::/8"}, AcceptRoutes: true,
				ServeConfig: "/etc/nix2vast/serve.json", ClientID: "k1", Audience: "them", Port: 41641, Private: []uint16{1080, 9100}}
		}, nil},
		{"userspace wanted", []string{"TS_USERSPACE=TRUE"}, false, func(c *wire.Config) { c.Userspace = &yes }, nil},
		{"bad values", []string{
			"TS_CONTROL_URL=hs.example.org", "TS_STATE_DIR=ts", "TS_TAGS=tag:gpu,tag:9,a b!", "TS_SSH=maybe", "TS_USERSPACE=auto?", "TS_SOCKS5_SERVER=1055",
			"TS_EXPOSE=ssh", "TS_ROUTES=10.0.0.1/8,10.0.0.0", "TS_SERVE_CONFIG=serve.json", "TS_TAILSCALED_EXTRA_ARGS=--debug", "NIX2VAST_TAILNET=on",
		}, true, func(c *wire.Config) { c.Tags, c.Expose = []string{"tag:gpu", "tag:a"}, "none" }, []string{
			`NIX2VAST_TAILNET is "on", not one of auto, require, off: auto is used`,
			`TS_CONTROL_URL is "hs.example.org", not a URL such as https://headscale.example.org: Tailscale's own is used`,
			`TS_STATE_DIR is "ts", not the absolute path of a directory of its own: /var/lib/tailscale is used`,
			`TS_TAGS: left out is what is not a tag such as tag:gpu: "tag:9", "b!"`,
			`TS_SSH is "maybe", neither true nor false: false is used`,
			`TS_USERSPACE is "auto?", neither true nor false: what works is used`,
			`TS_SOCKS5_SERVER is "1055", not an address such as 127.0.0.1:1055 or :1055: 127.0.0.1:1055 is used`,
			`TS_EXPOSE: left out is what is not a port, a range of ports, all, none or loopback: "ssh"`,
			`TS_SERVE_CONFIG is "serve.json", not the absolute path of a file: it is not used`,
			`TS_ROUTES: left out is what is not a network such as 10.0.0.0/8: "10.0.0.1/8", "10.0.0.0"`,
			`TS_TAILSCALED_EXTRA_ARGS has no effect`,
		}},
		{"a URL with a password", []string{"TS_CONTROL_URL=https://a:b@hs.example.org"}, true, nil, []string{"Tailscale's own is used"}},
		{"a long name", []string{"TS_HOSTNAME=" + strings.Repeat("gpu.", 75)}, true,
			func(c *wire.Config) { c.Hostname = strings.Repeat("gpu-", 15) + "gpu" }, []string{"not a name of at most 63 letters, digits and dashes: gpu-"}},
		{"a name with an accent", []string{"TS_HOSTNAME=café__box"}, true,
			func(c *wire.Config) { c.Hostname = "caf-box" }, []string{`TS_HOSTNAME is "café__box", not a name of at most 63 letters, digits and dashes: caf-box is used`}},
		{"a name of nothing usable", []string{"TS_HOSTNAME=箱"}, true, nil, []string{"of which no name can be made"}},
		{"arguments", []string{"TS_EXTRA_ARGS=--ssh --advertise-tags=tag:gpu --accept-routes=false -login-server https://hs.example.org --exit-node=secret --shields-up tskey-x"}, false,
			func(c *wire.Config) {
				c.SSH, c.Tags, c.ControlURL = true, []string{"tag:gpu"}, "https://hs.example.org"
			},
			[]string{`TS_EXTRA_ARGS: of no effect here: "--exit-node --shields-up"`}},
		{"an argument that is wrong", []string{"TS_EXTRA_ARGS=--ssh=perhaps"}, false, nil, []string{`TS_EXTRA_ARGS --ssh is "perhaps", neither true nor false`}},
		{"vast, with a port for WireGuard", []string{"VAST_CONTAINERLABEL=C.1234", "PUBLIC_IPADDR=203.0.113.7", "VAST_UDP_PORT_41641=40123"}, false,
			func(c *wire.Config) { c.Hostname, c.Endpoints = "vast-1234", []string{"203.0.113.7:40123"} }, nil},
		{"vast, with IPv6", []string{"VAST_CONTAINERLABEL=C.1234", "PUBLIC_IPADDR=2001:db8::7", "VAST_UDP_PORT_41641=40123", "TS_HOSTNAME=mine"}, true,
			func(c *wire.Config) { c.Hostname, c.Endpoints = "mine", []string{"[2001:db8::7]:40123"} }, nil},
		{"no usable endpoint", []string{"PUBLIC_IPADDR=host.example.org", "VAST_UDP_PORT_41641=40123"}, false, nil, nil},
		{"runpod", []string{"RUNPOD_POD_ID=abc123"}, false, func(c *wire.Config) { c.Hostname = "runpod-abc123" }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, problems := ParseSettings(tt.environ)
			want := defaults
			if tt.change != nil {
				tt.change(&want)
			}
			slices.Sort(want.Private)
			slices.Sort(s.Tailnet.Config.Private)
			if !reflect.DeepEqual(s.Tailnet.Config, want) {
				t.Errorf("%+v\nwant %+v", s.Tailnet.Config, want)
			}
			if tt.name != "an argument that is wrong" && tt.name != "arguments" && s.Tailnet.Asked != tt.asked {
				t.Errorf("asked for: %v", s.Tailnet.Asked)
			}
			wantProblems(t, problems, tt.problems)
		})
	}
}

func TestTailnetKeys(t *testing.T) {
	for _, tt := range []struct {
		name    string
		environ []string
		want    secretSource
		problem string
	}{
		{"plain", []string{"TAILSCALE_AUTHKEY=tskey-auth-x"}, secretSource{Name: "TAILSCALE_AUTHKEY", Value: "tskey-auth-x"}, ""},
		{"white space around it", []string{"TS_AUTHKEY= tskey-auth-x\n"}, secretSource{Name: "TS_AUTHKEY", Value: "tskey-auth-x"}, ""},
		{"quotes around it", []string{`TS_AUTH_KEY="tskey-auth-x"`}, secretSource{Name: "TS_AUTH_KEY", Value: "tskey-auth-x"}, "TS_AUTH_KEY stands in quotes: they are left out"},
		{"a file", []string{"TAILSCALE_AUTH_KEY=file:/run/key"}, secretSource{Name: "TAILSCALE_AUTH_KEY", File: "/run/key"}, ""},
		{"the name of a file", []string{"TS_AUTHKEY_FILE=/run/key"}, secretSource{Name: "TS_AUTHKEY_FILE", File: "/run/key"}, ""},
		{"a path", []string{"TAILSCALE_AUTHKEY=/run/sesame"}, secretSource{}, "TAILSCALE_AUTHKEY is a path and no key: it is not used; did you mean file: before it?"},
		{"a line break", []string{"TAILSCALE_AUTHKEY=tskey-sesame\ntskey-sesame"}, secretSource{}, "TAILSCALE_AUTHKEY holds a line break, which no key does: it is not used"},
		{"a quote", []string{"TAILSCALE_AUTHKEY=tskey-'sesame"}, secretSource{}, "TAILSCALE_AUTHKEY holds a blank, a quote"},
		{"not ASCII", []string{"TAILSCALE_AUTHKEY=tskey-sesame\xff"}, secretSource{}, "TAILSCALE_AUTHKEY holds a blank, a quote"},
		{"blank", []string{"TAILSCALE_AUTHKEY= \n"}, secretSource{}, "TAILSCALE_AUTHKEY is empty"},
		{"the same twice", []string{"TS_AUTHKEY=tskey-x", "TAILSCALE_AUTHKEY=tskey-x"}, secretSource{Name: "TAILSCALE_AUTHKEY", Value: "tskey-x"}, ""},
		{"two that differ", []string{"TS_AUTHKEY=tskey-sesame", "TAILSCALE_AUTHKEY=tskey-x"}, secretSource{Name: "TAILSCALE_AUTHKEY", Value: "tskey-x"},
			"TAILSCALE_AUTHKEY and TS_AUTHKEY say different things: TAILSCALE_AUTHKEY is used"},
		{"a key and a file", []string{"TS_AUTHKEY_FILE=/x", "TS_AUTHKEY=tskey-x"}, secretSource{Name: "TS_AUTHKEY", Value: "tskey-x"}, "TS_AUTHKEY and TS_AUTHKEY_FILE say different things"},
		{"among arguments", []string{"TS_EXTRA_ARGS=--auth-key=tskey-x"}, secretSource{Name: "TS_EXTRA_ARGS --auth-key", Value: "tskey-x"}, ""},
		{"an argument of its own", []string{"TS_EXTRA_ARGS=--authkey tskey-x --ssh"}, secretSource{Name: "TS_EXTRA_ARGS --authkey", Value: "tskey-x"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, problems := ParseSettings(tt.environ)
			if s.Tailnet.Key != tt.want {
				t.Errorf("from %q %q file %q", s.Tailnet.Key.Name, string(s.Tailnet.Key.Value), s.Tailnet.Key.File)
			}
			if !s.Tailnet.Asked {
				t.Error("nothing asks for a tailnet")
			}
			var want []string
			if tt.problem != "" {
				want = []string{tt.problem}
			}
			wantProblems(t, problems, want)
			if strings.Contains(strings.Join(problems, ""), "sesame") {
				t.Errorf("the problem shows the key: %q", problems)
			}
		})
	}
}

func TestTailnetClient(t *testing.T) {
	s, problems := ParseSettings([]string{"TS_CLIENT_SECRET=tskey-client-x"})
	wantProblems(t, problems, []string{"TS_CLIENT_SECRET lets in nodes with tags alone: set TS_TAGS, such as tag:gpu"})
	if s.Tailnet.ClientSecret.Value != "tskey-client-x" || !s.Tailnet.Asked {
		t.Errorf("%+v", s.Tailnet)
	}
	s, problems = ParseSettings([]string{"TS_CLIENT_SECRET=file:/x", "TS_AUTHKEY=k", "TS_ID_TOKEN=t"})
	wantProblems(t, problems, []string{"TS_CLIENT_SECRET is not used: TS_AUTHKEY is set", "TS_ID_TOKEN is of no use without TS_CLIENT_ID"})
	if s.Tailnet.ClientSecret.Name != "" {
		t.Errorf("%+v", s.Tailnet)
	}
}

// TestTailnetSecretsAreNotShown: neither the settings nor what children get hold one.
func TestTailnetSecretsAreNotShown(t *testing.T) {
	s, _ := ParseSettings([]string{"TS_AUTHKEY=hunter2", "TS_ID_TOKEN=hunter2", "TS_CLIENT_ID=k", "TS_EXTRA_ARGS=--authkey=hunter2", "TS_HOSTNAME=box"})
	if s.Tailnet.Key.Value != "hunter2" || s.Tailnet.IDToken.Value != "hunter2" {
		t.Fatal("the secrets were not taken")
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(asJSON) + strings.Join(s.Environ, " ") + strings.Join(sessionEnviron(s, nil), " ")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		shown += fmt.Sprintf(verb, s)
	}
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, fmt.Sprintf("%x", "hunter2")) {
		t.Error("a secret is shown: ", shown)
	}
}
