package checks

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A lab is what the tests of whole containers share: the machine's container
// engine with the image loaded, and a key to log in with.
type lab struct {
	engine  string   // docker, or podman where docker does not answer
	options []string // of every container
	image   string   // a tag of this run's own
	dir     string
	key     string // file of the private key
	public  string // line of the public key

	mu    sync.Mutex
	boxes int
}

// opened is the lab of this run. Nothing is loaded for tests that need none.
var opened struct {
	once sync.Once
	lab  *lab
	err  error
}

func theLab(t *testing.T) *lab {
	t.Helper()
	opened.once.Do(func() { opened.lab, opened.err = openLab() })
	if opened.err != nil {
		t.Fatal(opened.err)
	}
	return opened.lab
}

// TestMain takes the image out of the engine when all tests are done.
func TestMain(m *testing.M) {
	code := m.Run()
	if l := opened.lab; l != nil {
		if out, err := exec.Command(l.engine, "rmi", l.image).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "removing the image: %v\n%s", err, out)
			code = 1
		}
		os.RemoveAll(l.dir)
	}
	os.Exit(code)
}

func openLab() (*lab, error) {
	l := &lab{engine: "docker", image: fmt.Sprintf("nix2vast:checks-%d", os.Getpid())}
	if exec.Command("docker", "version").Run() != nil {
		l.engine = "podman"
		// Podman grants less than docker by itself, and has limits that are
		// higher than a root without CAP_SYS_RESOURCE may set.
		l.options = []string{"--cap-add", "AUDIT_WRITE", "--cap-add", "MKNOD",
			"--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096"}
	}
	// Docker's capabilities less NET_RAW are what vast.ai gives. The health check
	// would run beside the tests, and the image asks for every GPU there is.
	l.options = append(l.options, "--cap-drop", "NET_RAW", "--no-healthcheck", "-e", "NVIDIA_VISIBLE_DEVICES=void")
	if err := l.load(filepath.Join(repository(), "build", "image.tar")); err != nil {
		return nil, err
	}
	var err error
	if l.dir, err = os.MkdirTemp("", "nix2vast-checks"); err != nil {
		return nil, err
	}
	l.key = filepath.Join(l.dir, "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "checks", "-f", l.key).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a key: %w\n%s", err, out)
	}
	public, err := os.ReadFile(l.key + ".pub")
	l.public = strings.TrimSpace(string(public))
	return l, err
}

// load gives the engine the image under the tag of this run: the archive with
// another name in its manifest.
func (l *lab) load(archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("make image first: %w", err)
	}
	defer f.Close()
	load := exec.Command(l.engine, "load", "-q")
	in, err := load.StdinPipe()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	load.Stdout, load.Stderr = &out, &out
	if err := load.Start(); err != nil {
		return err
	}
	err = errors.Join(rename(in, f, "nix2vast:demo", l.image), in.Close())
	if err := errors.Join(err, load.Wait()); err != nil {
		return fmt.Errorf("%s load: %w\n%s", l.engine, err, &out)
	}
	return nil
}

// rename copies an archive of docker save with another tag.
func rename(w io.Writer, r io.Reader, from, to string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		head, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		var body io.Reader = in
		if head.Name == "manifest.json" {
			b, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			b = bytes.ReplaceAll(b, []byte(from), []byte(to))
			head.Size, body = int64(len(b)), bytes.NewReader(b)
		}
		if err := out.WriteHeader(head); err != nil {
			return err
		}
		if _, err := io.Copy(out, body); err != nil {
			return err
		}
	}
}

// name is that of a new container.
func (l *lab) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boxes++
	return fmt.Sprintf("nix2vast-checks-%d-%d", os.Getpid(), l.boxes)
}

// keyed are the options of a container that can be logged in to from here.
func keyed(t *testing.T, more ...string) []string {
	t.Helper()
	return append([]string{"-p", "127.0.0.1::22", "-e", "SSH_PUBLIC_KEYS=" + theLab(t).public}, more...)
}
