package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What a container lacks is no reason not to run its services.
func TestEdge22_OddRoots(t *testing.T) {
	t.Parallel()
	// So that init cannot make or mount what is missing.
	unprivileged := func(script string) []string {
		return []string{"-exec", "/bin/sh", "-c", script + `exec setpriv --bounding-set -sys_admin,-mknod --inh-caps -all /init`}
	}
	const (
		run    = "/run/nix2vast/control.sock"
		tmp    = "/tmp/nix2vast/control.sock"
		shm    = "/dev/shm/nix2vast/control.sock"
		nobody = "" // there is no place for a socket
	)
	for name, c := range map[string]struct {
		args   []string
		socket string
	}{
		"no proc":                    {[]string{"-rm", "/proc"}, run},
		"no proc and it stays so":    {append([]string{"-rm", "/proc"}, unprivileged("")...), run},
		"no dev-null and no dev-tty": {[]string{"-rm", "/dev/null", "-rm", "/dev/tty"}, run},
		"nor can they be made":       {append([]string{"-rm", "/dev/null", "-rm", "/dev/tty"}, unprivileged("")...), run},
		"no run":                     {[]string{"-rm", "/run"}, run},
		"run is noexec":              {[]string{"-exec", "/bin/sh", "-c", "mount -t tmpfs -o noexec,nosuid,nodev tmpfs /run && exec /init"}, run},
		"read-only":                  {[]string{"-ro"}, run},
		"read-only and it stays so":  {append([]string{"-ro"}, unprivileged("")...), shm},
		"read-only but tmp":          {append([]string{"-ro"}, unprivileged("mount -t tmpfs tmpfs /tmp; ")...), tmp},
		"read-only and nothing else": {append([]string{"-ro"}, unprivileged("mount -o remount,ro /dev/shm; ")...), nobody},
		"a dead socket in a run that is read-only": {unprivileged(`mount -t tmpfs tmpfs /run; mkdir /run/nix2vast
			perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, sockaddr_un("/run/nix2vast/control.sock")) or die $!'; mount -o remount,ro /run; `), tmp},
		"a file for a run":            {[]string{"-exec", "/bin/sh", "-c", "rm -rf /run && echo >/run && exec /init"}, tmp},
		"hidepid=2 and no privileges": {[]string{"-exec", "/bin/sh", "-c", "mount -o remount,hidepid=2 /proc && exec setpriv --reuid 12345 --regid 12345 --clear-groups --bounding-set -all --inh-caps -all /init"}, tmp},
		"hidepid=2 with capabilities": {[]string{"-exec", "/bin/sh", "-c", "mount -o remount,hidepid=2 /proc && exec /init"}, run},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Each says something, or it could not be told that it ran where nobody answers.
			services := definitions{
				"web":   sh("echo web runs; exec sleep 600"),
				"other": sh("echo other runs; exec sleep 600"),
				"shim":  {"ExecStart": []string{"sh", "-c", "echo umask $(umask); exec sleep 600"}, "UMask": "0027"},
			}
			if c.socket != nobody && name != "nor can they be made" { // perl itself needs /dev/null
				services["notify"] = perl(`tell_init("READY=1"); print "notify runs\n"; nap(600)`, "Type", "notify")
			}
			b := &oddBox{dir: t.TempDir(), socket: c.socket}
			b.again(t, nil, oddBoxArgs(t, services, c.args)...)
			b.says("web | web runs")
			b.says("other | other runs")
			b.says("shim | umask 0027")
			if c.socket != nobody {
				for name := range services {
					if svc := b.is(name, "ready"); svc.Restarts != 0 {
						t.Errorf("%s is %+v; the box printed:\n%s", name, svc, b)
					}
				}
				if out, code := b.in("/init", "restart", "web"); code != 0 && !strings.Contains(name, "hidepid=2 and no") {
					t.Errorf("a restart ends with %d:\n%s", code, out)
				}
			}
			b.never("BUG")
			b.stop(0, 9*time.Second)
		})
	}
}

// A user that nobody knows, without any privilege: what needs none runs, and what
// is to switch users is refused with the reason.
func TestEdge23_Unprivileged(t *testing.T) {
	t.Parallel()
	services := definitions{
		"plain":  sh("echo I am $(id -u), HOME is $HOME, USER is $USER; exec sleep 600"),
		"notify": perl(`tell_init("READY=1"); nap(600)`, "Type", "notify"),
		"user":   {"ExecStart": []string{"sleep", "600"}, "User": "daemon"},
		"group":  {"ExecStart": []string{"sleep", "600"}, "Group": "daemon"},
		"nobody": {"ExecStart": []string{"sleep", "600"}, "User": "no-such-user"},
		"nice":   {"ExecStart": []string{"sleep", "600"}, "Nice": -5, "OOMScoreAdjust": -500},
	}
	for name, c := range map[string]struct {
		args              []string
		plain             string
		user, group, sock string
	}{
		"uid 12345": {
			[]string{"-exec", "/usr/bin/setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "/init"},
			"I am 12345, HOME is /, USER is 12345",
			"cannot switch to user daemon: this container has no CAP_SETUID", "cannot switch to group daemon: this container has no CAP_SETGID", "/tmp",
		},
		"root without capabilities": {
			[]string{"-exec", "/usr/bin/setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "/init"},
			"I am 0, HOME is /root, USER is root",
			"cannot switch to user daemon: this container has no CAP_SETUID", "cannot switch to group daemon: this container has no CAP_SETGID", "/run",
		},
		"user namespace": {
			[]string{"-pivot", "-exec", "/usr/bin/unshare", "-U", "--map-root-user", "/init"},
			"I am 0, HOME is /root, USER is root",
			"cannot switch to user daemon: this container's user namespace has no uid 1", "cannot switch to group daemon: this container's user namespace has no gid 1", "/run",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &oddBox{dir: t.TempDir(), socket: c.sock + "/nix2vast/control.sock"}
			b.again(t, nil, oddBoxArgs(t, services, c.args)...)
			b.says("plain | " + c.plain)
			b.is("plain", "ready")
			b.is("notify", "ready")
			b.is("nice", "ready")
			for name, says := range map[string]string{"user": c.user, "group": c.group, "nobody": "no user no-such-user is in /etc/passwd"} {
				if svc := b.is(name, "backoff"); !strings.Contains(svc.Note, says) || svc.Pid != 0 {
					t.Errorf("%s is %+v, want %s", name, svc, says)
				}
			}
			b.never("BUG")
			b.stop(0, 9*time.Second)
		})
	}
}

// Whatever init's own standard input is, that of a service is empty.
func TestEdge30_Stdin(t *testing.T) {
	t.Parallel()
	services := func() definitions {
		return definitions{
			"link": sh("readlink /proc/self/fd/0; exec sleep 600"),
			"read": sh("if read -r line; then echo got $line; else echo got nothing; fi; exec sleep 600"),
			"shim": {"ExecStart": []string{"sh", "-c", "readlink /proc/self/fd/0; exec sleep 600"}, "UMask": "0022"},
		}
	}
	colour := regexp.MustCompile("\x1b\\[[0-9;]*m")
	check := func(b *foreground) {
		for _, line := range []string{"link | /dev/null", "shim | /dev/null", "read | got nothing"} {
			b.until("it says "+line, func() bool { return strings.Contains(colour.ReplaceAllString(b.String(), ""), line) })
		}
		b.send(15)
		b.wantCode(0)
	}
	t.Run("closed", func(t *testing.T) {
		t.Parallel()
		check(startOddBox(t, services(), "-exec", "/bin/sh", "-c", "exec /init <&-").foreground)
	})
	t.Run("all closed", func(t *testing.T) {
		t.Parallel()
		b := startOddBox(t, definitions{"link": sh("readlink /proc/self/fd/0 >/tmp/link; exec sleep 600")}, "-exec", "/bin/sh", "-c", "exec /init <&- >&- 2>&-")
		b.until("the link is there", func() bool { text, _ := os.ReadFile(b.root("/tmp/link")); return string(text) == "/dev/null\n" })
		b.stop(0, 9*time.Second)
	})
	t.Run("a pipe", func(t *testing.T) {
		t.Parallel()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := w.WriteString("a secret\n"); err != nil {
			t.Fatal(err)
		}
		w.Close()
		check(startOddBoxOn(t, r, services()).foreground)
		b := make([]byte, 64)
		if n, err := r.Read(b); string(b[:n]) != "a secret\n" {
			t.Errorf("of the pipe is left %q, %v: somebody has read it", b[:n], err)
		}
	})
	t.Run("a terminal", func(t *testing.T) {
		t.Parallel()
		f := startTerminal(t, append(oddBoxArgs(t, services(), nil), controlled()...)...)
		f.types("typed\n")
		check(f.foreground)
	})
	t.Run("the host's null", func(t *testing.T) {
		t.Parallel()
		check(startOddBox(t, services()).foreground)
	})
}
