package rootfs

import (
	"fmt"
	"regexp"
	"strings"
)

// builders is how many users Nix may build as, where it is told to: as many as Nix's own
// installer makes.
const builders = 32

const firstBuilder = 30001

// account is a line of passwd(5).
type account struct {
	name        string
	uid, gid    int
	text        string
	home, shell string
}

// hashSyntax is a hash of crypt(5) that is made for passwords of today: yescrypt and its
// relatives, bcrypt, and SHA-2.
var hashSyntax = regexp.MustCompile(`^\$(y|gy|7|2[aby]|5|6)\$[-+./A-Za-z0-9$,=]{20,}$`)

// accounts writes passwd, group and shadow. Who has no password has "*", which lets root in
// by key, where "!" would not.
func (c *composer) accounts() {
	if c.RootPassword != "" && !hashSyntax.MatchString(c.RootPassword) {
		c.problem("root's password is no hash of crypt(5): give what `mkpasswd` prints, which begins with $y$ or $6$")
	}
	users := []account{
		{"root", 0, 0, "root", "/root", "/bin/bash"},
		{"sshd", 74, 74, "sshd privilege separation", "/var/empty", "/bin/false"},
		{"nobody", 65534, 65534, "nobody", "/var/empty", "/bin/false"},
	}
	group := "root:x:0:\ntty:x:5:\nutmp:x:43:\nsshd:x:74:\nusers:x:100:\nnogroup:x:65534:\n"
	if c.Nix != nil {
		names := make([]string, builders)
		for i := range builders {
			names[i] = fmt.Sprintf("nixbld%d", i+1)
			users = append(users, account{names[i], firstBuilder + i, firstBuilder - 1,
				fmt.Sprintf("Nix build user %d", i+1), "/var/empty", "/bin/false"})
		}
		group += fmt.Sprintf("nixbld:x:%d:%s\n", firstBuilder-1, strings.Join(names, ","))
	}
	var passwd, shadow strings.Builder
	for _, u := range users {
		fmt.Fprintf(&passwd, "%s:x:%d:%d:%s:%s:%s\n", u.name, u.uid, u.gid, u.text, u.home, u.shell)
		hash := "*"
		if u.uid == 0 && c.RootPassword != "" {
			hash = c.RootPassword
		}
		fmt.Fprintf(&shadow, "%s:%s:1:0:99999:7:::\n", u.name, hash)
	}
	for name, text := range map[string]string{"passwd": passwd.String(), "group": group, "shadow": shadow.String()} {
		c.own("/etc/"+name, entry{mode: modeOf("/etc/"+name, 0o644), data: []byte(text)})
	}
}
