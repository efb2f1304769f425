package checks

import (
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
)

// TestTailnetSSH: with TS_SSH a peer logs in to a box by being who it is, as root and as others,
// with OpenSSH's own programs, and finds the box's environment.
func TestTailnetSSH(t *testing.T) {
	t.Parallel()
	n := newTailnet(t, func(s *testcontrol.Server) {
		s.SSHPolicy = &tailcfg.SSHPolicy{Rules: []*tailcfg.SSHRule{{
			Principals: []*tailcfg.SSHPrincipal{{Any: true}}, SSHUsers: map[string]string{"root": "root", "*": "="},
			Action: &tailcfg.SSHAction{Accept: true, AllowLocalPortForwarding: true, AllowRemotePortForwarding: true},
		}}}
	})
	odd := `it's  "two" $words \n`
	box := prepared(t, n.options("box", "-e", "TAILSCALE_AUTHKEY="+tailnetKey, "-e", "TS_SSH=true", "-e", "GREETING="+odd),
		`echo 'guest:x:1234:1234::/home/guest:/bin/bash' >>/etc/passwd; echo 'guest:x:1234:' >>/etc/group
mkdir -p /home/guest; chown 1234:1234 /home/guest`)
	box.ready()
	ours := box.joined()
	if out := box.sh("init tailnet"); !strings.Contains(out, "ssh:         Tailscale's own") {
		t.Errorf("init tailnet prints %s", out)
	}
	peer, theirs := n.join(t, "peer")
	options, _ := theirs.options()
	peer.sh("cat >/tmp/connect <<'END'\n" + connect + "END\n")
	at := ours.Addresses[0]
	if !within(time.Minute, func() bool {
		_, code := peer.exec("/bin/sh", "-c", "ssh "+options+" root@"+at+" true")
		return code == 0
	}) {
		out, _ := peer.exec("/bin/sh", "-c", "ssh -v "+options+" root@"+at+" true")
		t.Fatalf("nobody is let in: %s", out)
	}
	for _, c := range []struct{ name, script, want string }{
		{"the environment", "ssh OPTIONS root@AT 'printenv GREETING TS_HOSTNAME; id -un; pwd'", odd + "\nbox\nroot\n/root\n"},
		{"the same PATH as sshd's", "ssh OPTIONS root@AT 'printenv PATH'", box.sh(`tr '\0' '\n' </proc/$(pgrep -o -x sshd)/environ | sed -n 's/^PATH=//p'`)},
		{"another user", "ssh OPTIONS guest@AT 'id -u; id -g; id -G; pwd; printenv HOME USER GREETING'", "1234\n1234\n1234\n/home/guest\n/home/guest\nguest\n" + odd + "\n"},
		{"a terminal", "ssh -tt OPTIONS root@AT 'test -t 0 && tty | sed s,[0-9]*,,g; printenv GREETING' | tr -d '\\r'", "/dev/pts/\n" + odd + "\n"},
		{"a shell", "echo 'echo \"shell $0 $GREETING\"; exit 3' | ssh OPTIONS root@AT; echo $?", "shell"},
		{"the exit code", "ssh OPTIONS guest@AT 'exit 7'; echo $?", "7\n"},
		{"nobody", "ssh OPTIONS nobody-of-that-name@AT true 2>/dev/null; echo $?", "255\n"},
		{"scp", "head -c 3000000 /dev/urandom >/tmp/a; scp -q OPTIONS /tmp/a guest@AT:b && scp -q OPTIONS guest@AT:b /tmp/c && test \"$(sha256sum </tmp/a)\" = \"$(sha256sum </tmp/c)\" && echo same", "same\n"},
		{"scp as it was", "scp -O -q OPTIONS /tmp/a root@AT:/tmp/b && test \"$(ssh OPTIONS root@AT sha256sum /tmp/b | cut -c -64)\" = \"$(sha256sum /tmp/a | cut -c -64)\" && echo same", "same\n"},
		{"sftp", "printf 'cd /home/guest\\nrename b d\\nls\\n' | sftp -q -b - OPTIONS guest@AT | tail -n 1", "d"},
		{"forwarding", "ssh -f -N -L 127.0.0.1:7001:127.0.0.1:9400 OPTIONS root@AT </dev/null >/dev/null 2>&1 && curl -sS --retry 9 --retry-connrefused http://127.0.0.1:7001/healthz; pkill -x ssh", "ready\n"},
		{"sshd, aside", "ssh -p 2222 OPTIONS -o PreferredAuthentications=none root@AT 2>&1 | grep -c 'Permission denied'", "1\n"},
	} {
		script := strings.NewReplacer("OPTIONS", options, "AT", at).Replace(c.script)
		if out, _ := peer.exec("timeout", "120", "bash", "-c", script); !strings.HasPrefix(strings.TrimLeft(out, " "), c.want) {
			t.Errorf("%s: %q, want %q", c.name, out, c.want)
		}
	}
	if out := box.sh("printenv GREETING"); out != odd+"\n" {
		t.Errorf("the box itself has %q", out)
	}
}

// TestTailscaleCLI: the command-line tool of Tailscale works in a box, with nothing set.
func TestTailscaleCLI(t *testing.T) {
	t.Parallel()
	n, s := newTailnet(t), newShelf(t)
	// It needs more modules than we do, so that it is built as a program of its own.
	s.build("tailscale", "sh", "-c", `GOBIN=$(dirname "$OUT") exec go install tailscale.com/cmd/tailscale@$(go list -m -f '{{.Version}}' tailscale.com)`)
	box, ours := n.join(t, "box", s.options()...)
	peer, theirs := n.join(t, "peer")
	const tailscale = "/debian/shelf/tailscale "
	// It warns where it was built with another version's stamp.
	if out := box.sh(tailscale + "ip -4 2>/dev/null"); strings.TrimSpace(out) != ours.Addresses[0] {
		t.Errorf("ip prints %q", out)
	}
	if !within(time.Minute, func() bool {
		out, _ := box.exec("sh", "-c", tailscale+"status")
		return strings.Contains(out, ours.Addresses[0]) && strings.Contains(out, theirs.Addresses[0]) && strings.Contains(out, "peer")
	}) {
		t.Error("status does not list both")
	}
	for _, name := range []string{"peer", theirs.Addresses[0]} {
		if out := box.sh(tailscale + "ping --until-direct=false -c 1 " + name); !strings.Contains(out, "pong from peer") {
			t.Errorf("ping prints %q", out)
		}
	}
	if out, code := box.exec("sh", "-c", "setpriv --reuid 1234 --clear-groups "+tailscale+"down"); code == 0 || !strings.Contains(out, "denied") {
		t.Errorf("anybody may switch it off: %d %s", code, out)
	}
	if out := box.sh("getent ahostsv4 peer.tail.test; getent ahostsv4 peer"); strings.Count(out, "STREAM") != 2 || !strings.Contains(out, theirs.Addresses[0]) {
		t.Errorf("the names are %s", out)
	}
	before := peer.sh("sed '/^# BEGIN nix2vast/,/^# END nix2vast/d' /etc/hosts")
	peer.sh("grep -q box.tail.test /etc/hosts && init stop tailnet")
	if after := peer.sh("cat /etc/hosts"); after != before {
		t.Errorf("the hosts are %s, and were %s", after, before)
	}
}
