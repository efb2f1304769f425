package tailnet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	_ "tailscale.com/feature/ssh"
	"tailscale.com/tailcfg"
	"tailscale.com/tsnet"
	"tailscale.com/tstest/integration/testcontrol"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// login opens an SSH connection over the tailnet.
func login(t *testing.T, from *tsnet.Server, address, user string) *ssh.Client {
	t.Helper()
	var client *ssh.Client
	eventually(t, func() error {
		c, err := dialPeer(t, from, "tcp", address)
		if err != nil {
			return err
		}
		conn, chans, reqs, err := ssh.NewClientConn(c, address, &ssh.ClientConfig{
			User: user, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: limit,
		})
		if err != nil {
			c.Close()
			return err
		}
		client = ssh.NewClient(conn, chans, reqs)
		return nil
	})
	t.Cleanup(func() { client.Close() })
	return client
}

// session runs a command that says something, and ends it with a line when it has said
// what is wanted.
func session(t *testing.T, client *ssh.Client, pty bool, command, want string) error {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		return err
	}
	defer s.Close()
	if pty {
		if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
			return err
		}
	}
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.Start(command + "; read line"); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && strings.TrimSpace(line) != want {
		err = fmt.Errorf("it says %q", line)
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		return err
	}
	return s.Wait()
}

func TestSSH(t *testing.T) {
	needRoot(t)
	ctl := newControl(t, func(ctl *testcontrol.Server) {
		ctl.SSHPolicy = &tailcfg.SSHPolicy{Rules: []*tailcfg.SSHRule{{
			Principals: []*tailcfg.SSHPrincipal{{Any: true}}, SSHUsers: map[string]string{"root": "root"},
			Action: &tailcfg.SSHAction{Accept: true, AllowLocalPortForwarding: true},
		}}}
	})
	root := t.TempDir()
	box := newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, SSH: true})
	if s := box.running(); s.SSH || len(s.Warnings) == 0 || !strings.Contains(s.Warnings[0], "/etc/passwd") {
		t.Errorf("a box without users has SSH: %+v", s)
	}
	box.stop()
	if err := writePasswd(root); err != nil {
		t.Fatal(err)
	}
	box = newBox(t, root, wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL, SSH: true})
	s := box.running()
	if !s.SSH {
		t.Errorf("the status is %+v", s)
	}
	peer := newPeer(t, ctl, "peer")
	client := login(t, peer, net.JoinHostPort(s.Addresses[0], "22"), "root")
	for _, pty := range []bool{false, true} {
		if err := session(t, client, pty, "id -un", "root"); err != nil {
			t.Errorf("pty %v: %v", pty, err)
		}
	}
	var exit *ssh.ExitError
	if err := session(t, client, false, "trap 'exit 7' EXIT; echo", ""); !errors.As(err, &exit) || exit.ExitStatus() != 7 {
		t.Errorf("exit 7 is %v", err)
	}

	// Forwarding to what listens in the box.
	forwarded, err := client.Dial("tcp", "127.0.0.1:"+echo(t, "tcp", "127.0.0.1:0"))
	if err == nil {
		err = says(forwarded)
	}
	if err != nil {
		t.Errorf("forwarding: %v", err)
	}

	// sshd stands aside.
	l, err := net.Listen("tcp", "0.0.0.0:22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go banner(l)
	if got := greeting(t, peer, net.JoinHostPort(s.Addresses[0], "2222")); got != "SSH-2.0-sshd" {
		t.Errorf("port 2222 greets %q", got)
	}
}

// TestSSHD has Tailscale SSH switched off: port 22 is sshd's.
func TestSSHD(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go banner(l)
	ctl := newControl(t)
	s := newBox(t, t.TempDir(), wire.Config{AuthKey: goodKey, Hostname: "box", ControlURL: ctl.HTTPTestServer.URL}).running()
	peer := newPeer(t, ctl, "peer")
	if got := greeting(t, peer, net.JoinHostPort(s.Addresses[0], "22")); got != "SSH-2.0-sshd" || s.SSH {
		t.Errorf("port 22 greets %q", got)
	}
}

func banner(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, "SSH-2.0-sshd\n")
		c.Close()
	}
}

func greeting(t *testing.T, from *tsnet.Server, address string) string {
	t.Helper()
	c, err := dialPeer(t, from, "tcp", address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	text, _ := io.ReadAll(c)
	return strings.TrimSpace(string(text))
}
