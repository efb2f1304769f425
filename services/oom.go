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

// expendable is added to the oom_score_adj of what we start, in thousandths of the
// container's memory: of a service of many small processes each is smaller than
// init, and the kernel would take that, and with it the container.
const expendable = 100

// expend marks a process that has just been started, as a rule before it starts others.
// (To raise our own score for the fork would make init the first to be taken just
// when memory is so short that the fork fails.) It takes no privilege to raise one;
// where it is refused all the same, as without a /proc, nothing is lost.
func (s *Supervisor) expend(pid int) {
	score := min(s.score+expendable, 1000)
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", strconv.AppendInt(nil, int64(score), 10), 0)
}
