package boot

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
)

// Accounts makes sure that root can log in and that sshd has its own user, and
// turns ROOT_PASSWORD into a hash. It sets Container.PasswordSet.
var Accounts = Step{Name: accountsName, Run: accounts}

const accountsName = "accounts"

// The formats are those of passwd(5), group(5) and shadow(5). Empty numbers in
// a shadow line turn ageing off.
const (
	rootPasswd = "root:x:0:0:root:/root:/bin/bash"
	rootGroup  = "root:x:0:"
	rootShadow = "root:*:::::::"
)

// hashRounds is crypt(3)'s default for sha512-crypt, which takes 5 ms. The
// alternative, yescrypt, costs PID 1 16 MB of memory that it keeps.
const hashRounds = 5000

func accounts(_ context.Context, c *Container) (string, error) {
	var ch changes
	ch.add(users(c.Root))
	ch.add(shadow(c))
	home := rootHome(c.Root)
	info, err := os.Stat(filepath.Join(c.Root, home))
	// sshd looks at no key in a home that another could have put it in.
	unsafe := err == nil && (info.Mode().Perm()&0o022 != 0 || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid())
	ch.add(makeDir(c.Root, home, 0o700, unsafe))
	return ch.result()
}

// users repairs /etc/passwd and /etc/group.
func users(root string) (string, error) {
	passwd, err := readFile(root, "/etc/passwd")
	if err != nil {
		return "", err
	}
	group, err := readFile(root, "/etc/group")
	if err != nil {
		return "", err
	}
	usable := func(shell string) bool { return isLoginShell(root, shell) }
	newPasswd, newGroup, notes := repairUsers(string(passwd), string(group), usable)

	ch := changes{notes: notes}
	for _, file := range []struct{ path, text string }{{"/etc/group", newGroup}, {"/etc/passwd", newPasswd}} {
		_, err := writeFile(root, file.path, []byte(file.text), modeOf(root, file.path, 0o644))
		ch.add("", err)
	}
	return ch.result()
}

// repairUsers returns both texts with all that a login of root and a start of
// sshd need. Lines of other accounts stay as they are.
func repairUsers(passwd, group string, usable func(shell string) bool) (string, string, []string) {
	users, groups := parseTable(passwd), parseTable(group)
	var notes []string
	if i := users.find("root"); i < 0 {
		users = slices.Insert(users, 0, rootPasswd)
		notes = append(notes, "added root to /etc/passwd, which had no such line")
	} else if f := strings.Split(users[i], ":"); len(f) != 7 || f[2] != "0" {
		users[i] = rootPasswd
		notes = append(notes, "replaced root's line in /etc/passwd, which was not one of uid 0")
	}
	f := strings.Split(users[users.find("root")], ":")
	if f[1] != "x" {
		f[1] = "x"
		notes = append(notes, "made /etc/shadow the place of root's password")
	}
	if home := f[5]; !path.IsAbs(home) || path.Clean(home) == "/" {
		f[5] = "/root"
		notes = append(notes, "gave root the home /root")
	}
	if !usable(f[6]) {
		for _, shell := range []string{"/bin/bash", "/bin/sh"} {
			if usable(shell) {
				notes = append(notes, fmt.Sprintf("gave root the shell %s, since %s cannot be run", shell, excerpt(f[6])))
				f[6] = shell
				break
			}
		}
	}
	users[users.find("root")] = strings.Join(f, ":")
	if groups.find("root") < 0 {
		groups = slices.Insert(groups, 0, rootGroup)
		notes = append(notes, "added root to /etc/group")
	}
	if users.find("sshd") < 0 {
		id := freeID(users, groups)
		if groups.find("sshd") < 0 {
			groups = groups.with(fmt.Sprintf("sshd:x:%d:", id))
		}
		gid := strings.Split(groups[groups.find("sshd")]+"::", ":")[2]
		users = users.with(fmt.Sprintf("sshd:x:%d:%s:sshd's unprivileged half:/var/empty:/sbin/nologin", id, gid))
		notes = append(notes, "added the user sshd")
	}
	return users.String(), groups.String(), notes
}

// isLoginShell says whether somebody who logs in gets a shell from the program.
func isLoginShell(root, shell string) bool {
	if base := path.Base(shell); !path.IsAbs(shell) || base == "nologin" || base == "false" {
		return false
	}
	full, err := resolve(root, shell)
	if err != nil {
		return false
	}
	info, err := os.Stat(full)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// rootHome is root's home directory, seen from inside root.
func rootHome(root string) string {
	if text, err := readFile(root, "/etc/passwd"); err == nil {
		users := parseTable(string(text))
		if i := users.find("root"); i >= 0 {
			if f := strings.Split(users[i], ":"); len(f) == 7 && path.IsAbs(f[5]) {
				return path.Clean(f[5])
			}
		}
	}
	return "/root"
}

// shadow gives root a line in /etc/shadow that blocks no login, with the
// password that the settings ask for.
func shadow(c *Container) (string, error) {
	password, problem := rootPassword(c.Root, c.Settings)
	if problem != "" {
		c.Problems = append(c.Problems, problem)
	}
	text, err := readFile(c.Root, "/etc/shadow")
	if err != nil {
		return "", err
	}
	var ch changes
	lines := parseTable(string(text))
	if lines.find("root") < 0 {
		lines = slices.Insert(lines, 0, rootShadow)
		ch.add("added root to /etc/shadow", nil)
	}
	i := lines.find("root")
	line, note := repairShadow(lines[i])
	ch.add(note, nil)
	if f := strings.Split(line, ":"); password != "" && !verifies(f[1], password) {
		if f[1], err = hash(password); err != nil {
			return "", err
		}
		line = strings.Join(f, ":")
		ch.add("set root's password", nil)
	}
	lines[i] = line
	// Readable for root and at most its group, whatever the image thought.
	mode := modeOf(c.Root, "/etc/shadow", 0o600) & 0o640
	_, err = writeFile(c.Root, "/etc/shadow", []byte(lines.String()), mode)
	ch.add("", err)
	brought := c.Config.RootPassword && strings.HasPrefix(strings.Split(line, ":")[1], "$")
	c.PasswordSet = (password != "" || brought) && err == nil
	return ch.result()
}

// repairShadow returns root's line so that sshd lets it in with a key: it
// refuses an account whose password starts with "!" (LOCKED_PASSWD_PREFIX), and
// one that has expired. A password that is empty or no hash becomes "*", with
// which there is no login by password.
func repairShadow(line string) (repaired, note string) {
	f := strings.Split(line, ":")
	var did []string
	if len(f) < 2 {
		f = strings.Split(rootShadow, ":")
		did = append(did, "completed root's line in /etc/shadow")
	}
	if f[1] != "*" && !strings.HasPrefix(f[1], "$") {
		f[1] = "*"
		did = append(did, "unlocked root in /etc/shadow, still without a password")
	}
	// In order: last change, minimum, maximum, warning, inactive, expiry, and
	// one reserved. The usual maximum of 99999 days is none.
	if len(f) != 9 || f[2] == "0" || f[4] != "" && f[4] != "99999" || f[6] != "" || f[7] != "" || !areNumbers(f[2:8]) {
		f = append(f[:2], strings.Split(rootShadow, ":")[2:]...)
		did = append(did, "turned ageing off for root in /etc/shadow")
	}
	return strings.Join(f, ":"), strings.Join(did, ", ")
}

func areNumbers(fields []string) bool {
	return strings.Trim(strings.Join(fields, ""), "0123456789") == ""
}

// rootPassword is the password that the settings hold or name a file of.
func rootPassword(root string, s Settings) (password Secret, problem string) {
	if s.RootPassword != "" || s.RootPasswordFile == "" {
		return s.RootPassword, ""
	}
	text, err := readInput(root, s.RootPasswordFile)
	if err != nil {
		return "", fmt.Sprintf("ROOT_PASSWORD_FILE cannot be used: %v", err)
	}
	password = Secret(strings.TrimRight(string(text), "\r\n"))
	if password == "" {
		return "", fmt.Sprintf("ROOT_PASSWORD_FILE is %s, which is empty", excerpt(s.RootPasswordFile))
	}
	if problem := passwordProblem("the content of ROOT_PASSWORD_FILE", password); problem != "" {
		return "", problem
	}
	return password, ""
}

// hash makes a sha512-crypt hash, which every crypt(3) can check.
func hash(password Secret) (string, error) {
	hasher, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(hashRounds))
	if err != nil {
		return "", fmt.Errorf("hashing root's password: %w", err)
	}
	digest, err := hasher.Hash(string(password))
	if err != nil {
		return "", fmt.Errorf("hashing root's password: %w", err)
	}
	return digest.Encode(), nil
}

// verifies says whether field is a hash of ours for password. One of another
// kind, whose rounds could take an hour, is no match and gets replaced.
func verifies(field string, password Secret) bool {
	if !strings.HasPrefix(field, "$6$") || strings.HasPrefix(field, "$6$rounds=") {
		return false
	}
	digest, err := shacrypt.Decode(field)
	return err == nil && digest.Match(string(password))
}

// table is a file of lines, each with a name before its first colon.
type table []string

func parseTable(text string) table { return strings.Split(text, "\n") }

func (t table) String() string { return strings.Join(t, "\n") }

func (t table) find(name string) int {
	return slices.IndexFunc(t, func(line string) bool {
		first, _, _ := strings.Cut(line, ":")
		return first == name
	})
}

// with returns the table with a line added at its end.
func (t table) with(line string) table {
	if n := len(t); n > 0 && t[n-1] == "" {
		t = t[:n-1]
	}
	return append(t, line, "")
}

// freeID returns a number that is neither a uid nor a gid: 74, which Fedora
// and NixOS images give to sshd, or one of the system's.
func freeID(tables ...table) int {
	taken := make(map[string]bool)
	for _, t := range tables {
		for _, line := range t {
			for _, field := range strings.Split(line, ":")[min(1, strings.Count(line, ":")):] {
				taken[field] = true
			}
		}
	}
	id := 74
	for next := 999; taken[strconv.Itoa(id)]; next-- {
		id = next
	}
	return id
}
