package checks

// Just enough of the OCI runtime specification's config.json to run a box.

type (
	ociSpec struct {
		Version  string     `json:"ociVersion"`
		Process  ociProcess `json:"process"`
		Root     ociRoot    `json:"root"`
		Hostname string     `json:"hostname"`
		Mounts   []ociMount `json:"mounts"`
		Linux    ociLinux   `json:"linux"`
	}
	ociProcess struct {
		User         struct{ UID, GID int } `json:"user"`
		Args         []string               `json:"args"`
		Env          []string               `json:"env"`
		Cwd          string                 `json:"cwd"`
		Capabilities map[string][]string    `json:"capabilities"`
	}
	ociRoot struct {
		Path     string `json:"path"`
		Readonly bool   `json:"readonly"`
	}
	ociMount struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options,omitempty"`
	}
	ociLinux struct {
		CgroupsPath string         `json:"cgroupsPath"`
		Namespaces  []ociNamespace `json:"namespaces"`
		Resources   struct {
			Devices []ociDevice `json:"devices"`
		} `json:"resources"`
	}
	ociNamespace struct {
		Type string `json:"type"`
	}
	ociDevice struct {
		Allow  bool   `json:"allow"`
		Type   string `json:"type,omitempty"`
		Major  *int   `json:"major,omitempty"`
		Access string `json:"access"`
	}
)

// grantedCapabilities are docker's default ones less NET_RAW: the mask a80405fb
// of a rented box.
var grantedCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// spec is what docker run would hand to its runtime, network left out: a
// namespace of its own lets boxes run side by side.
func (b *box) spec(environ []string) ociSpec {
	s := ociSpec{
		Version:  "1.0.2",
		Root:     ociRoot{Path: b.root, Readonly: b.ReadOnly},
		Hostname: "box",
		Process: ociProcess{
			Args:         b.Command,
			Env:          append([]string{"PATH=" + searchPath, "LANG=C.UTF-8"}, environ...),
			Cwd:          "/",
			Capabilities: map[string][]string{},
		},
		Mounts: []ociMount{
			{"/proc", "proc", "proc", []string{"nosuid", "noexec", "nodev"}},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{"/dev/pts", "devpts", "devpts", []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{"/dev/shm", "tmpfs", "shm", []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
			{"/sys", "sysfs", "sysfs", []string{"nosuid", "noexec", "nodev", "ro"}},
		},
	}
	if len(s.Process.Args) == 0 {
		s.Process.Args = []string{"/init"}
	}
	if b.ReadOnly {
		for _, dir := range []string{"/run", "/tmp"} {
			s.Mounts = append(s.Mounts, ociMount{dir, "tmpfs", "tmpfs", []string{"nosuid", "nodev", "mode=1777"}})
		}
	}
	for _, set := range []string{"bounding", "effective", "permitted"} {
		s.Process.Capabilities[set] = grantedCapabilities
	}
	for _, kind := range []string{"pid", "ipc", "uts", "mount", "network"} {
		s.Linux.Namespaces = append(s.Linux.Namespaces, ociNamespace{kind})
	}
	s.Linux.CgroupsPath = "/" + b.id
	s.Linux.Resources.Devices = []ociDevice{{Allow: false, Access: "rwm"}}
	if !b.NoDevices {
		for _, major := range []int{195, 511} {
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, ociDevice{true, "c", &major, "rwm"})
		}
	}
	return s
}

// searchPath is PATH as the image sets it.
const searchPath = "/run/nix2vast/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
