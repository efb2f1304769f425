package boot

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const keysFile = "root/.ssh/authorized_keys"

func withKeys(t *testing.T, values ...string) *Container {
	t.Helper()
	c := &Container{Root: loginRoot(t)}
	for _, v := range values {
		c.Settings.PublicKeys = append(c.Settings.PublicKeys, Variable{"SSH_PUBLIC_KEYS", v})
	}
	return c
}

func TestAuthorizedKeys(t *testing.T) {
	const block = "# BEGIN nix2vast\n%s# END nix2vast\n"
	const limited = `command="echo a, b",no-pty ` + keyB + " x"
	for _, tt := range []struct {
		name     string
		values   []string
		old      string // "" for no file
		want     string
		keys     int
		problems []string
	}{
		{"none", nil, "", "", 0, nil},
		{"one", []string{keyA + " me"}, "", fmt.Sprintf(block, keyA+" me\n"), 1, nil},
		{"twice the same, in two sources", []string{keyA + " me", keyA + " again\n" + keyB}, "", fmt.Sprintf(block, keyA+" me\n"+keyB+"\n"), 2, nil},
		{"with options", []string{limited}, "", fmt.Sprintf(block, limited+"\n"), 1, nil},
		{"other lines stay", []string{keyA}, "# hers\r\n" + keyB + " her\r\nbroken", "# hers\r\n" + keyB + " her\r\nbroken\n" + fmt.Sprintf(block, keyA+"\n"), 2, nil},
		{"there already", []string{keyA}, keyA + " platform\n", keyA + " platform\n", 1, nil},
		{"the block goes", nil, keyB + "\n" + fmt.Sprintf(block, keyA+"\n"), keyB + "\n", 1, nil},
		{"the block changes in its place", []string{keyB}, "# a\n" + fmt.Sprintf(block, keyA+"\n") + "# b\n", "# a\n" + fmt.Sprintf(block, keyB+"\n") + "# b\n", 1, nil},
		{"garbage", []string{"hello", keyA[:50] + "\n" + keyB}, "", fmt.Sprintf(block, keyB+"\n"), 1, []string{
			"SSH_PUBLIC_KEYS: entry 1 is left out: it is not a public key", "SSH_PUBLIC_KEYS: entry 1 is left out: it is not a public key"}},
		{"a lot of garbage", []string{strings.Repeat("hello\n", 1000)}, "", "", 0, []string{"entry 1 ", "entry 2 ", "entry 3 ", "997 more entries"}},
		{"10 KB of garbage", []string{strings.Repeat("x", 10<<10)}, "", "", 0, []string{"entry 1 is left out"}},
		{"an option with an error", []string{`comand="ls" ` + keyA}, "", "", 0, []string{"it has an option that sshd does not know"}},
		{"a private key", []string{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n-----END OPENSSH PRIVATE KEY-----\n"}, "", "", 0, []string{"holds a private key"}},
		{"only comments", []string{"# later"}, "", "", 0, []string{"SSH_PUBLIC_KEYS holds no key"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := withKeys(t, tt.values...)
			if tt.old != "" {
				put(t, c.Root, keysFile, tt.old, 0o666)
			}
			step(t, c, SSHKeys)
			if c.Keys != tt.keys {
				t.Errorf("%d keys, want %d", c.Keys, tt.keys)
			}
			wantProblems(t, c.Problems, tt.problems)
			if _, err := os.Stat(filepath.Join(c.Root, keysFile)); tt.want == "" && tt.old == "" {
				if !os.IsNotExist(err) {
					t.Errorf("a file without keys: %v", err)
				}
				return
			}
			if got := get(t, c.Root, keysFile); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			wantMode(t, c.Root, keysFile, 0o600)
			wantMode(t, c.Root, "root/.ssh", 0o700|os.ModeDir)
		})
	}
}

func TestKeyFiles(t *testing.T) {
	c := withKeys(t)
	put(t, c.Root, "/secret/b.pub", keyB+" b\n", 0o644)
	put(t, c.Root, "/secret/b", "-----BEGIN OPENSSH PRIVATE KEY-----", 0o600)
	symlink(t, "/data/a", filepath.Join(c.Root, "secret/a.pub")) // as Kubernetes mounts them
	put(t, c.Root, "/data/a", keyA+" a\n", 0o644)
	put(t, c.Root, "/empty/none", "", 0o644)
	for _, path := range []string{"/secret", "/data/a", "/empty", "/missing"} {
		c.Settings.PublicKeyFiles = append(c.Settings.PublicKeyFiles, Variable{"PUBLIC_KEY_FILE", path})
	}
	step(t, c, SSHKeys)
	wantProblems(t, c.Problems, []string{
		`PUBLIC_KEY_FILE is "/empty", a directory without *.pub`,
		`PUBLIC_KEY_FILE cannot be used: there is no file "/missing"`,
	})
	if want := "# BEGIN nix2vast\n" + keyA + " a\n" + keyB + " b\n# END nix2vast\n"; get(t, c.Root, keysFile) != want {
		t.Errorf("got\n%s", get(t, c.Root, keysFile))
	}
}

func TestKeysBehindALink(t *testing.T) {
	c := withKeys(t, keyA)
	put(t, c.Root, "/volume/keys", keyB+"\n", 0o644)
	symlink(t, "/volume/keys", filepath.Join(c.Root, keysFile))
	step(t, c, SSHKeys)
	if got := get(t, c.Root, "volume/keys"); !strings.HasPrefix(got, keyB+"\n# BEGIN") || c.Keys != 2 {
		t.Errorf("%d keys in\n%s", c.Keys, got)
	}
	wantMode(t, c.Root, "volume/keys", 0o600)
}

func TestKeysAreForRootsHome(t *testing.T) {
	c := withKeys(t, keyA)
	put(t, c.Root, "/etc/passwd", strings.Replace(goodPasswd, "/root:", "/home/root:", 1), 0o644)
	step(t, c, SSHKeys)
	if got := get(t, c.Root, "home/root/.ssh/authorized_keys"); !strings.Contains(got, keyA) {
		t.Errorf("got\n%s", got)
	}
}

func TestHostKeys(t *testing.T) {
	c := withKeys(t)
	note := step(t, c, SSHKeys)
	for _, kind := range []string{"ed25519", "ecdsa"} {
		file := filepath.Join(c.Root, hostKeyPath(kind))
		wantMode(t, c.Root, hostKeyPath(kind), 0o600)
		wantMode(t, c.Root, hostKeyPath(kind)+".pub", 0o644)
		out, err := exec.Command("ssh-keygen", "-l", "-f", file).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		print := strings.Fields(string(out))[1]
		if !strings.HasPrefix(print, "SHA256:") || !strings.Contains(note, "ssh_host_"+kind+"_key "+print) {
			t.Errorf("note %q, want the fingerprint of %s", note, out)
		}
		pub, err := exec.Command("ssh-keygen", "-y", "-f", file).Output() // reads the private half
		if err != nil || strings.TrimSpace(string(pub)) != strings.TrimSpace(get(t, c.Root, hostKeyPath(kind)+".pub")) {
			t.Errorf("ssh-keygen -y: %v: %s", err, pub)
		}
	}
}

func TestHostKeysOfTheImageStay(t *testing.T) {
	c := withKeys(t)
	file := filepath.Join(c.Root, hostKeyPath("ed25519"))
	put(t, c.Root, "/etc/ssh/x", "", 0o644)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, pub := get(t, c.Root, hostKeyPath("ed25519")), get(t, c.Root, hostKeyPath("ed25519")+".pub")
	if err := os.Chmod(file, 0o644); err != nil { // sshd would not take it
		t.Fatal(err)
	}
	if note := step(t, c, SSHKeys); strings.Contains(note, "ed25519") {
		t.Errorf("note %q", note)
	}
	if get(t, c.Root, hostKeyPath("ed25519")) != key || get(t, c.Root, hostKeyPath("ed25519")+".pub") != pub {
		t.Error("the key changed")
	}
	wantMode(t, c.Root, hostKeyPath("ed25519"), 0o600)
}

func TestHostKeyRepair(t *testing.T) {
	c := withKeys(t)
	step(t, c, SSHKeys)
	ecdsa := get(t, c.Root, hostKeyPath("ecdsa"))
	key := get(t, c.Root, hostKeyPath("ed25519"))
	put(t, c.Root, hostKeyPath("ed25519"), key[:200], 0o600)
	put(t, c.Root, hostKeyPath("ecdsa")+".pub", keyA+"\n", 0o644)
	note := step(t, c, SSHKeys)
	if !strings.Contains(note, "moved /etc/ssh/ssh_host_ed25519_key, which is no usable key, to ssh_host_ed25519_key.bad") {
		t.Errorf("note %q", note)
	}
	if get(t, c.Root, hostKeyPath("ed25519")+".bad") != key[:200] {
		t.Error("the broken key is lost")
	}
	if get(t, c.Root, hostKeyPath("ecdsa")) != ecdsa || strings.Contains(get(t, c.Root, hostKeyPath("ecdsa")+".pub"), keyA) {
		t.Error("the other key changed, or its public half is still another's")
	}
}

// A key that could not be written lets nobody in: it does not count.
func TestKeysThatCannotBeWritten(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	root := newRoot(t, map[string]string{"/root/.ssh/authorized_keys": keyB + "\n"})
	bind(t, root, root)
	defer func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	if err := unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	c := &Container{Root: root, Settings: Settings{PublicKeys: []Variable{{"PUBLIC_KEY", keyA}}}}
	if note, err := authorizedKeys(c); err == nil || c.Keys != 1 {
		t.Errorf("%q, %v; %d keys, want the one that was there", note, err, c.Keys)
	}
}
