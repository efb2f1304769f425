package boot

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/fleek-platform/nix2vast/services"
)

// Secret is a value that nothing prints: every verb of package fmt, JSON and
// the log show "(secret)". Convert it to a string to use it.
type Secret string

const hidden = "(secret)"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) Format(f fmt.State, _ rune)   { fmt.Fprint(f, hidden) }

// Variable is one entry of the environment.
type Variable struct{ Name, Value string }

// What Settings.GPU may be.
const (
	GPUAuto    = "auto"
	GPURequire = "require"
	GPUOff     = "off"
)

// What Settings.LogFormat may be.
const (
	LogText = "text"
	LogJSON = "json"
)

// What Settings.OnExit may be.
const (
	OnExitKeep = "keep"
	OnExitExit = "exit"
)

// maxPassword is how many bytes of password sshd can check: libxcrypt's
// crypt(3) fails from CRYPT_MAX_PASSPHRASE_SIZE, which is 512, upwards.
const maxPassword = 511

// Settings is what the container's environment asks for.
type Settings struct {
	Environ []string // all of it, as it came, less secrets and what is no "NAME=value"

	RootPassword     Secret
	RootPasswordFile string
	PublicKeys       []Variable // each may hold several keys, in any shape
	PublicKeyFiles   []Variable // each names a file, or a directory of *.pub
	SSHPort          int

	GPU         string                            // GPUAuto, GPURequire or GPUOff
	GPUWait     time.Duration                     // longest wait for a driver that is being injected
	StopTimeout time.Duration                     // for all services together, before they are killed
	Signals     map[syscall.Signal]syscall.Signal // what the main command gets in the place of others; 0: none
	SignalScope string                            // ScopeGroup or ScopeProcess
	LogFormat   string                            // LogText or LogJSON
	LogDir      string                            // of the services' logs; absolute
	Socket      string                            // where init answers; "": in the run directory, as by default
	OnExit      string                            // OnExitKeep or OnExitExit
	GPUDirs     []string                          // further ones of the driver's libraries; absolute
	MetricsAddr string                            // host:port or :port; "": no metrics
	Tailnet     TailnetSettings

	Host      string // vast, runpod, salad, fly, kubernetes or docker
	LoginHost string // where the world reaches our sshd; both are empty
	LoginPort string // where that is not known
	Workspace string // absolute
}

// hasCredentials says whether anything was set that should let somebody log in.
func (s Settings) hasCredentials() bool {
	return s.RootPassword != "" || s.RootPasswordFile != "" || len(s.PublicKeys)+len(s.PublicKeyFiles) > 0
}

// A Setting is one variable that the environment may hold.
type Setting struct {
	Names []string // the first is its own, the others are aliases
	Does  string   // half a sentence for the manual page

	// set takes one variable over, or says in a sentence why it does not.
	set func(s *Settings, v Variable) (problem string)
}

// Known returns every variable that ParseSettings understands.
func Known() []Setting {
	keys := []string{"SSH_PUBLIC_KEYS", "SSH_PUBLIC_KEY", "PUBLIC_KEY", "SSH_PUBKEY", "AUTHORIZED_KEYS"}
	var keyFiles []string
	for _, name := range keys {
		keyFiles = append(keyFiles, name+"_FILE")
	}
	return append([]Setting{
		{[]string{"ROOT_PASSWORD"}, "root's password; only with it does sshd accept passwords", setPassword},
		{[]string{"ROOT_PASSWORD_FILE"}, "a file that holds root's password", func(s *Settings, v Variable) string {
			s.RootPasswordFile = v.Value
			return ""
		}},
		{keys, "public keys that may log in as root, all of them together", func(s *Settings, v Variable) string {
			s.PublicKeys = append(s.PublicKeys, v)
			return ""
		}},
		{keyFiles, "a file of such keys, or a directory of *.pub", func(s *Settings, v Variable) string {
			s.PublicKeyFiles = append(s.PublicKeyFiles, v)
			return ""
		}},
		{[]string{"SSH_PORT"}, "the port of sshd, 22 by default", setPort},
		{[]string{"DATA_DIRECTORY"}, "vast's name for WORKSPACE, which wins over it", setWorkspace},
		{[]string{"WORKSPACE"}, "the directory for the renter's data, /workspace by default", setWorkspace},
		{[]string{"NIX2VAST_GPU"}, "auto (default), require (not ready without a driver) or off", func(s *Settings, v Variable) string {
			return setChoice(&s.GPU, v, GPUAuto, GPURequire, GPUOff)
		}},
		{[]string{"NIX2VAST_GPU_WAIT"}, "longest wait for a driver that is being injected, 10s by default", func(s *Settings, v Variable) string {
			return setDuration(&s.GPUWait, v)
		}},
		{[]string{"NIX2VAST_GLIBC_CACHE"}, "0 keeps our hands off the library cache of the image's glibc", func(_ *Settings, v Variable) string {
			var unread string // package gpu looks at it, in Environ
			return setChoice(&unread, v, "1", "0")
		}},
		{[]string{"NIX2VAST_GPU_DIRS"}, "further directories of the driver's libraries, in front of the known ones, with colons between", setGPUDirs},
		{[]string{"NIX2VAST_STOP_TIMEOUT"}, "time that all services together have to stop, 9s by default", func(s *Settings, v Variable) string {
			return setDuration(&s.StopTimeout, v)
		}},
		{[]string{"NIX2VAST_SIGNALS"}, "what the main command gets in the place of signals, such as TERM:QUIT,HUP:0; 0 for none", setSignals},
		{[]string{"NIX2VAST_SIGNAL_SCOPE"}, "group (default): signals are for the main command and its process group; process: for itself alone", func(s *Settings, v Variable) string {
			return setChoice(&s.SignalScope, v, ScopeGroup, ScopeProcess)
		}},
		{[]string{"NIX2VAST_LOG"}, "text (default) or json", func(s *Settings, v Variable) string {
			return setChoice(&s.LogFormat, v, LogText, LogJSON)
		}},
		{[]string{"NIX2VAST_LOG_DIR"}, "where the logs of services are written, " + defaultLogDir + " by default", func(s *Settings, v Variable) string {
			return setPath(&s.LogDir, v, s.LogDir)
		}},
		{[]string{"NIX2VAST_SOCKET"}, "where init answers, " + defaultSocket + " by default", setSocket},
		{[]string{"NIX2VAST_ON_EXIT"}, "keep (default); exit: the container ends once all services but init's own have", func(s *Settings, v Variable) string {
			return setChoice(&s.OnExit, v, OnExitKeep, OnExitExit)
		}},
		{[]string{"NIX2VAST_METRICS_ADDR"}, "where Prometheus gets metrics, such as :9400; off by default", setMetricsAddr},
	}, knownTailnet()...)
}

// Environ is the environment of this process. Nothing else in this module
// reads it.
func Environ() []string { return os.Environ() }

// NotifyUp tells whoever started this container how it is, where they asked to be
// told: podman with --sdnotify=container, systemd-nspawn. See sd_notify(3).
func NotifyUp(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("notifying the container's manager: %w", err)
	}
	return nil
}

// ParseSettings reads the entries of an environment. What it cannot use it
// leaves at the default and says so, one sentence each, without secrets.
func ParseSettings(environ []string) (Settings, []string) {
	s := Settings{
		SSHPort: 22, GPU: GPUAuto, GPUWait: 10 * time.Second, StopTimeout: 9 * time.Second,
		SignalScope: ScopeGroup, LogFormat: LogText, LogDir: defaultLogDir, OnExit: OnExitKeep, Workspace: "/workspace",
		Tailnet: defaultTailnet(),
	}
	values := make(map[string]string, len(environ))
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if _, twice := values[name]; !ok || name == "" || twice { // the first counts, as for getenv(3)
			continue
		}
		values[name] = value
		if !isSecret(name) {
			s.Environ = append(s.Environ, entry)
		}
	}

	var problems []string
	var ours []string
	for _, setting := range Known() {
		for _, name := range setting.Names {
			if strings.HasPrefix(name, "NIX2VAST_") {
				ours = append(ours, name)
			}
			if values[name] == "" {
				continue
			}
			if problem := setting.set(&s, Variable{name, values[name]}); problem != "" {
				problems = append(problems, problem)
			}
		}
	}
	for _, entry := range s.Environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "NIX2VAST_") && !slices.Contains(ours, name) {
			problem := excerpt(name) + " is not known"
			if near := services.Nearest(name, ours); near != "" {
				problem += ", the nearest known name is " + near
			}
			problems = append(problems, problem)
		}
	}
	s.Host, s.LoginHost, s.LoginPort = hostOf(values, s.SSHPort)
	return s, append(problems, s.Tailnet.complete(values, s.Host)...)
}

// hostOf tells who rents the box out, by a variable that only they set, and
// where they forward sshd's port from.
func hostOf(values map[string]string, sshPort int) (host, loginHost, loginPort string) {
	host = "docker"
	for _, h := range []struct{ mark, name, address, port string }{
		{"VAST_CONTAINERLABEL", "vast", "PUBLIC_IPADDR", "VAST_TCP_PORT_"},
		{"RUNPOD_POD_ID", "runpod", "RUNPOD_PUBLIC_IP", "RUNPOD_TCP_PORT_"},
		{"SALAD_MACHINE_ID", "salad", "", ""},
		{"FLY_MACHINE_ID", "fly", "", ""},
		{"KUBERNETES_SERVICE_HOST", "kubernetes", "", ""},
	} {
		if values[h.mark] == "" {
			continue
		}
		address, port := values[h.address], values[h.port+strconv.Itoa(sshPort)]
		if isHost(address) && isPort(port) {
			return h.name, address, port
		}
		return h.name, "", ""
	}
	return host, "", ""
}

func isHost(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-") == ""
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 65535
}

func setPassword(s *Settings, v Variable) string {
	if problem := passwordProblem(v.Name, Secret(v.Value)); problem != "" {
		return problem
	}
	s.RootPassword = Secret(v.Value)
	return ""
}

// passwordProblem says why a password from the named variable cannot be used.
// A ":" is no reason: only the hash gets into /etc/shadow.
func passwordProblem(name string, password Secret) string {
	if n := len(password); n > maxPassword {
		return fmt.Sprintf("%s is %d bytes long, and no login could check more than %d: it is not applied", name, n, maxPassword)
	}
	for _, c := range []byte(password) {
		if c == '\n' || c == '\r' {
			return name + " holds a line break, which nobody can type: it is not applied"
		}
		if c < ' ' || c == 0x7f {
			return name + " holds a control character, which nobody can type: it is not applied"
		}
	}
	return ""
}

func setPort(s *Settings, v Variable) string {
	if !isPort(v.Value) {
		return fmt.Sprintf("%s is %s, not a port from 1 to 65535: %d is used", v.Name, excerpt(v.Value), s.SSHPort)
	}
	s.SSHPort, _ = strconv.Atoi(v.Value)
	return ""
}

func setWorkspace(s *Settings, v Variable) string {
	if !path.IsAbs(v.Value) {
		return fmt.Sprintf("%s is %s, not an absolute path: %s is used", v.Name, excerpt(v.Value), s.Workspace)
	}
	s.Workspace = path.Clean(v.Value)
	return ""
}

func setChoice(field *string, v Variable, choices ...string) string {
	if !slices.Contains(choices, v.Value) {
		return fmt.Sprintf("%s is %s, not one of %s: %s is used",
			v.Name, excerpt(v.Value), strings.Join(choices, ", "), choices[0])
	}
	*field = v.Value
	return ""
}

// setDuration takes "10" for seconds, or what time.ParseDuration takes.
func setDuration(field *time.Duration, v Variable) string {
	d, err := time.ParseDuration(v.Value)
	if seconds, bad := strconv.ParseUint(v.Value, 10, 32); bad == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil || d < 0 {
		return fmt.Sprintf("%s is %s, not a time such as 10s: %v is used", v.Name, excerpt(v.Value), *field)
	}
	*field = d
	return ""
}

// isSecret says whether a variable is for us alone. The name of a file that
// holds a secret is none.
func isSecret(name string) bool {
	switch name {
	case "ROOT_PASSWORD", "TS_CLIENT_SECRET", "TS_ID_TOKEN", "TS_EXTRA_ARGS": // the last may hold --authkey=
		return true
	}
	return (strings.HasPrefix(name, "TS_") || strings.HasPrefix(name, "TAILSCALE_")) &&
		(strings.Contains(name, "AUTHKEY") || strings.Contains(name, "AUTH_KEY")) &&
		!strings.HasSuffix(name, "_FILE")
}

// excerpt quotes a value from outside so that it stays on one short line.
func excerpt(value string) string {
	if len(value) > 40 {
		value = value[:40] + "…"
	}
	return strconv.Quote(value)
}
