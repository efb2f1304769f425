package engine

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Platform is a host of GPU boxes, as far as its containers can tell.
type Platform struct {
	Name  string
	About string // a sentence for the help

	options     []string                          // of docker create, and podman's
	drop        []string                          // capabilities, of those that docker grants
	env         func(b Box, port string) []string // what the host puts there, NAME=VALUE
	keyVariable string                            // where the host puts the renter's keys
	entrypoint  []string                          // instead of the image's
	files       func(b Box) io.Reader             // a tar stream that goes into the container before it starts
	needsPort   bool                              // env tells the port of this machine
}

func (p Platform) environment(b Box, port int) []string {
	if p.env == nil {
		return nil
	}
	return p.env(b, fmt.Sprint(port))
}

// capabilities are the options that leave a container what docker grants, less what the
// platform drops. Podman grants less by itself.
func (p Platform) capabilities(runtime string) []string {
	var options []string
	for _, c := range p.drop {
		options = append(options, "--cap-drop", c)
	}
	if runtime == Podman && !slices.Contains(p.drop, "ALL") {
		for _, c := range []string{"AUDIT_WRITE", "MKNOD", "NET_RAW"} {
			if !slices.Contains(p.drop, c) {
				options = append(options, "--cap-add", c)
			}
		}
	}
	return options
}

// launch is what vast.ai makes of an entrypoint in its SSH and Jupyter modes.
const launch = "while [ ! -e /.launch ]; do sleep 1; done; bash /.launch"

// Platforms are all that a container can be started like, the first being no host at all.
var Platforms = []Platform{
	{
		Name: "docker", About: "plain docker run, as on a machine that was rented as a whole",
		keyVariable: "SSH_PUBLIC_KEYS",
	},
	{
		Name: "vast", About: "vast.ai, launch mode Entrypoint: docker's capabilities less NET_RAW (a80405fb), " +
			"VAST_* and PUBLIC_IPADDR, the key in SSH_PUBLIC_KEY",
		drop: []string{"NET_RAW"}, env: vastEnv, keyVariable: "SSH_PUBLIC_KEY", needsPort: true,
	},
	{
		Name: "vast-ssh", About: "vast.ai, launch mode SSH: the entrypoint is replaced by a shell that runs /.launch, " +
			"which starts sshd by itself and then /root/onstart.sh, here `init boot`",
		drop: []string{"NET_RAW"}, env: vastEnv, needsPort: true,
		entrypoint: []string{"/bin/sh", "-c", launch}, files: vastFiles,
	},
	{
		Name: "runpod", About: "RunPod: docker's capabilities, RUNPOD_*, the key in PUBLIC_KEY, a volume at /workspace, 1 GB of /dev/shm",
		options: []string{"--volume", "/workspace", "--shm-size", "1g"}, env: runpodEnv, keyVariable: "PUBLIC_KEY", needsPort: true,
	},
	{
		Name: "salad", About: "SaladCloud: no devices can be made, SALAD_*, no volume; the key in SSH_PUBLIC_KEYS, which a renter sets there",
		drop: []string{"NET_RAW", "MKNOD"}, env: saladEnv, keyVariable: "SSH_PUBLIC_KEYS",
	},
	{
		Name: "k8s", About: "a restricted pod of Kubernetes: read-only root, user 10001, no capability, no-new-privileges, " +
			"KUBERNETES_* and service links; nobody can log in, and the status is degraded",
		options: []string{"--read-only", "--user", "10001:0", "--security-opt", "no-new-privileges"},
		drop:    []string{"ALL"}, env: k8sEnv, keyVariable: "SSH_PUBLIC_KEYS",
	},
}

// FindPlatform finds one by name.
func FindPlatform(name string) (Platform, error) {
	i := slices.IndexFunc(Platforms, func(p Platform) bool { return p.Name == name })
	if i < 0 {
		var names []string
		for _, p := range Platforms {
			names = append(names, p.Name)
		}
		return Platform{}, fmt.Errorf("no platform is called %q; there are %s", name, strings.Join(names, ", "))
	}
	return Platforms[i], nil
}

// The variables are those that containers on these hosts have been seen with. Their
// values are nobody's.

func vastEnv(_ Box, port string) []string {
	return []string{
		"CONTAINER_ID=10000001", "VAST_CONTAINERLABEL=C.10000001", "CONTAINER_API_KEY=none", "PUBLIC_IPADDR=127.0.0.1",
		"VAST_TCP_PORT_22=" + port, "GPU_COUNT=1", "VAST_DEVICE_IDXS=0", "DATA_DIRECTORY=/workspace/",
		"OPEN_BUTTON_TOKEN=none", "JUPYTER_TOKEN=none",
	}
}

func runpodEnv(b Box, port string) []string {
	return []string{
		"RUNPOD_POD_ID=pod0000000001", "RUNPOD_POD_HOSTNAME=" + b.Name, "RUNPOD_DC_ID=LOCAL-1", "RUNPOD_GPU_COUNT=1",
		"RUNPOD_CPU_COUNT=4", "RUNPOD_PUBLIC_IP=127.0.0.1", "RUNPOD_TCP_PORT_22=" + port, "RUNPOD_VOLUME_ID=vol0000000001",
		"RUNPOD_API_KEY=none",
	}
}

func saladEnv(Box, string) []string {
	return []string{
		"SALAD_MACHINE_ID=00000000-0000-0000-0000-000000000001", "SALAD_INSTANCE_ID=00000000-0000-0000-0000-000000000002",
		"SALAD_CONTAINER_GROUP_ID=00000000-0000-0000-0000-000000000003", "SALAD_CONTAINER_GROUP_NAME=local",
		"SALAD_ORGANIZATION_NAME=local", "SALAD_PROJECT_NAME=local",
	}
}

// k8sEnv has the links to a service that is called ssh, as sooner or later one is.
func k8sEnv(b Box, _ string) []string {
	env := []string{"KUBERNETES_SERVICE_PORT_HTTPS=443", "HOSTNAME=" + b.Name}
	for name, port := range map[string]string{"KUBERNETES": "443", "SSH": "22"} {
		address := "10.96.0.1"
		env = append(env,
			name+"_SERVICE_HOST="+address, name+"_SERVICE_PORT="+port, name+"_PORT=tcp://"+address+":"+port,
			name+"_PORT_"+port+"_TCP=tcp://"+address+":"+port, name+"_PORT_"+port+"_TCP_PROTO=tcp",
			name+"_PORT_"+port+"_TCP_PORT="+port, name+"_PORT_"+port+"_TCP_ADDR="+address)
	}
	slices.Sort(env)
	return env
}

// launcher is what is known of vast.ai's /.launch: it starts sshd by itself, as often as
// it takes, and the renter's script after that.
const launcher = `mkdir -p /run/sshd
ssh-keygen -A
until /usr/sbin/sshd; do sleep 1; done
bash /root/onstart.sh
while :; do sleep 1000; done
`

// onstart is the line that a renter puts into the template.
const onstart = "#!/bin/bash\ninit boot </dev/null &\n"

func vastFiles(b Box) io.Reader {
	var out bytes.Buffer
	w := tar.NewWriter(&out) // a buffer takes everything
	add := func(name string, mode int64, body string) {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body)), ModTime: time.Unix(1, 0)})
		io.WriteString(w, body)
	}
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "root/.ssh/", Mode: 0o700, ModTime: time.Unix(1, 0)})
	add("root/.ssh/authorized_keys", 0o600, strings.Join(b.Keys, "\n")+"\n")
	add("root/onstart.sh", 0o755, onstart)
	add(".launch", 0o755, launcher)
	w.Close()
	return &out
}
