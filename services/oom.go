package services

import (
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// oomKills is how many processes the kernel has killed for want of memory in
// this container so far; ok is false where that cannot be read.
func oomKills() (count uint64, ok bool) { return oomKillsIn("/sys/fs/cgroup") }

// countKills books what the kernel has killed so far as explained.
func (s *Supervisor) countKills() {
	if kills, ok := s.oomKills(); ok {
		s.kills = kills
	}
}

// oomKillsIn reads the count of a hierarchy of version 2, or of the memory
// controller of version 1: a line "oom_kill N" in either.
func oomKillsIn(cgroup string) (uint64, bool) {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		b, err := readProc(filepath.Join(cgroup, name))
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

// memoryLimitIn is how many bytes a hierarchy, as of oomKillsIn, lets the container have;
// 0 where none says.
func memoryLimitIn(cgroup string) uint64 {
	for _, name := range []string{"memory.max", "memory/memory.limit_in_bytes"} {
		if b, err := readProc(filepath.Join(cgroup, name)); err == nil {
			n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64) // it may be "max"
			return n
		}
	}
	return 0
}

// expendable is added to the oom_score_adj of what we start, in thousandths of the
// memory that the container may have: of a service of many small processes each is
// smaller than init, and the kernel would take that, and with it the container. So a
// process must count for more than all that init has, the pages of its file included,
// also where a thousandth is little.
func expendable(limit uint64) int {
	const least, most, own = 100, 800, 64 << 20
	if limit == 0 {
		return least
	}
	return int(min(max(own*1000/limit, least), most))
}

// learnMemory reads how memory stands in the container, once: behind the first fork, where
// the first service does not wait for it, and before the first end.
func (s *Supervisor) learnMemory() {
	if s.spare != 0 {
		return
	}
	s.kills, _ = s.oomKills()
	s.score, _ = readNumber("/proc/self/oom_score_adj") // 0 without a /proc
	s.spare = expendable(memoryLimitIn("/sys/fs/cgroup"))
}

// expend marks a process that has just been started, as a rule before it starts others.
// (To raise our own score for the fork would make init the first to be taken just
// when memory is so short that the fork fails.) It takes no privilege to raise one;
// where it is refused all the same, as without a /proc, nothing is lost.
func (s *Supervisor) expend(pid int) {
	score := min(s.score+s.spare, 1000)
	// Not by package os, whose files cost as much as the writing.
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, strconv.AppendInt(nil, int64(score), 10))
	_ = unix.Close(fd)
}
