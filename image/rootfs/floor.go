package rootfs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const dirMode = fs.ModeDir

// files are those of the floor that are the same in every image.
//
//go:embed all:tree
var files embed.FS

// An embedded file has lost its mode.
var executables = []string{"/usr/bin/apt-get"}

// directories of the floor: what hosts and their launchers, NVIDIA's runtimes, sshd and
// people take for granted. Others may be put into those that end in a slash, and their
// modes changed.
var directories = []string{
	"/dev", "/proc", "/sys", "/run", "/run/sshd", "/mnt/", "/opt/", "/srv/", "/home/", "/media/", "/workspace/",
	"/etc", "/etc/ld.so.conf.d", "/etc/nix2vast", "/etc/profile.d", "/etc/ssh", "/etc/ssh/sshd_config.d", "/etc/ssl", "/etc/ssl/certs",
	"/root", "/root/.ssh", "/tmp",
	"/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/lib/locale", "/usr/share", "/usr/include/", "/usr/src/",
	"/usr/local", "/usr/local/bin/", "/usr/local/sbin/", "/usr/local/lib/", "/usr/local/share/", "/usr/local/etc/",
	"/var", "/var/empty", "/var/cache/", "/var/lib/", "/var/log/", "/var/spool/", "/var/tmp",
}

// modes of the floor that are not the usual ones.
var modes = map[string]uint32{
	"/etc/shadow": 0o600,
	"/root":       0o700,
	"/root/.ssh":  0o700,
	"/tmp":        0o1777,
	"/var/tmp":    0o1777,
}

// Relative, as NVIDIA's legacy runtime follows an absolute one on the host.
var links = map[string]string{
	"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64",
	"/usr/bin/apt": "apt-get", "/usr/bin/init": "../../init", "/usr/bin/systemctl": "../../init",
	"/var/run": "../run",
}

// triplets are Debian's names of the machines: where there is an /etc/debian_version,
// NVIDIA's runtime puts libraries into /usr/lib/TRIPLET.
var triplets = map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}

func (c *composer) floor() {
	for _, name := range directories {
		dir := strings.TrimSuffix(name, "/")
		c.own(dir, entry{mode: dirMode | modeOf(dir, 0o755), free: dir != name})
	}
	if triplet, ok := triplets[c.Architecture]; ok {
		c.own("/usr/lib/"+triplet, entry{mode: dirMode | 0o755})
	} else {
		c.problem("the architecture %q is none of amd64 and arm64", c.Architecture)
	}
	for name, target := range links {
		c.own(name, entry{link: target})
	}
	_ = fs.WalkDir(files, "tree", func(name string, d fs.DirEntry, err error) error { // of our own memory
		if d.IsDir() {
			return nil
		}
		data, _ := files.ReadFile(name)
		name = strings.TrimPrefix(name, "tree")
		usual := uint32(0o644)
		if slices.Contains(executables, name) {
			usual = 0o755
		}
		c.own(name, entry{mode: modeOf(name, usual), data: data})
		return nil
	})
	c.accounts()
	var dirs strings.Builder
	for _, pkg := range c.Foreign {
		fmt.Fprintf(&dirs, "%s/lib\n", pkg)
	}
	c.own("/etc/ld.so.conf.d/50-nix2vast-foreign.conf", entry{mode: 0o644, data: []byte(dirs.String())})
}

func modeOf(name string, usual uint32) fs.FileMode {
	if m, ok := modes[name]; ok {
		usual = m
	}
	return mode(usual)
}

// certificates links what programs look for in places of the usual systems, where the
// packages have it.
func (c *composer) certificates() {
	bundle := path.Join(c.Certificates, "etc/ssl/certs/ca-bundle.crt")
	for _, link := range []struct{ name, pkg, target string }{
		{"/etc/ssl/certs/ca-certificates.crt", c.Certificates, bundle},
		{"/etc/ssl/certs/ca-bundle.crt", c.Certificates, bundle},
		{"/etc/ssl/cert.pem", c.Certificates, bundle},
		{"/etc/pki/tls/certs/ca-bundle.crt", c.Certificates, bundle},
		{"/usr/lib/locale/C.utf8", c.Locale, path.Join(c.Locale, "lib/locale/C.utf8")},
		{"/usr/share/terminfo", c.Terminfo, path.Join(c.Terminfo, "share/terminfo")},
		{"/usr/sbin/sshd", c.SSH, path.Join(c.SSH, "bin/sshd")},
		{"/usr/lib/openssh", c.SSH, path.Join(c.SSH, "libexec")},
	} {
		if link.pkg == "" {
			continue
		}
		if !c.exists(link.target) {
			lacks := fmt.Sprintf("%s lacks %s, to which %s has to lead", link.pkg, strings.TrimPrefix(link.target, link.pkg+"/"), link.name)
			if link.pkg == c.Locale { // a glibc may keep all locales in one archive, where its own programs look
				fmt.Fprintln(c.log, lacks)
			} else {
				c.problems = append(c.problems, errors.New(lacks))
			}
			continue
		}
		c.own(link.name, entry{link: link.target})
	}
}
