package services

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// account looks User, Group and SupplementaryGroups up. The credential is nil
// where nothing is to be switched.
func (x *Execution) account() (*user.User, *syscall.Credential, error) {
	if x.User == "" && x.Group == "" && len(x.SupplementaryGroups) == 0 {
		return ownUser(), nil, nil
	}
	u := ownUser()
	if x.User != "" {
		var err error
		if u, err = lookupUser(x.User); err != nil {
			return nil, nil, err
		}
	}
	gid := u.Gid
	if x.User == "" {
		gid = strconv.Itoa(os.Getegid())
	}
	if x.Group != "" {
		var err error
		if gid, err = lookupGroup(x.Group); err != nil {
			return nil, nil, err
		}
	}
	cred := &syscall.Credential{Uid: number(u.Uid), Gid: number(gid)}
	if int(cred.Uid) == os.Geteuid() && int(cred.Gid) == os.Getegid() && len(x.SupplementaryGroups) == 0 {
		return u, nil, nil
	}
	groups, err := x.groups(u, cred.Gid)
	if err != nil {
		return nil, nil, err
	}
	cred.Groups = groups
	return u, cred, x.maySwitch(cred)
}

// groups are gid and those that the user is a member of, as initgroups(3) has it,
// or init's own where there is no User; and SupplementaryGroups.
func (x *Execution) groups(u *user.User, gid uint32) ([]uint32, error) {
	var list []uint32
	add := func(gid uint32) {
		if !slices.Contains(list, gid) {
			list = append(list, gid)
		}
	}
	if x.User == "" {
		own, err := os.Getgroups()
		if err != nil {
			return nil, fmt.Errorf("reading init's own groups: %w", err)
		}
		for _, gid := range own {
			add(uint32(gid))
		}
	} else {
		add(gid)
		ids, err := u.GroupIds()
		if err != nil {
			ids = nil // there is no /etc/group
		}
		for i, id := range ids {
			if i > 0 || id != u.Gid { // the first is the user's own, in whose place gid is
				add(number(id))
			}
		}
	}
	for _, name := range x.SupplementaryGroups {
		gid, err := lookupGroup(name)
		if err != nil {
			return nil, err
		}
		add(number(gid))
	}
	return list, nil
}

// maySwitch says in words what the kernel would answer with EPERM or EINVAL.
func (x *Execution) maySwitch(cred *syscall.Credential) error {
	if int(cred.Uid) != os.Geteuid() {
		if !capable(unix.CAP_SETUID) {
			return fmt.Errorf("cannot switch to user %s: this container has no CAP_SETUID", x.User)
		}
		if !mapped("/proc/self/uid_map", cred.Uid) {
			return fmt.Errorf("cannot switch to user %s: this container's user namespace has no uid %d", x.User, cred.Uid)
		}
	}
	if !capable(unix.CAP_SETGID) {
		return fmt.Errorf("cannot switch to group %s: this container has no CAP_SETGID", x.groupsInWords(cred))
	}
	for _, gid := range append([]uint32{cred.Gid}, cred.Groups...) {
		if !mapped("/proc/self/gid_map", gid) {
			return fmt.Errorf("cannot switch to group %s: this container's user namespace has no gid %d", x.groupsInWords(cred), gid)
		}
	}
	return nil
}

func (x *Execution) groupsInWords(cred *syscall.Credential) string {
	if x.Group == "" && len(x.SupplementaryGroups) > 0 {
		return strings.Join(x.SupplementaryGroups, ", ")
	}
	return cmp.Or(x.Group, strconv.Itoa(int(cred.Gid)))
}

// capable says whether init has a capability, by capget(2): it needs no /proc.
func capable(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.Geteuid() == 0
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// mapped says whether a user namespace has an id, by its uid_map or gid_map; see
// user_namespaces(7). It is true where that cannot be told.
func mapped(file string, id uint32) bool {
	b, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		var first, outside, count uint64
		if _, err := fmt.Sscan(line, &first, &outside, &count); err != nil {
			return true
		}
		if uint64(id) >= first && uint64(id)-first < count {
			return true
		}
	}
	return false
}

var own atomic.Pointer[user.User]

// ownUser is init's own user. A look-up that succeeded is kept; one that did not
// may do so later, once boot has completed /etc/passwd.
func ownUser() *user.User {
	if u := own.Load(); u != nil {
		return u
	}
	uid := strconv.Itoa(os.Geteuid())
	u, err := user.LookupId(uid)
	if err != nil {
		if uid == "0" {
			return &user.User{Uid: uid, Gid: "0", Username: "root", HomeDir: "/root"}
		}
		return numeric(uid, strconv.Itoa(os.Getegid()))
	}
	own.Store(u)
	return u
}

func numeric(uid, gid string) *user.User {
	return &user.User{Uid: uid, Gid: gid, Username: uid, HomeDir: "/"}
}

func number(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32) // checked by the look-ups
	return uint32(n)
}

// isID says whether a user or group was given by its number; 4294967295 is the
// kernel's "no change" and names nobody.
func isID(name string) bool {
	n, err := strconv.ParseUint(name, 10, 32)
	return err == nil && n != 1<<32-1
}

func lookupUser(name string) (*user.User, error) {
	if u, err := user.Lookup(name); err == nil {
		return u, nil
	}
	if !isID(name) {
		return nil, fmt.Errorf("no user %s is in /etc/passwd", name)
	}
	if u, err := user.LookupId(name); err == nil {
		return u, nil
	}
	return numeric(name, name), nil
}

func lookupGroup(name string) (string, error) {
	if g, err := user.LookupGroup(name); err == nil {
		return g.Gid, nil
	}
	if !isID(name) {
		return "", fmt.Errorf("no group %s is in /etc/group", name)
	}
	return name, nil
}

// shellOf is the user's login shell in a passwd(5) file, or "" where there is no
// entry or the entry is there to keep the user from logging in.
func shellOf(passwd, name string) string {
	b, err := os.ReadFile(passwd)
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) != 7 || fields[0] != name {
			continue
		}
		shell := fields[6]
		if strings.HasSuffix(shell, "/nologin") || strings.HasSuffix(shell, "/false") {
			return ""
		}
		return shell
	}
	return ""
}

// directory is where the process starts: WorkingDirectory in plain words.
func (x *Execution) directory(u *user.User) string {
	dir, optional := strings.CutPrefix(x.WorkingDirectory, "-")
	if dir == "~" {
		dir = u.HomeDir
	}
	if dir == "" || dir == "/" {
		return "/"
	}
	if st, err := os.Stat(dir); optional && (err != nil || !st.IsDir()) {
		return "/"
	}
	return dir
}
