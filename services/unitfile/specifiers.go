package unitfile

import (
	"bufio"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/coreos/go-systemd/v22/unit"
	"golang.org/x/sys/unix"
)

// credentials holds a folder for each service with credentials: what %d means.
const credentials = "/run/nix2vast/credentials"

// expand replaces the specifiers of systemd.unit(5). odd holds those that are
// none; they stay as they are, as systemd has it.
func (u *lowering) expand(value string) (text string, odd []string) {
	if !strings.Contains(value, "%") {
		return value, nil
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '%' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		i++
		text, ok := u.specifier(value[i])
		if !ok {
			odd = append(odd, "%"+value[i:i+1])
			text = value[i-1 : i+1]
		}
		b.WriteString(text)
	}
	return b.String(), odd
}

// specifier says what one letter stands for. The manager of the system runs as
// root, so those of its user are fixed.
func (u *lowering) specifier(letter byte) (string, bool) {
	switch letter {
	case '%':
		return "%", true
	case 'n':
		return u.name.String(), true
	case 'N':
		return u.name.base(), true
	case 'p':
		return u.name.prefix, true
	case 'P':
		return unit.UnitNameUnescape(u.name.prefix), true
	case 'i':
		return u.name.instance, true
	case 'I':
		return unit.UnitNameUnescape(u.name.instance), true
	case 'j':
		return lastPart(u.name.prefix), true
	case 'J':
		return unit.UnitNameUnescape(lastPart(u.name.prefix)), true
	case 'f':
		escaped := u.name.prefix
		if u.name.instance != "" {
			escaped = u.name.instance
		}
		return path.Join("/", unit.UnitNamePathUnescape(escaped)), true
	case 'y':
		return u.file, true
	case 'Y':
		return path.Dir(u.file), true
	case 'd':
		return credentials + "/" + u.name.service(), true
	case 'u', 'g':
		return "root", true
	case 'U', 'G':
		return "0", true
	case 'h':
		return "/root", true
	case 's':
		return "/bin/sh", true
	}
	if dir, ok := map[byte]string{'t': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc",
		'T': "/tmp", 'V': "/var/tmp", 'D': "/usr/share"}[letter]; ok {
		return dir, true
	}
	return u.root.machine(letter)
}

func lastPart(prefix string) string { return prefix[strings.LastIndexByte(prefix, '-')+1:] }

// machine are the specifiers that tell about the machine.
func (r root) machine(letter byte) (string, bool) {
	switch letter {
	case 'H', 'q':
		name, _ := os.Hostname() // empty where the kernel does not say
		return name, true
	case 'l':
		name, _ := os.Hostname()
		name, _, _ = strings.Cut(name, ".")
		return name, true
	case 'v':
		var name unix.Utsname
		_ = unix.Uname(&name) // fails for a bad address only
		return unix.ByteSliceToString(name.Release[:]), true
	case 'a':
		return map[string]string{"amd64": "x86-64", "386": "x86"}[runtime.GOARCH] +
			map[string]string{"arm64": "arm64", "riscv64": "riscv64"}[runtime.GOARCH], true
	case 'b':
		return strings.ReplaceAll(r.line("/proc/sys/kernel/random/boot_id"), "-", ""), true
	case 'm':
		return r.line("/etc/machine-id"), true
	}
	key, ok := map[byte]string{'o': "ID", 'w': "VERSION_ID", 'W': "VARIANT_ID", 'B': "BUILD_ID", 'A': "IMAGE_VERSION", 'M': "IMAGE_ID"}[letter]
	if !ok {
		return "", false
	}
	return r.osRelease(key), true
}

// line is the first line of a file, or nothing.
func (r root) line(file string) string {
	b, err := r.readFile(file)
	if err != nil {
		return ""
	}
	text, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(text)
}

// osRelease looks up a key of os-release(5).
func (r root) osRelease(key string) string {
	b, err := r.readFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for lines := bufio.NewScanner(strings.NewReader(string(b))); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), key+"="); ok {
			return strings.Trim(value, `"'`)
		}
	}
	return ""
}
