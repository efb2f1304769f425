package checks

import (
	"strings"
	"testing"
	"time"
)

// nixDone waits until the box's Nix knows the store.
func (c *container) nixDone() {
	c.t.Helper()
	if !within(20*time.Second, func() bool { state, _ := c.status().service("nix-database"); return state == "done" }) {
		c.t.Fatalf("nix-database does not get done:\n%s", c.sh("init status || :"))
	}
}

// trivial is a derivation that needs nothing from outside: its builder is the shell of the
// image.
const trivial = `cat >/tmp/trivial.nix <<'END'
{ name }:
derivation {
  inherit name;
  system = builtins.currentSystem;
  builder = builtins.storePath (builtins.readFile /tmp/bash) + "/bin/bash";
  args = [ "-c" "echo built >$out" ];
}
END
readlink -f /bin/bash | sed 's,/bin/bash$,,' | tr -d '\n' >/tmp/bash
`

// alive checks that nothing of the system is gone: every link of the root file system leads
// somewhere, init is ready, and somebody new can log in.
func (c *container) alive() {
	c.t.Helper()
	if out := c.sh("find / -xdev -path /nix -prune -o -path /proc -prune -o -path /dev -prune -o -xtype l -print"); out != "" {
		c.t.Errorf("these links lead nowhere:\n%s", out)
	}
	c.ready()
	c.logsIn()
}

// store lists the paths that are in the box's store.
func (c *container) store() []string {
	c.t.Helper()
	return strings.Fields(c.sh("ls -d /nix/store/*-* | grep -v '[.]lock$' | sort"))
}

func TestNixInTheBox(t *testing.T) {
	t.Parallel()
	c := run(t, keyed(t, "-e", "NIX2VAST_GLIBC_CACHE=0"))
	c.ready()
	c.nixDone()
	if out, code := c.exec("nix-store", "--verify", "--check-contents"); code != 0 || strings.Contains(out, "modified") {
		t.Errorf("nix-store --verify ends with %d:\n%s", code, out)
	}
	known, there := strings.Fields(c.sh("nix path-info --all | sort")), c.store()
	if strings.Join(known, " ") != strings.Join(there, " ") || len(there) < 50 {
		t.Errorf("Nix knows %d paths, there are %d", len(known), len(there))
	}

	c.sh(trivial)
	c.sh("cd /root && nix-build --option substitute false /tmp/trivial.nix --argstr name rooted")
	built := strings.TrimSpace(c.sh("readlink /root/result"))
	if got := c.sh("cat " + built); got != "built\n" {
		t.Errorf("%s holds %q", built, got)
	}
	c.sh("nix build --no-link --option substitute false --file /tmp/trivial.nix --argstr name loose")
	loose := strings.TrimSpace(c.sh("ls -d /nix/store/*-loose"))

	out := c.sh("nix-collect-garbage -d 2>&1")
	if _, code := c.exec("test", "-e", loose); code == 0 {
		t.Errorf("what nobody wants stays:\n%s", out)
	}
	if _, code := c.exec("test", "-s", built); code != 0 {
		t.Errorf("what is rooted is gone:\n%s", out)
	}
	left := strings.Join(c.store(), " ")
	for _, path := range there {
		if !strings.Contains(left, path) {
			t.Errorf("%s is gone", path)
		}
	}
	c.alive()

	c.stop()
	c.start()
	c.alive()
	c.nixDone()
	if said := strings.Count(c.logs(), "Nix knows what"); said != 1 {
		t.Errorf("the registration was loaded %d times", said)
	}
	c.sh("nix-store --check-validity " + built)
}

// The driver's set-up links a library cache into the image's glibc, and Nix says so: this is
// the only path that is not what it was.
func TestNixSeesTheLibraryCache(t *testing.T) {
	t.Parallel()
	c := run(t, nil)
	c.ready()
	c.nixDone()
	out, code := c.exec("nix-store", "--verify", "--check-contents")
	var modified []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "was modified") {
			modified = append(modified, line)
		}
	}
	if code != 1 || len(modified) != 1 || !strings.Contains(modified[0], "-glibc-") {
		t.Errorf("nix-store --verify ends with %d:\n%s", code, out)
	}
}

// A registration that Nix cannot read costs nobody a login, and the garbage collector
// nothing of the system.
func TestNixDatabaseFails(t *testing.T) {
	t.Parallel()
	c := prepared(t, keyed(t), "echo nonsense >/nix-path-registration")
	c.ready()
	if !within(20*time.Second, func() bool { state, _ := c.status().service("nix-database"); return state == "backoff" }) {
		t.Fatalf("nix-database does not fail:\n%s", c.sh("init status || :"))
	}
	c.alive()
	if !strings.Contains(c.logs(), "telling Nix what the image's store holds: ") {
		t.Error("the log does not say why")
	}
	before := len(c.store())
	if out, code := c.exec("nix-collect-garbage", "-d"); code == 0 || len(c.store()) != before {
		t.Errorf("the garbage collector works without a database, and ends with %d:\n%s", code, out)
	}
	c.alive()
}

// halfway is a nix-store that gets no further than the first path, the first time.
const halfway = `
if [ ! -e /halfway ]; then
	nix=$(sed 's/.*"nixStore":"\([^"]*\)".*/\1/' /etc/nix2vast/config.json)
	sed -i 's,"nixStore":"[^"]*","nixStore":"/halfway",' /etc/nix2vast/config.json
	cat >/halfway <<END
#!/bin/sh
if [ ! -e /once ]; then
	head -n 5 | $nix "\$@"
	touch /once
	sleep infinity
fi
exec $nix "\$@"
END
	chmod 755 /halfway
fi`

// A host kills without a word: what was half done is done again, and nothing is lost between.
func TestNixDatabaseKilled(t *testing.T) {
	t.Parallel()
	c := prepared(t, keyed(t, "-e", "NIX2VAST_GLIBC_CACHE=0"), halfway)
	c.ready()
	if !within(20*time.Second, func() bool { _, code := c.exec("test", "-e", "/once"); return code == 0 }) {
		t.Fatalf("it does not begin:\n%s", c.sh("init status || :"))
	}
	there := c.store()
	if out, code := c.exec("nix-collect-garbage"); code == 0 {
		t.Errorf("the garbage collector works before the database is whole:\n%s", out)
	}
	c.engine("kill", c.name)
	c.wait()
	c.start()
	c.ready()
	c.nixDone()
	if known := strings.Fields(c.sh("nix path-info --all | sort")); strings.Join(known, " ") != strings.Join(there, " ") {
		t.Errorf("Nix knows %d paths, there are %d", len(known), len(there))
	}
	c.sh("nix-collect-garbage && nix-store --verify --check-contents")
	c.alive()
}

// Where nothing can be written, and where there is no Nix, there is a sentence at most.
func TestNixCannot(t *testing.T) {
	t.Parallel()
	const says = "Nix in this box will not know what the image's store holds"
	for name, test := range map[string]struct {
		options       []string
		script        string
		state, reason string
	}{
		"read-only": {[]string{"--read-only"}, ":", "done", ": writing /nix/var/nix/db: read-only file system"},
		"nobody":    {[]string{"--user", "12345", "--cap-drop", "ALL"}, ":", "done", ": writing /nix/var/nix/db: permission denied"},
		"without":   {nil, `sed -i 's/"nixStore":"[^"]*",//' /etc/nix2vast/config.json`, "absent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := prepared(t, test.options, test.script)
			c.exec("init", "status", "--wait", "30s")
			if !within(10*time.Second, func() bool { state, _ := c.status().service("nix-database"); return state == test.state }) {
				t.Errorf("nix-database is not %s:\n%s", test.state, c.sh("init status || :"))
			}
			if text := c.logs(); strings.Contains(text, says) != (test.reason != "") || !strings.Contains(text, test.reason) {
				t.Errorf("the log says otherwise than %q", test.reason)
			}
		})
	}
}

// TestAptGet is what vast's launcher does first.
func TestAptGet(t *testing.T) {
	t.Parallel()
	c := run(t, nil)
	c.ready()
	c.sh("apt-get update && apt-get install -y openssh-server openssh-client tmux rsync software-properties-common curl wget procps iproute2")
	if out, code := c.exec("apt-get", "install", "-y", "nano"); code != 100 || strings.Count(out, "\n") != 1 {
		t.Errorf("it ends with %d and says\n%s", code, out)
	}
}
