package services

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// oomKills is how many processes the kernel has killed for want of memory in
// this container so far; ok is false where that cannot be read.
func oomKills() (count uint64, ok bool) { return oomKillsIn("/sys/fs/cgroup") }

// oomKillsIn reads the count of a hierarchy of version 2, or of the memory
// controller of version 1: a line "oom_kill N" in either.
func oomKillsIn(cgroup string) (uint64, bool) {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		b, err := os.ReadFile(filepath.Join(cgroup, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if value, found := strings.CutPrefix(line, "oom_kill "); found {
				n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}
