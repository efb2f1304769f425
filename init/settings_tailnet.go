package boot

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// What TailnetSettings.Mode may be.
const (
	TailnetAuto    = "auto"
	TailnetRequire = "require"
	TailnetOff     = "off"
)

// TailnetSettings is what the environment says of the tailnet.
type TailnetSettings struct {
	Mode  string // TailnetAuto, TailnetRequire or TailnetOff
	Asked bool   // something says that the box is to be in a tailnet

	Key, ClientSecret, IDToken secretSource

	// Config is the rest, less the secrets.
	Config wire.Config
}

// secretSource is a secret, or the file that holds it.
type secretSource struct {
	Name  string // of the variable; empty: there is none
	Value Secret
	File  string
}

// The tailnet's proxy, and where its metrics are where somebody wants them.
const (
	tailnetProxy   = "127.0.0.1:1055"
	tailnetMetrics = "127.0.0.1:9002"
)

// wireGuardPort is fixed, so that a host can publish it.
const wireGuardPort = 41641

func defaultTailnet() TailnetSettings {
	return TailnetSettings{Mode: TailnetAuto, Config: wire.Config{
		StateDir: "/var/lib/tailscale", SOCKS5: tailnetProxy, HTTP: tailnetProxy, Expose: "all",
		Port: wireGuardPort, LocalAddress: tailnetMetrics,
	}}
}

// knownTailnet are the variables of the tailnet, most of them as in Tailscale's own container.
func knownTailnet() []Setting {
	key := func(s *Settings) *secretSource { return &s.Tailnet.Key }
	client := func(s *Settings) *secretSource { return &s.Tailnet.ClientSecret }
	token := func(s *Settings) *secretSource { return &s.Tailnet.IDToken }
	keys := []string{"TAILSCALE_AUTHKEY", "TS_AUTHKEY", "TS_AUTH_KEY", "TAILSCALE_AUTH_KEY"}
	var keyFiles []string
	for _, name := range keys {
		keyFiles = append(keyFiles, name+"_FILE")
	}
	list := []Setting{
		{[]string{"NIX2VAST_TAILNET"}, "auto (default), require (not ready outside its tailnet) or off", func(s *Settings, v Variable) string {
			return setChoice(&s.Tailnet.Mode, v, TailnetAuto, TailnetRequire, TailnetOff)
		}},
		{keys, "the key that joins a tailnet, or file:PATH of one", setSecret(key, false)},
		{keyFiles, "a file that holds that key", setSecret(key, true)},
		{[]string{"TS_CLIENT_SECRET"}, "the secret of an OAuth client, which wants TS_TAGS", setSecret(client, false)},
		{[]string{"TS_CLIENT_SECRET_FILE"}, "a file that holds it", setSecret(client, true)},
		{[]string{"TS_ID_TOKEN"}, "the token of a workload's identity, which is refused with a sentence", setSecret(token, false)},
		{[]string{"TS_ID_TOKEN_FILE"}, "a file that holds it", setSecret(token, true)},
		{[]string{"TS_CLIENT_ID"}, "the client of a workload's identity", asks(func(c *wire.Config, v Variable) string { c.ClientID = v.Value; return "" })},
		{[]string{"TS_AUDIENCE"}, "for whom a workload's token is", tailnet(func(c *wire.Config, v Variable) string { c.Audience = v.Value; return "" })},
	}
	list = append(list, knownNode()...)
	return append(list, knownPaths()...)
}

// knownNode are the variables that say who the box is in the tailnet.
func knownNode() []Setting {
	return []Setting{
		{[]string{"TS_HOSTNAME"}, "the box's name in the tailnet", asks(setHostname)},
		{[]string{"TS_CONTROL_URL"}, "the control server, Tailscale's own by default", asks(setControl)},
		{[]string{"TS_STATE_DIR"}, "where the node's keys are, /var/lib/tailscale by default", asks(setStateDir)},
		{[]string{"TS_TAGS"}, "the node's tags, such as tag:gpu,tag:train", tailnet(setTags)},
		{[]string{"TS_EPHEMERAL"}, "true: the node is forgotten when the box stops", tailnet(flagOf(func(c *wire.Config) *bool { return &c.Ephemeral }))},
		{[]string{"TS_SSH"}, "true: Tailscale SSH on the tailnet's port 22", tailnet(flagOf(func(c *wire.Config) *bool { return &c.SSH }))},
		{[]string{"TS_LOGS"}, "true: logs are uploaded to Tailscale", tailnet(flagOf(func(c *wire.Config) *bool { return &c.Logs }))},
		{[]string{"TS_ENABLE_METRICS"}, "true: /metrics at TS_LOCAL_ADDR_PORT", tailnet(flagOf(func(c *wire.Config) *bool { return &c.Metrics }))},
		{[]string{"TS_ENABLE_HEALTH_CHECK"}, "true: /healthz there", tailnet(flagOf(func(c *wire.Config) *bool { return &c.Health }))},
		{[]string{"TS_LOCAL_ADDR_PORT"}, "where these are, " + tailnetMetrics + " by default",
			tailnet(addressOf(func(c *wire.Config) *string { return &c.LocalAddress }))},
	}
}

// knownPaths are the variables that say what goes through the tailnet, and how.
func knownPaths() []Setting {
	return []Setting{
		{[]string{"TS_USERSPACE"}, "true: never a TUN device; false: nothing else; by default what works", tailnet(setUserspace)},
		{[]string{"TS_SOCKS5_SERVER"}, "where SOCKS5 leads into the tailnet, " + tailnetProxy + " by default; off: nowhere",
			tailnet(addressOf(func(c *wire.Config) *string { return &c.SOCKS5 }))},
		{[]string{"TS_OUTBOUND_HTTP_PROXY_LISTEN"}, "where an HTTP proxy does; the same",
			tailnet(addressOf(func(c *wire.Config) *string { return &c.HTTP }))},
		{[]string{"TS_EXPOSE"}, "which ports peers reach in userspace mode: all (default), none, or such as 22,8000-9000,loopback", tailnet(setExpose)},
		{[]string{"TS_SERVE_CONFIG"}, "the file that says what peers are served by name, in the form of tailscale serve", tailnet(setServe)},
		{[]string{"TS_ACCEPT_DNS"}, "whether names of the tailnet are resolved in the box", tailnet(func(c *wire.Config, v Variable) string {
			c.AcceptDNS = new(bool)
			return setFlag(c.AcceptDNS, v)
		})},
		{[]string{"TS_ROUTES"}, "networks that the box is a router to, such as 10.0.0.0/8", tailnet(setRoutes)},
		{[]string{"TS_ACCEPT_ROUTES"}, "true: use the networks that others are routers to", tailnet(flagOf(func(c *wire.Config) *bool { return &c.AcceptRoutes }))},
		{[]string{"TS_EXTRA_ARGS"}, "arguments of tailscale up; of them those that have a variable here", setExtraArgs},
		{[]string{"TS_TAILSCALED_EXTRA_ARGS"}, "nothing: the box has no tailscaled", func(_ *Settings, v Variable) string {
			return v.Name + " has no effect: this box runs no tailscaled"
		}},
	}
}

// tailnet makes a setter of one that only changes the configuration.
func tailnet(set func(*wire.Config, Variable) string) func(*Settings, Variable) string {
	return func(s *Settings, v Variable) string { return set(&s.Tailnet.Config, v) }
}

// asks is tailnet for a variable that nobody sets who wants no tailnet.
func asks(set func(*wire.Config, Variable) string) func(*Settings, Variable) string {
	return func(s *Settings, v Variable) string {
		s.Tailnet.Asked = true
		return set(&s.Tailnet.Config, v)
	}
}

// complete is what follows from several variables together.
func (t *TailnetSettings) complete(values map[string]string, host string) (problems []string) {
	c := &t.Config
	if c.Hostname == "" && host == "vast" {
		c.Hostname = hostLabel("vast-" + strings.TrimPrefix(values["VAST_CONTAINERLABEL"], "C."))
	}
	if c.Hostname == "" && host == "runpod" {
		c.Hostname = hostLabel("runpod-" + values["RUNPOD_POD_ID"])
	}
	port := values["VAST_UDP_PORT_"+strconv.Itoa(wireGuardPort)]
	if addr, err := netip.ParseAddr(values["PUBLIC_IPADDR"]); err == nil && isPort(port) {
		c.Endpoints = []string{net.JoinHostPort(addr.String(), port)}
	}
	for _, address := range []string{c.SOCKS5, c.HTTP, c.LocalAddress} {
		_, text, _ := net.SplitHostPort(address) // it was checked
		if n, err := strconv.ParseUint(text, 10, 16); err == nil && !slices.Contains(c.Private, uint16(n)) {
			c.Private = append(c.Private, uint16(n))
		}
	}
	if t.Key.Name != "" && t.ClientSecret.Name != "" {
		problems = append(problems, t.ClientSecret.Name+" is not used: "+t.Key.Name+" is set")
		t.ClientSecret = secretSource{}
	}
	if t.ClientSecret.Name != "" && len(c.Tags) == 0 {
		problems = append(problems, t.ClientSecret.Name+" lets in nodes with tags alone: set TS_TAGS, such as tag:gpu")
	}
	if t.IDToken.Name != "" && c.ClientID == "" {
		problems = append(problems, t.IDToken.Name+" is of no use without TS_CLIENT_ID")
	}
	return problems
}
