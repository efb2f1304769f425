package services

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A process may leave its group, by setsid(2), and outlive its parent. There
// are no cgroups in a rented container to find it by. But it is then our child,
// as PID 1 or as subreaper, and it carries the INVOCATION_ID of its service in
// its environment, unless it has overwritten that.

// owner is what is known of an adopted child.
type owner struct {
	id      string // its INVOCATION_ID
	known   bool
	asked   int // how often it seemed to have no environment
	since   time.Time
	askedAt time.Time
	told    bool // has been sent KillSignal
}

// How often an environment is read before it is taken for empty, the pause, and how
// long an execve(2) may take.
const (
	mostReadings = 5
	readAgain    = 10 * time.Millisecond
	longestExec  = 30 * time.Second
)

// strays returns the adopted children that belong to a run of the service.
// perhaps is true where that is not certain of some. They are asked again soon.
func (s *Supervisor) strays(r *record) (list []int, perhaps bool) {
	if r.invocation == "" {
		return nil, false
	}
	for _, pid := range s.adopted() {
		switch id, certain := s.identify(pid); {
		case !certain:
			perhaps = true
		case id == r.invocation:
			list = append(list, pid)
		}
	}
	return list, perhaps
}

// identify returns the INVOCATION_ID of an adopted child, or "". It is not certain in
// the middle of an execve(2), where a process has no environment, and no arguments
// either; checkRemains is then called again soon.
func (s *Supervisor) identify(pid int) (id string, certain bool) {
	o := s.owners[pid]
	if now := time.Now(); !o.known && now.Sub(o.askedAt) >= readAgain/2 {
		var certain bool
		if o.id, certain = s.readID(pid); certain {
			o.asked++
		}
		if o.askedAt = now; o.since.IsZero() {
			o.since = now
		}
		o.known = o.id != "" || o.asked >= mostReadings || now.Sub(o.since) > longestExec
		s.owners[pid] = o
	}
	if !o.known {
		s.askAt = o.askedAt.Add(readAgain)
	}
	return o.id, o.known
}

// identifyAny is identify for any process.
func (s *Supervisor) identifyAny(pid int) (id string, certain bool) {
	if slices.Contains(s.adopted(), pid) {
		return s.identify(pid)
	}
	if id, certain = s.readID(pid); !certain { // kept nowhere: nobody tells us when its number is another's
		s.askAt = time.Now().Add(readAgain)
	}
	return id, certain
}

// readID reads an INVOCATION_ID, and again where an execve(2) may just have ended.
func (s *Supervisor) readID(pid int) (id string, certain bool) {
	if id, certain = s.invocationOf(pid); !certain && !executing(pid) {
		id, _ = s.invocationOf(pid)
		return id, true
	}
	return id, certain
}

// executing says whether a process seems to be in the middle of an execve(2): it lives and has
// no arguments, which everybody may read.
func executing(pid int) bool {
	b, err := readProc(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(b) > 0 {
		return false
	}
	f := statOf(pid)
	return f != nil && f[0] != "Z" && f[0] != "X"
}

// tellStrays sends KillSignal to strays that have not been told: as long as their
// parent lived they were not ours to see.
func (s *Supervisor) tellStrays(r *record, sig syscall.Signal) {
	list, _ := s.strays(r)
	for _, pid := range list {
		o := s.owners[pid]
		if o.told {
			continue
		}
		o.told = true
		s.owners[pid] = o
		signalTree(pid, sig)
		signalTree(pid, unix.SIGCONT)
	}
}

// adopted lists our children that are no service's main process or command. It
// is read once a pass: nothing is adopted but by an end that the reaper sees.
func (s *Supervisor) adopted() []int {
	if s.adoptedNow {
		return s.children
	}
	s.adoptedNow = true
	s.children = s.children[:0]
	for _, pid := range childrenOf(os.Getpid(), os.Getpid()) {
		if s.pids[pid] == nil {
			s.children = append(s.children, pid)
		}
	}
	return s.children
}

// childrenOf reads the children of one thread; none where the kernel does not
// tell (CONFIG_PROC_CHILDREN) or there is no /proc.
func childrenOf(pid, tid int) []int {
	b, err := readProc(fmt.Sprintf("/proc/%d/task/%d/children", pid, tid))
	if err != nil {
		return nil
	}
	var list []int
	for _, word := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// signalTree signals a process and all that descend from it.
func signalTree(pid int, sig syscall.Signal) {
	for _, child := range slices.Backward(descendants(pid)) {
		_ = unix.Kill(child, sig)
	}
	_ = unix.Kill(pid, sig)
}

// descendants lists what descends from a process, parents first.
func descendants(pid int) (list []int) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // it may be gone
	for _, t := range threads {
		tid, _ := strconv.Atoi(t.Name())
		for _, child := range childrenOf(pid, tid) {
			list = append(append(list, child), descendants(child)...)
		}
	}
	return list
}

const invocationName = "INVOCATION_ID"

// invocationOf reads the INVOCATION_ID of a process, or ""; ok is false where its
// environment is empty. The kernel shows an
// environment to the process's own user, and to others with CAP_SYS_PTRACE,
// which a rented container's root does not have: the main thread takes that user
// on for the moment of the reading.
func invocationOf(pid int) (id string, ok bool) {
	path := fmt.Sprintf("/proc/%d/environ", pid)
	b, err := readProc(path)
	if err != nil {
		var st unix.Stat_t
		if unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) != nil || os.Geteuid() != 0 || st.Uid == 0 {
			return "", true
		}
		b = readAs(path, int(st.Uid), int(st.Gid))
	}
	for entry := range bytes.SplitSeq(b, []byte{0}) {
		if value, ok := bytes.CutPrefix(entry, []byte(invocationName+"=")); ok {
			return string(value), true
		}
	}
	return "", len(b) > 0
}

// readAs reads a file with another file-system user on this thread alone, which
// is locked: x/sys changes only the thread that calls.
func readAs(path string, uid, gid int) []byte {
	egid, euid := os.Getegid(), os.Geteuid()
	if _, err := unix.SetfsgidRetGid(gid); err != nil {
		return nil
	}
	_, _ = unix.SetfsuidRetUid(uid) // where it is refused the read below is too
	b, _ := readProc(path)
	_, _ = unix.SetfsuidRetUid(euid)
	_, _ = unix.SetfsgidRetGid(egid)
	// The kernel takes a change of user for a reason to hide this process from
	// its own; nothing secret is in it that they could not read elsewhere.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	return b
}

// belongs says whether a process is one of the service's: by its group, by its
// INVOCATION_ID, or by a parent that is. perhaps is true where it is not, but may
// turn out to be; see identify.
func (s *Supervisor) belongs(r *record, pid int) (yes, perhaps bool) {
	for range 64 { // generations; a circle cannot be, but a race may look like one
		if pid <= 1 || pid == os.Getpid() {
			return false, perhaps
		}
		if pgid, err := unix.Getpgid(pid); pid == r.pid || err == nil && slices.Contains(r.groups, pgid) {
			return true, false
		}
		id, certain := s.identifyAny(pid)
		if id != "" && id == r.invocation {
			return true, false
		}
		perhaps = perhaps || !certain
		pid = parentOf(pid)
	}
	return false, perhaps
}

// unclaimed says whether a process is an adopted child that nothing ties to a
// service. nginx and PostgreSQL are such: the daemon leaves its group, and writes
// its title over its environment.
func (s *Supervisor) unclaimed(pid int) bool {
	if s.pids[pid] != nil || parentOf(pid) != os.Getpid() {
		return false
	}
	pgid, err := unix.Getpgid(pid)
	if err != nil {
		return false
	}
	id, certain := s.identifyAny(pid)
	return certain && !slices.ContainsFunc(s.order, func(r *record) bool {
		return id != "" && id == r.invocation || slices.Contains(r.groups, pgid)
	})
}

// parentOf reads the parent of a process, or 0.
func parentOf(pid int) int {
	if f := statOf(pid); f != nil {
		n, _ := strconv.Atoi(f[1])
		return n
	}
	return 0
}

// isHalted says whether a process was stopped by a signal, or may have been.
func isHalted(pid int) bool {
	f := statOf(pid)
	return f == nil || f[0] == "T" || f[0] == "t"
}

// statOf reads what /proc/PID/stat has behind the name: the state, the parent and so on.
func statOf(pid int) []string {
	b, err := readProc(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	// The name, in parentheses, may hold anything.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 2 {
		return nil
	}
	return f
}
