package services

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holds checks lines such as "ConditionPathExists=!/etc/no". All have to hold,
// and of those that begin with "|" at least one. failed is the condition that
// does not; an assertion that does not is an error. Paths are below root; env is
// what ConditionEnvironment looks at. A kind that is not known here holds: see
// Service.Unapplied.
func holds(conditions []string, root string, env []string) (failed string, err error) {
	c := checker{root: root, env: env}
	for _, prefix := range []string{"Condition", "Assert"} {
		bad := c.first(conditions, prefix)
		switch {
		case bad != "" && prefix == "Assert":
			return "", fmt.Errorf("%s does not hold", bad)
		case bad != "":
			return bad, nil
		}
	}
	return "", nil
}

// checker knows what conditions are about.
type checker struct {
	root string
	env  []string
}

// first is the first line with a prefix that does not hold, or "".
func (c checker) first(lines []string, prefix string) string {
	trigger, triggered := "", false
	for _, line := range lines {
		kind, value, _ := strings.Cut(line, "=")
		kind, ok := strings.CutPrefix(kind, prefix)
		if !ok {
			continue
		}
		value, or := strings.CutPrefix(strings.TrimSpace(value), "|")
		value, not := strings.CutPrefix(strings.TrimSpace(value), "!")
		value = strings.TrimSpace(value)
		check, known := checks[kind]
		good := !known || check(c, value) != not
		switch {
		case or:
			trigger, triggered = line, triggered || good
		case !good:
			return line
		}
	}
	if triggered {
		return ""
	}
	return trigger
}

// checks are the kinds of conditions; see systemd.unit(5), "Conditions and Asserts".
var checks = map[string]func(checker, string) bool{
	"PathExists":         checker.pathExists,
	"PathExistsGlob":     checker.pathExistsGlob,
	"PathIsDirectory":    func(c checker, p string) bool { return c.mode(p).IsDir() },
	"PathIsSymbolicLink": checker.pathIsSymbolicLink,
	"PathIsSocket":       func(c checker, p string) bool { return c.mode(p)&fs.ModeSocket != 0 },
	"PathIsMountPoint":   checker.pathIsMountPoint,
	"PathIsReadWrite":    checker.pathIsReadWrite,
	"DirectoryNotEmpty":  checker.directoryNotEmpty,
	"FileNotEmpty":       checker.fileNotEmpty,
	"FileIsExecutable": func(c checker, p string) bool {
		m := c.mode(p)
		return m.IsRegular() && m&0o111 != 0
	},
	"Environment":       checker.environment,
	"User":              checker.user,
	"Group":             checker.group,
	"Host":              checker.host,
	"Architecture":      checker.architecture,
	"KernelCommandLine": checker.kernelCommandLine,
	"Virtualization":    checker.virtualization,
	"Capability":        checker.capability,
}

func (c checker) at(p string) string { return filepath.Join(c.root, p) }

// mode is that of what a path leads to; of nothing, that of an irregular file.
func (c checker) mode(p string) fs.FileMode {
	st, err := os.Stat(c.at(p))
	if err != nil {
		return fs.ModeIrregular
	}
	return st.Mode()
}

func (c checker) pathExists(p string) bool {
	_, err := os.Stat(c.at(p))
	return err == nil
}

func (c checker) pathExistsGlob(pattern string) bool {
	found, err := filepath.Glob(c.at(pattern))
	return err == nil && len(found) > 0
}

func (c checker) pathIsSymbolicLink(p string) bool {
	st, err := os.Lstat(c.at(p))
	return err == nil && st.Mode()&fs.ModeSymlink != 0
}

func (c checker) pathIsMountPoint(p string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, c.at(p), 0, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

func (c checker) pathIsReadWrite(p string) bool {
	var st unix.Statfs_t
	err := unix.Statfs(c.at(p), &st)
	return err == nil && st.Flags&unix.ST_RDONLY == 0
}

func (c checker) directoryNotEmpty(p string) bool {
	d, err := os.Open(c.at(p))
	if err != nil {
		return false
	}
	defer d.Close()
	names, err := d.Readdirnames(1)
	return err == nil && len(names) == 1
}

func (c checker) fileNotEmpty(p string) bool {
	st, err := os.Stat(c.at(p))
	return err == nil && st.Mode().IsRegular() && st.Size() > 0
}

// environment takes NAME, or NAME=VALUE.
func (c checker) environment(want string) bool {
	return slices.ContainsFunc(c.env, func(entry string) bool {
		return entry == want || !strings.Contains(want, "=") && strings.HasPrefix(entry, want+"=")
	})
}

// user is about init's own.
func (c checker) user(name string) bool {
	u := ownUser()
	if name == "@system" {
		return number(u.Uid) < 1000
	}
	return name == u.Uid || name == u.Username
}

func (c checker) group(name string) bool {
	gid, err := lookupGroup(name)
	if err != nil {
		return false
	}
	groups, err := os.Getgroups()
	return int(number(gid)) == os.Getegid() || err == nil && slices.Contains(groups, int(number(gid)))
}

// host takes a name, in which there may be wildcards, or a machine id.
func (c checker) host(want string) bool {
	if id, err := readSmall(c.at("/etc/machine-id"), 4096); err == nil && strings.TrimSpace(string(id)) == strings.ReplaceAll(want, "-", "") {
		return true
	}
	name, err := os.Hostname()
	if err != nil {
		return false
	}
	same, err := path.Match(strings.ToLower(want), strings.ToLower(name))
	return err == nil && same
}

func (c checker) architecture(want string) bool {
	ours := map[string]string{"amd64": "x86-64"}[runtime.GOARCH]
	if ours == "" {
		ours = runtime.GOARCH
	}
	return want == "native" || want == ours
}

// kernelCommandLine takes a word, or the part of one before "=".
func (c checker) kernelCommandLine(want string) bool {
	b, err := os.ReadFile(c.at("/proc/cmdline"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(strings.Fields(string(b)), func(word string) bool {
		name, _, _ := strings.Cut(word, "=")
		return word == want || name == want
	})
}

// virtualization: we run in a container, whatever that runs in.
func (c checker) virtualization(want string) bool {
	switch want {
	case "container":
		return true
	case "docker":
		return c.pathExists("/.dockerenv")
	case "podman":
		return c.pathExists("/run/.containerenv")
	case "private-users":
		b, err := os.ReadFile(c.at("/proc/self/uid_map"))
		return err == nil && !slices.Equal(strings.Fields(string(b)), []string{"0", "0", "4294967295"})
	}
	yes, err := isTrue(want)
	return err == nil && yes
}

// isTrue reads a boolean of systemd's.
func isTrue(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "yes", "y", "on":
		return true, nil
	case "no", "n", "off":
		return false, nil
	}
	b, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		return false, errors.New("neither yes nor no")
	}
	return b, nil
}

// capability is about the bounding set: what a process of init can have at most.
func (c checker) capability(name string) bool {
	i := slices.Index(strings.Fields(capabilities), strings.TrimPrefix(strings.ToLower(name), "cap_"))
	if i < 0 {
		return false
	}
	has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(i), 0, 0, 0)
	return err == nil && has == 1
}

// capabilities by their number, from capability.h of Linux 6.12.
const capabilities = `chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace
sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore`
