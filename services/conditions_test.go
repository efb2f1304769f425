package services

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConditions: a kind that never held, or always, would fail here: each
// has a line that does and one that does not.
func TestConditions(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"/file": "text", "/empty": "", "/dir/file": "x", "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
		"/proc/cmdline": "quiet root=/dev/vda single.x=1\n", "/.dockerenv": "", "/proc/self/uid_map": "0 100000 65536\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(root+path), 0o755), os.WriteFile(root+path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(os.Mkdir(root+"/emptydir", 0o755), os.Symlink("absent", root+"/dangling"), os.Symlink("dir", root+"/link"),
		os.WriteFile(root+"/program", []byte("#!"), 0o755), unix.Mknod(root+"/socket", unix.S_IFSOCK|0o600, 0))
	if err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	machine, other := "x86-64", "arm64"
	if runtime.GOARCH == "arm64" {
		machine, other = other, machine
	}
	for _, c := range []struct{ kind, yes, no string }{
		{"PathExists", "/file", "/absent"},
		{"PathExists", "/dir", "/dangling"},
		{"PathExistsGlob", "/*/fil?", "/*/nothing*"},
		{"PathIsDirectory", "/link", "/file"},
		{"PathIsSymbolicLink", "/dangling", "/dir"},
		{"PathIsSocket", "/socket", "/file"},
		{"PathIsReadWrite", "/file", "/absent"},
		{"DirectoryNotEmpty", "/dir", "/emptydir"},
		{"DirectoryNotEmpty", "/link", "/absent"},
		{"FileNotEmpty", "/file", "/empty"},
		{"FileNotEmpty", "/dir/file", "/dir"},
		{"FileIsExecutable", "/program", "/file"},
		{"FileIsExecutable", "/program", "/dir"},
		{"Environment", "NAME", "NAM"},
		{"Environment", "NAME=value", "NAME=other"},
		{"User", strconv.Itoa(os.Geteuid()), "4242"},
		{"User", ownUser().Username, "nobody-of-that-name"},
		{"Group", strconv.Itoa(os.Getegid()), "4242"},
		{"Host", hostname, "another." + hostname},
		{"Host", strings.ToUpper(hostname[:1]) + "*", "?"},
		{"Host", "0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef"},
		{"Architecture", machine, other},
		{"Architecture", "native", "s390x"},
		{"KernelCommandLine", "quiet", "noisy"},
		{"KernelCommandLine", "root", "roo"},
		{"KernelCommandLine", "root=/dev/vda", "root=/dev/vdb"},
		{"Virtualization", "yes", "no"},
		{"Virtualization", "container", "vm"},
		{"Virtualization", "docker", "podman"},
		{"Virtualization", "private-users", "kvm"},
	} {
		env := []string{"OTHER=x", "NAME=value"}
		for value, want := range map[string]bool{c.yes: true, c.no: false, "!" + c.yes: false, "! " + c.no: true, "|" + c.yes: true, "|!" + c.yes: false} {
			line := "Condition" + c.kind + "=" + value
			failed, err := holds([]string{line}, root, env)
			if err != nil || (failed == "") != want || !want && failed != line {
				t.Errorf("%s: failed is %q (%v), want it to hold: %v", line, failed, err, want)
			}
			if _, err := holds([]string{"Assert" + c.kind + "=" + value}, root, env); (err == nil) != want {
				t.Errorf("Assert%s=%s: %v, want it to hold: %v", c.kind, value, err, want)
			}
		}
	}
}

func TestConditionsTogether(t *testing.T) {
	const yes, no = "PathExists=/", "PathExists=/absent"
	const orYes, orNo = "PathExists=|/", "PathExists=|/absent"
	for _, c := range []struct {
		lines  []string
		failed string
	}{
		{nil, ""},
		{[]string{yes, yes}, ""},
		{[]string{yes, no, yes}, no},
		{[]string{orNo, orYes, orNo}, ""},
		{[]string{orNo, yes}, orNo},
		{[]string{orYes, no}, no},
		{[]string{"NoSuchKind=x", "NoSuchKind=!x"}, ""},
	} {
		var conditions, asserts []string
		for _, line := range c.lines {
			conditions = append(conditions, "Condition"+line)
			asserts = append(asserts, "Assert"+line)
		}
		want := ""
		if c.failed != "" {
			want = "Condition" + c.failed
		}
		if failed, err := holds(conditions, "/", nil); failed != want || err != nil {
			t.Errorf("%v: %q %v, want %q", c.lines, failed, err, want)
		}
		failed, err := holds(asserts, "/", nil)
		if failed != "" || (err != nil) != (c.failed != "") || err != nil && err.Error() != "Assert"+c.failed+" does not hold" {
			t.Errorf("asserted %v: %q %v, want %q", c.lines, failed, err, c.failed)
		}
	}
	// A condition that does not hold keeps an assertion from being asked.
	if failed, err := holds([]string{"Assert" + no, "Condition" + no}, "/", nil); failed != "Condition"+no || err != nil {
		t.Errorf("%q %v", failed, err)
	}
}

// TestConditionReadOnly looks into the mount namespace of a process that has a
// read-only file system in it.
func TestConditionReadOnly(t *testing.T) {
	dir := t.TempDir()
	mount := exec.Command("unshare", "-r", "-m", "sh", "-c", `mount -t tmpfs -o ro none "$0" && echo done && read end`, dir)
	stdin, err1 := mount.StdinPipe()
	stdout, err2 := mount.StdoutPipe()
	if err := errors.Join(err1, err2, mount.Start()); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(stdout, b); err != nil || string(b) != "done\n" {
		t.Fatalf("no read-only file system could be mounted: %q %v", b, err)
	}
	root := fmt.Sprintf("/proc/%d/root", mount.Process.Pid)
	for path, want := range map[string]bool{dir: false, "/tmp": true} {
		if failed, err := holds([]string{"ConditionPathIsReadWrite=" + path}, root, nil); err != nil || (failed == "") != want {
			t.Errorf("%s can be written to: %q %v, want %v", path, failed, err, want)
		}
	}
	if err := errors.Join(stdin.Close(), mount.Wait()); err == nil { // read(1) fails at the end of its input
		t.Error("the namespace was gone before")
	}
}

func TestCapabilityNames(t *testing.T) {
	names := strings.Fields(capabilities)
	for name, number := range map[string]int{
		"chown": unix.CAP_CHOWN, "setuid": unix.CAP_SETUID, "net_raw": unix.CAP_NET_RAW, "sys_admin": unix.CAP_SYS_ADMIN, "sys_resource": unix.CAP_SYS_RESOURCE,
		"mknod": unix.CAP_MKNOD, "syslog": unix.CAP_SYSLOG, "wake_alarm": unix.CAP_WAKE_ALARM, "checkpoint_restore": unix.CAP_CHECKPOINT_RESTORE,
	} {
		if names[number] != name {
			t.Errorf("capability %d is called %s, want %s", number, names[number], name)
		}
	}
	if len(names) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, want %d", len(names), unix.CAP_LAST_CAP+1)
	}
}

func TestConditionOfTheKernel(t *testing.T) {
	for line, want := range map[string]bool{
		"ConditionPathIsMountPoint=/proc":            true,
		"ConditionPathIsMountPoint=/proc/self":       false,
		"ConditionPathIsReadWrite=/proc":             true,
		"ConditionCapability=CAP_NO_SUCH":            false,
		"ConditionCapability=cap_chown":              inBoundingSet(t, "cap_chown"),
		"ConditionCapability=CAP_SYS_MODULE":         inBoundingSet(t, "cap_sys_module"),
		"ConditionCapability=CAP_CHECKPOINT_RESTORE": inBoundingSet(t, "cap_checkpoint_restore"),
	} {
		if failed, err := holds([]string{line}, "/", nil); err != nil || (failed == "") != want {
			t.Errorf("%s: %q %v, want it to hold: %v", line, failed, err, want)
		}
	}
}

// inBoundingSet asks setpriv(1).
func inBoundingSet(t *testing.T, capability string) bool {
	t.Helper()
	out, err := exec.Command("setpriv", "--dump").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if set, ok := strings.CutPrefix(line, "Capability bounding set: "); ok {
			for _, name := range strings.Split(strings.TrimSpace(set), ",") {
				if name == strings.TrimPrefix(capability, "cap_") {
					return true
				}
			}
		}
	}
	return false
}
