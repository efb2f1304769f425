// Package wire is what init and the tailnet's program tell each other. It is apart from
// both, so that init knows the one without linking the other.
package wire

import "time"

// Names below init's run directory.
const (
	// Socket answers questions about the tailnet.
	Socket = "tailnet.sock"
	// FilterSocket takes the listeners of services' filters, one a packet: from init, which
	// keeps them and sends them again to each run of the program.
	FilterSocket = "tailnet-filters.sock"
	// InitFilterSocket is init's own: commands send their listeners there, and the program
	// asks it to open the memory of processes where it may not.
	InitFilterSocket = "filters.sock"
	// StatusFile holds a Status, replaced as a whole whenever it changes.
	StatusFile = "tailnet.json"
)

// ConfigName is the name, in LISTEN_FDNAMES, of the descriptor from which the program
// reads its Config: a sealed memory file, to be read from its beginning at each start.
const ConfigName = "config"

// Config is what the program needs to join. Keys are in it, so it is never a file that
// has a name, an argument or a variable.
type Config struct {
	// AuthKey is a key (tskey-auth-…) or a client's secret (tskey-client-…); empty where
	// somebody is to log in with a browser.
	AuthKey string `json:"authKey,omitempty"`
	// ClientID, IDToken and Audience are those of a workload's identity, which the program
	// refuses with a sentence: using them links the SDK of a cloud.
	ClientID string   `json:"clientID,omitempty"`
	IDToken  string   `json:"idToken,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Tags     []string `json:"tags,omitempty"`

	Hostname   string `json:"hostname,omitempty"`
	StateDir   string `json:"stateDir"`
	ControlURL string `json:"controlURL,omitempty"`
	Ephemeral  bool   `json:"ephemeral,omitempty"`

	// Userspace is nil where trying decides.
	Userspace *bool `json:"userspace,omitempty"`
	// Proxies are where SOCKS5 and HTTP CONNECT are served; the same address for both is
	// fine. Empty: not at all.
	SOCKS5 string `json:"socks5,omitempty"`
	HTTP   string `json:"http,omitempty"`
	// Expose says which ports peers may reach in userspace mode: "all", "none", or ports,
	// ranges and "loopback", separated by commas. With a network device the listeners' own
	// addresses decide.
	Expose string `json:"expose,omitempty"`
	// Private are ports of ours that no peer gets in userspace mode, whatever Expose says.
	Private []uint16 `json:"private,omitempty"`
	// ServeConfig is the absolute path of a file in the form of Tailscale's ServeConfig: what
	// peers are served by name, whatever Expose and Private say. Empty: nothing of ours.
	ServeConfig string `json:"serveConfig,omitempty"`

	SSH          bool     `json:"ssh,omitempty"`
	AcceptDNS    *bool    `json:"acceptDNS,omitempty"`
	AcceptRoutes bool     `json:"acceptRoutes,omitempty"`
	Routes       []string `json:"routes,omitempty"`
	// Port is the UDP port of WireGuard; Endpoints are addresses under which the host
	// publishes it, such as "203.0.113.7:40123".
	Port      uint16   `json:"port,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`

	// Logs uploads them to Tailscale.
	Logs bool `json:"logs,omitempty"`
	// Metrics and Health are served at LocalAddress, as containerboot does.
	LocalAddress string `json:"localAddress,omitempty"`
	Metrics      bool   `json:"metrics,omitempty"`
	Health       bool   `json:"health,omitempty"`
}

// State is where the box is on its way into the tailnet.
type State string

// The states of the tailnet.
const (
	Starting   State = "starting"
	NeedsLogin State = "needs-login"
	Running    State = "running"
	Degraded   State = "degraded"
	Failed     State = "failed"
	Stopped    State = "stopped" // what init says where the program does not run
)

// Reason says in a word why the tailnet is not Running.
type Reason string

// The reasons that users meet.
const (
	NoKey              Reason = "no-key"
	BadKey             Reason = "bad-key"
	Expired            Reason = "expired"
	ControlUnreachable Reason = "control-unreachable"
	NeedsApproval      Reason = "needs-approval"
	LogsRequired       Reason = "logs-required"
	BadState           Reason = "bad-state"
)

// Status is what the program tells of itself.
type Status struct {
	State  State  `json:"state"`
	Reason Reason `json:"reason,omitempty"`
	// Text is upstream's own sentence, Cure what to do about it.
	Text string `json:"text,omitempty"`
	Cure string `json:"cure,omitempty"`
	// LoginURL is where somebody lets the box in.
	LoginURL string `json:"loginURL,omitempty"`

	Name      string   `json:"name,omitempty"` // in MagicDNS, without a dot at the end
	Addresses []string `json:"addresses,omitempty"`
	// Mode is "tun" or "userspace"; ModeText says what a TUN device lacks.
	Mode     string `json:"mode,omitempty"`
	ModeText string `json:"modeText,omitempty"`
	// Proxy is where SOCKS5 and HTTP are served.
	Proxy string `json:"proxy,omitempty"`
	SSH   bool   `json:"ssh,omitempty"`
	// Transparent is "" where services may be transparent, else why not.
	Transparent string    `json:"transparent,omitempty"`
	Warnings    []string  `json:"warnings,omitempty"`
	KeyExpiry   time.Time `json:"keyExpiry,omitzero"`
	Since       time.Time `json:"since"`
}

// Peer is one line of `init tailnet peers`.
type Peer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Online  bool   `json:"online"`
	// Path is "direct", "relay" or "" where nothing was sent yet; Via is the endpoint or
	// the relay's region.
	Path string `json:"path,omitempty"`
	Via  string `json:"via,omitempty"`
	// RTT is of one ping, in milliseconds; 0 where none was answered.
	RTT      float64 `json:"rtt,omitempty"`
	Sent     int64   `json:"sent"` // bytes, as Received
	Received int64   `json:"received"`
}
