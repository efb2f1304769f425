package services

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// somebody is an account that files can be given to: nobody where the tests
// run as root, else their own.
func somebody() *syscall.Credential {
	if os.Geteuid() == 0 {
		return &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid()), NoSetGroups: true}
}

func ownerOf(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	sys := st.Sys().(*syscall.Stat_t)
	return sys.Uid, sys.Gid
}

func TestAccountOfInit(t *testing.T) {
	self, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []Execution{{}, {User: self.Username}, {User: self.Uid}, {User: self.Username, Group: self.Gid}, {Group: strconv.Itoa(os.Getegid())}} {
		u, cred, err := x.account()
		if err != nil || cred != nil || u.HomeDir != self.HomeDir || u.Username != self.Username {
			t.Errorf("%q %q: %+v %+v %v; want init's own, and nothing to switch", x.User, x.Group, u, cred, err)
		}
	}
}

// TestAccountGroups holds what a process finds to what a login would get.
func TestAccountGroups(t *testing.T) {
	own, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		x      Execution
		ids    string // of "id -u; id -g"
		groups []int  // as the kernel has them, sorted by it
	}{
		{Execution{User: "nobody"}, "65534 65534", []int{65534}},
		{Execution{User: "12345", Group: "54321"}, "12345 54321", []int{54321}},
		{Execution{User: "12345"}, "12345 12345", []int{12345}},
		{Execution{User: "nobody", Group: "daemon", SupplementaryGroups: []string{"audio", "4242"}}, "65534 1", []int{1, 29, 4242}},
		{Execution{SupplementaryGroups: []string{"4242"}}, "0 0", append(slices.Clone(own), 4242)},
	} {
		u, cred, err := c.x.account()
		if os.Geteuid() != 0 {
			if err == nil || !strings.Contains(err.Error(), "CAP_SET") {
				t.Errorf("%+v: %v; want it refused for want of a capability", c.x, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c.x, err)
			continue
		}
		cmd := exec.Command("/bin/sh", "-c", "id -u; id -g; sed -n 's/^Groups://p' /proc/self/status")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
		out, err := cmd.CombinedOutput()
		got := strings.Fields(string(out))
		want := strings.Fields(c.ids)
		slices.Sort(c.groups)
		for _, gid := range c.groups {
			want = append(want, strconv.Itoa(gid))
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q %q %q runs with %v (%v), want %v", c.x.User, c.x.Group, c.x.SupplementaryGroups, got, err, want)
		}
		if c.x.User == "12345" && (u.Username != "12345" || u.HomeDir != "/") {
			t.Errorf("a user without an entry is %+v", u)
		}
	}
}

func TestAccountUnknown(t *testing.T) {
	for _, c := range []struct {
		x    Execution
		want string
	}{
		{Execution{User: "nobody-of-that-name"}, "no user nobody-of-that-name is in /etc/passwd"},
		{Execution{User: "4294967295"}, "no user 4294967295 is in /etc/passwd"},
		{Execution{Group: "no-such-group"}, "no group no-such-group is in /etc/group"},
		{Execution{User: "nobody", SupplementaryGroups: []string{"no-such-group"}}, "no group no-such-group is in /etc/group"},
	} {
		if _, _, err := c.x.account(); err == nil || err.Error() != c.want {
			t.Errorf("%+v: %v, want %q", c.x, err, c.want)
		}
	}
}

// TestAccountWithoutCapability takes the capability from one thread, which is
// what a container without it looks like from there.
func TestAccountWithoutCapability(t *testing.T) {
	for _, c := range []struct {
		less int
		x    Execution
		want string
	}{
		{unix.CAP_SETUID, Execution{User: "nobody"}, "cannot switch to user nobody: this container has no CAP_SETUID"},
		{unix.CAP_SETGID, Execution{Group: "daemon"}, "cannot switch to group daemon: this container has no CAP_SETGID"},
		{unix.CAP_SETGID, Execution{SupplementaryGroups: []string{"daemon"}}, "cannot switch to group daemon: this container has no CAP_SETGID"},
		{unix.CAP_SETUID, Execution{}, ""},
	} {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			err := unix.Capget(&header, &data[0])
			data[0].Effective &^= 1 << c.less
			if err = errors.Join(err, unix.Capset(&header, &data[0])); err == nil {
				_, _, err = c.x.account()
			}
			done <- err
		}()
		if err := <-done; (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%+v: %v, want %q", c.x, err, c.want)
		}
	}
}

func TestMapped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "map")
	if err := os.WriteFile(file, []byte("         0     100000       1000\n      2000     200000          1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[uint32]bool{0: true, 999: true, 1000: false, 1999: false, 2000: true, 2001: false} {
		if got := mapped(file, id); got != want {
			t.Errorf("%d is mapped: %v, want %v", id, got, want)
		}
	}
	if !mapped(file+".absent", 5) || !mapped("/proc/self/uid_map", uint32(os.Geteuid())) {
		t.Error("an id that can be used is refused")
	}
}

func TestShellOf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(file, []byte("root:x:0:0:root:/root:/bin/bash\nd:x:1:1:d:/:/usr/sbin/nologin\nbroken\ne:x:2:2:e:/:/bin/false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"root": "/bin/bash", "d": "", "e": "", "broken": "", "x": ""} {
		if got := shellOf(file, name); got != want {
			t.Errorf("the shell of %s is %q, want %q", name, got, want)
		}
	}
}

func TestDirectory(t *testing.T) {
	here := t.TempDir()
	u := &user.User{HomeDir: here}
	for dir, want := range map[string]string{"": "/", "/tmp": "/tmp", "/absent": "/absent", "-/absent": "/", "-" + here: here, "~": here, "-~": here} {
		if got := (&Execution{WorkingDirectory: dir}).directory(u); got != want {
			t.Errorf("%q: %q, want %q", dir, got, want)
		}
	}
}

func TestOOMKills(t *testing.T) {
	v2, v1 := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write(v2+"/memory.events", "low 0\nhigh 3\nmax 9\noom 2\noom_kill 7\noom_group_kill 0\n")
	write(v1+"/memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
	for dir, want := range map[string]uint64{v2: 7, v1: 4} {
		if n, ok := oomKillsIn(dir); !ok || n != want {
			t.Errorf("%s: %d %v, want %d", dir, n, ok, want)
		}
	}
	if n, ok := oomKillsIn(t.TempDir()); ok || n != 0 {
		t.Errorf("without a cgroup: %d %v", n, ok)
	}
	b, err := os.ReadFile("/sys/fs/cgroup/memory/memory.oom_control")
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile("/sys/fs/cgroup/memory.events")
	}
	_, ok := oomKills()
	if has := err == nil && bytes.Contains(b, []byte("\noom_kill ")); ok != has {
		t.Errorf("the count of this machine can be read: %v, want %v", ok, has)
	}
}
