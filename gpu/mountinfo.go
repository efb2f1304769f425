package gpu

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mountinfoPath lists the mounts that this process sees (proc_pid_mountinfo(5)).
const mountinfoPath = "/proc/self/mountinfo"

// mounts maps a mount point to the type of the file system that is on top of it.
type mounts map[string]string

// readMounts reads the mounts of the tree; without /proc there are none.
func (t tree) readMounts() mounts {
	f, err := os.Open(t.file(mountinfoPath))
	if err != nil {
		return mounts{}
	}
	defer f.Close()
	return parseMounts(f)
}

// parseMounts reads lines such as
//
//	612 587 254:0 /lib/libcuda.so.550.163.01 /usr/lib/libcuda.so.550.163.01 ro,nosuid - ext4 /dev/vda rw
//
// and leaves out those that do not look so.
func parseMounts(r io.Reader) mounts {
	m := mounts{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, types := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) >= 6 && len(types) >= 1 {
			m[unescape(fields[4])] = types[0]
		}
	}
	return m
}

// unescape undoes the kernel's \040 for a space, and the like.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// has says whether path itself is a mount point.
func (m mounts) has(path string) bool { _, ok := m[path]; return ok }

// covers says whether path is a mount point or below one other than "/".
func (m mounts) covers(path string) bool {
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		if m.has(path) {
			return true
		}
	}
	return false
}
