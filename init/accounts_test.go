package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/image"
)

const (
	goodPasswd = "root:x:0:0:root:/root:/bin/bash\nsshd:x:74:74::/var/empty:/sbin/nologin\n"
	goodGroup  = "root:x:0:\nsshd:x:74:\n"
	goodShadow = "root:*:::::::\n"
)

// loginRoot is a root in which there is nothing to repair.
func loginRoot(t *testing.T) string {
	t.Helper()
	root := newRoot(t, map[string]string{"/etc/passwd": goodPasswd, "/etc/group": goodGroup})
	put(t, root, "/etc/shadow", goodShadow, 0o600)
	put(t, root, "/bin/bash", "#!", 0o755)
	if err := os.Mkdir(filepath.Join(root, "root"), 0o700); err != nil {
		t.Fatal(err)
	}
	return root
}

// step runs a step's function and then runs it again: the second time nothing
// may change. It returns the note of the first.
func step(t *testing.T, c *Container, s Step) string {
	t.Helper()
	note, err := s.Run(t.Context(), c)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	before := snapshot(t, c.Root)
	again := *c
	if note, err := s.Run(t.Context(), &again); note != "" || err != nil {
		t.Errorf("%s a second time: %q, %v", s.Name, note, err)
	}
	if after := snapshot(t, c.Root); after != before {
		t.Errorf("%s a second time changed\n%s\nto\n%s", s.Name, before, after)
	}
	return note
}

// snapshot is everything in root as one text, with each file's inode.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.Command("find", root, "-printf", "%P %y %m %U %i %l\n", "-type", "f", "-exec", "cat", "{}", ";").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func TestAccountsOfAGoodImage(t *testing.T) {
	c := &Container{Root: loginRoot(t)}
	before := snapshot(t, c.Root)
	if note := step(t, c, Accounts); note != "" || c.PasswordSet || len(c.Problems) > 0 {
		t.Errorf("%q, %+v", note, c)
	}
	if after := snapshot(t, c.Root); after != before {
		t.Errorf("it became\n%s", after)
	}
}

func TestAccountsOfAnEmptyImage(t *testing.T) {
	c := &Container{Root: t.TempDir()}
	put(t, c.Root, "/bin/sh", "#!", 0o755)
	note := step(t, c, Accounts)
	for _, want := range []string{"added root to /etc/passwd", "added root to /etc/group", "added root to /etc/shadow", "added the user sshd", "gave root the shell /bin/sh", "made /root"} {
		if !strings.Contains(note, want) {
			t.Errorf("note %q, want %q in it", note, want)
		}
	}
	if got, want := get(t, c.Root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nsshd:x:74:74:sshd's unprivileged half:/var/empty:/sbin/nologin\n"; got != want {
		t.Errorf("passwd is\n%s", got)
	}
	if got := get(t, c.Root, "etc/group"); got != goodGroup {
		t.Errorf("group is\n%s", got)
	}
	wantMode(t, c.Root, "etc/shadow", 0o600)
	wantMode(t, c.Root, "etc/passwd", 0o644)
	wantMode(t, c.Root, "root", 0o700|os.ModeDir)
}

func TestRepairUsers(t *testing.T) {
	const others = "me:x:1000:1000:a:b:/home/me:broken\n\n+::::::"
	for _, tt := range []struct{ name, passwd, group, wantPasswd, wantGroup string }{
		{"good", goodPasswd, goodGroup, goodPasswd, goodGroup},
		{"no root", "sshd:x:1:1::/:/x\n" + others, "", "root:x:0:0:root:/root:/bin/bash\nsshd:x:1:1::/:/x\n" + others, "root:x:0:\n"},
		{"root of another uid", "root:x:1000:0::/root:/bin/bash\nsshd:x:1:1::/:/x\n", goodGroup, "root:x:0:0:root:/root:/bin/bash\nsshd:x:1:1::/:/x\n", goodGroup},
		{"root's line cut short", "root:x\nsshd:x:1:1::/:/x\n", goodGroup, "root:x:0:0:root:/root:/bin/bash\nsshd:x:1:1::/:/x\n", goodGroup},
		{"root without a password", "root::0:0::/root:/bin/sh\nsshd:x:1:1::/:/x\n", goodGroup, "root:x:0:0::/root:/bin/sh\nsshd:x:1:1::/:/x\n", goodGroup},
		{"root may not log in", "root:x:0:0::/root:/usr/sbin/nologin\nsshd:x:1:1::/:/x\n", goodGroup, "root:x:0:0::/root:/bin/bash\nsshd:x:1:1::/:/x\n", goodGroup},
		{"root at home in /", "root:x:0:0::/:/bin/sh\nsshd:x:1:1::/:/x\n", goodGroup, "root:x:0:0::/root:/bin/sh\nsshd:x:1:1::/:/x\n", goodGroup},
		{"root at home elsewhere", "root:x:0:0::/home/root:/bin/sh\nsshd:x:1:1::/:/x\n", goodGroup, "root:x:0:0::/home/root:/bin/sh\nsshd:x:1:1::/:/x\n", goodGroup},
		{"no sshd, 74 and 999 taken", "root:x:0:0:root:/root:/bin/bash\nx:x:74:1::/:/x", "root:x:0:\ny:x:999:", "root:x:0:0:root:/root:/bin/bash\nx:x:74:1::/:/x\nsshd:x:998:998:sshd's unprivileged half:/var/empty:/sbin/nologin\n", "root:x:0:\ny:x:999:\nsshd:x:998:\n"},
		{"a group but no user sshd", "root:x:0:0:root:/root:/bin/bash\n", "root:x:0:\nsshd:x:33:\n", "root:x:0:0:root:/root:/bin/bash\nsshd:x:74:33:sshd's unprivileged half:/var/empty:/sbin/nologin\n", "root:x:0:\nsshd:x:33:\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			usable := func(shell string) bool { return shell == "/bin/bash" || shell == "/bin/sh" }
			passwd, group, notes := repairUsers(tt.passwd, tt.group, usable)
			if passwd != tt.wantPasswd || group != tt.wantGroup {
				t.Errorf("got\n%s\n%s\nwant\n%s\n%s", passwd, group, tt.wantPasswd, tt.wantGroup)
			}
			if changed := passwd != tt.passwd || group != tt.group; changed != (len(notes) > 0) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

func TestRepairShadow(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"root:*:::::::", "root:*:::::::"},
		{"root:*:19000:0:99999:7:::", "root:*:19000:0:99999:7:::"},
		{"root:$y$j9T$salt$hash:19000:0:99999:7:::", "root:$y$j9T$salt$hash:19000:0:99999:7:::"},
		{"root:!:19000:0:99999:7:::", "root:*:19000:0:99999:7:::"},
		{"root:!*:::::::", "root:*:::::::"},
		{"root:!$6$a$b:::::::", "root:*:::::::"},
		{"root::::::::", "root:*:::::::"},
		{"root:x:::::::", "root:*:::::::"},
		{"root:garbage:::::::", "root:*:::::::"},
		{"root", "root:*:::::::"},
		{"root:*", "root:*:::::::"},
		{"root:*:0:0:99999:7:::", "root:*:::::::"},         // has to change it now
		{"root:*:100:0:90:7:::", "root:*:::::::"},          // has grown too old
		{"root:*:19000:0:99999:7:30::", "root:*:::::::"},   // inactive
		{"root:*:19000:0:99999:7::100:", "root:*:::::::"},  // expired in 1970
		{"root:*:yesterday:0:99999:7:::", "root:*:::::::"}, // no number
		{"root:*:::::::::", "root:*:::::::"},               // too many
	} {
		got, note := repairShadow(tt.line)
		if got != tt.want || (note == "") != (got == tt.line) {
			t.Errorf("%s became %s, %q, want %s", tt.line, got, note, tt.want)
		}
		if again, note := repairShadow(got); again != got || note != "" {
			t.Errorf("%s became %s again: %q", got, again, note)
		}
	}
}

func TestShadowOfOthersStays(t *testing.T) {
	c := &Container{Root: loginRoot(t), Settings: Settings{RootPassword: "a"}}
	const me = "me:!:0:0:1:7:::broken\n\nx"
	put(t, c.Root, "/etc/shadow", "daemon:::\nroot:!:0:::::::\n"+me, 0o644)
	step(t, c, Accounts)
	got := get(t, c.Root, "etc/shadow")
	if !strings.HasPrefix(got, "daemon:::\nroot:$6$") || !strings.HasSuffix(got, ":::::::\n"+me) {
		t.Errorf("shadow is\n%s", got)
	}
	wantMode(t, c.Root, "etc/shadow", 0o640)
}

// The machine's own crypt(3), which sshd uses, has to agree with our hash.
func TestRootPassword(t *testing.T) {
	for _, password := range []string{"a", "a:b $1 \\ \" '", "пароль\xff", strings.Repeat("x", maxPassword)} {
		c := &Container{Root: loginRoot(t), Settings: Settings{RootPassword: Secret(password)}}
		if note := step(t, c, Accounts); note != "set root's password" || !c.PasswordSet {
			t.Errorf("note %q, set %v", note, c.PasswordSet)
		}
		field := strings.Split(get(t, c.Root, "etc/shadow"), ":")[1]
		for try, want := range map[string]bool{password: true, password + "x": false} {
			out, err := exec.Command("perl", "-e", "print crypt($ARGV[0], $ARGV[1])", "--", try, field).Output()
			if err != nil {
				t.Fatal(err)
			}
			if (string(out) == field) != want {
				t.Errorf("crypt(%q, %s) = %s", try, field, out)
			}
		}
	}
}

// The image may bring a password, by its hash. Another hash, of an earlier run, lets nobody in.
func TestPasswordOfTheImage(t *testing.T) {
	const line = "root:$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/:::::::\n"
	for _, wanted := range []bool{true, false} {
		c := &Container{Root: loginRoot(t), Config: image.Config{RootPassword: wanted}}
		put(t, c.Root, "/etc/shadow", line, 0o600)
		if note := step(t, c, Accounts); note != "" || c.PasswordSet != wanted || get(t, c.Root, "etc/shadow") != line {
			t.Errorf("note %q, the password is set: %v, want %v", note, c.PasswordSet, wanted)
		}
	}
	c := &Container{Root: loginRoot(t), Config: image.Config{RootPassword: true}}
	if step(t, c, Accounts); c.PasswordSet {
		t.Error("a password is said to be set, and there is none")
	}
}

func TestPasswordChanges(t *testing.T) {
	c := &Container{Root: loginRoot(t), Settings: Settings{RootPassword: "one"}}
	step(t, c, Accounts)
	first := get(t, c.Root, "etc/shadow")
	c.Settings.RootPassword = "two"
	if note := step(t, c, Accounts); note != "set root's password" || get(t, c.Root, "etc/shadow") == first {
		t.Errorf("note %q", note)
	}
}

// A hash that takes an hour to check must not keep the renter out that long.
func TestSlowHashIsReplaced(t *testing.T) {
	c := &Container{Root: loginRoot(t), Settings: Settings{RootPassword: "one"}}
	put(t, c.Root, "/etc/shadow", "root:$6$rounds=999999999$saltsalt$"+strings.Repeat("a", 86)+":::::::\n", 0o600)
	began := time.Now()
	if note := step(t, c, Accounts); note != "set root's password" || time.Since(began) > 5*time.Second {
		t.Errorf("note %q after %v", note, time.Since(began))
	}
}

func TestRootPasswordFile(t *testing.T) {
	for _, tt := range []struct{ name, content, problem string }{
		{"one line", "sesame\n", ""},
		{"CRLF", "sesame\r\n", ""},
		{"empty", "\n", `ROOT_PASSWORD_FILE is "/run/password", which is empty`},
		{"two lines", "sesame\nopen\n", "the content of ROOT_PASSWORD_FILE holds a line break"},
		{"10 KB", strings.Repeat("sesame", 2000), "the content of ROOT_PASSWORD_FILE is 12000 bytes long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Container{Root: loginRoot(t), Settings: Settings{RootPasswordFile: "/run/password"}}
			put(t, c.Root, "/run/password", tt.content, 0o600)
			step(t, c, Accounts)
			field := strings.Split(get(t, c.Root, "etc/shadow"), ":")[1]
			if tt.problem == "" {
				if !c.PasswordSet || !verifies(field, "sesame") {
					t.Errorf("the password is not set: %q", c.Problems)
				}
				return
			}
			wantProblems(t, c.Problems, []string{tt.problem})
			if c.PasswordSet || field != "*" || strings.Contains(c.Problems[0], "sesame") {
				t.Errorf("%v, shadow has %q, problem %q", c.PasswordSet, field, c.Problems)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		c := &Container{Root: loginRoot(t), Settings: Settings{RootPasswordFile: "/run/password"}}
		step(t, c, Accounts)
		wantProblems(t, c.Problems, []string{`ROOT_PASSWORD_FILE cannot be used: there is no file "/run/password"`})
	})
}

func TestRootsHomeIsSafe(t *testing.T) {
	c := &Container{Root: loginRoot(t)}
	if err := os.Chmod(filepath.Join(c.Root, "root"), 0o777); err != nil {
		t.Fatal(err)
	}
	step(t, c, Accounts)
	wantMode(t, c.Root, "root", 0o700|os.ModeDir)
}

func TestLoginShell(t *testing.T) {
	root := newRoot(t, map[string]string{"/bin/text": ""})
	put(t, root, "/nix/store/x/bin/bash", "#!", 0o755)
	put(t, root, "/sbin/nologin", "#!", 0o755)
	symlink(t, "/nix/store/x/bin/bash", filepath.Join(root, "bin/bash"))
	symlink(t, "/gone", filepath.Join(root, "bin/gone"))
	for shell, want := range map[string]bool{"/bin/bash": true, "/bin/text": false, "/bin/gone": false, "/bin/none": false, "/sbin/nologin": false, "/bin": false, "bin/bash": false, "": false} {
		if got := isLoginShell(root, shell); got != want {
			t.Errorf("%q: %v", shell, got)
		}
	}
}
