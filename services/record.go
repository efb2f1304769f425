package services

import (
	"context"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// record is one service and where it stands.
type record struct {
	Service
	edges
	state State
	since time.Time
	note  string
	said  string // the latest STATUS= of its process
	plain string // why its network calls are not asked about, although Tailnet is set

	pid        int   // of its main process; 0: none
	groups     []int // the process groups that it has made
	invocation string
	told       <-chan error // by the shim: why it could not execute the program, or nil
	lingers    bool         // its main process ended, others of it did not
	started    bool         // has been ready in this run
	waits      bool         // to be started as soon as what it is After allows
	toStop     bool         // to be stopped as soon as what is behind it has
	again      bool         // to be started again once it has stopped
	orphaned   bool         // failed since a service that it requires did; starts when that one works
	ending     bool         // its main process is gone; what is left and ExecStopPost are not
	stopped    bool         // ExecStopPost has been run
	adopted    bool         // of type forking: its daemon has been found
	distant    bool         // its main process is not our child, so that no signal tells its end
	claimed    int          // the main process that it has named, and that may turn out to be its own
	claimedAt  time.Time
	asked      int // how many goroutines still put the questions of its probes by a command
	exit       Exit
	job        *job   // the command of it that runs now, beside the main process or before it
	resume     func() // what to try again at spawnAt, since the kernel had no room for a process
	spawnAt    time.Time
	begun      time.Time // of this start
	readyAt    time.Time
	deadline   time.Time    // when evTimeout is due; zero: never
	watchdogAt time.Time    // when WATCHDOG=1 is due; zero: never
	watchdog   Duration     // of this run: WatchdogSec, or WATCHDOG_USEC
	access     NotifyAccess // of this run: NotifyAccess, or NOTIFYACCESS
	reloads    bool         // a reload is under way
	reloading  bool         // and READY=1 ends it
	reloadedBy string       // the service that it was propagated from
	// reloadFailure is why the latest reload failed; empty where it did not.
	reloadFailure string

	command  int         // of several in ExecStart: the one that runs
	gone     bool        // it has been removed, and is forgotten when it has ended
	replaced *Service    // the definition for its next start
	failures int         // ends in a row, for the back-off
	restarts int         // since somebody started it
	starts   []time.Time // for the start limit

	pipe    *pipe
	notify  *notifySocket
	sockets *listeners
	store   []storedFile
	given   []string           // variables that tell it its directories and credentials
	watch   context.CancelFunc // ends the probes and whatever else watches this run
}

// job is a command of a service that is not its main process.
type job struct {
	field   string
	list    Commands
	pid     int
	then    func(Exit)
	abandon bool // its end is waited for and changes nothing more
}

// leftBehind says whether the service's groups have members, or processes that
// left these are still there, or may appear as the command of a probe ends.
func (s *Supervisor) leftBehind(r *record) bool {
	if r.KillMode == KillProcess || r.KillMode == KillNone || r.Foreground {
		return false
	}
	r.forgetGroups()
	list, perhaps := s.strays(r)
	return len(r.groups) > 0 || len(list) > 0 || perhaps || r.asked > 0
}

// forgetGroups drops the numbers of groups that have no members any more: the
// kernel may give them to others, which must never get our signals.
func (r *record) forgetGroups() {
	r.groups = slices.DeleteFunc(r.groups, func(pgid int) bool { return !groupAlive(pgid) })
}

// groupAlive is true while a process group has members. The kernel does not
// reuse its number before that.
func groupAlive(pgid int) bool { return unix.Kill(-pgid, 0) != unix.ESRCH }

// signalTo sends sig to the main process, or with all to everything of the
// service. ESRCH is no error: the end is on its way to us.
func (s *Supervisor) signalTo(r *record, sig syscall.Signal, all bool) {
	if r.pid != 0 && (!all || !slices.Contains(r.groups, r.pid)) {
		_ = unix.Kill(r.pid, sig)
	}
	if !all {
		return
	}
	for _, pgid := range r.groups {
		_ = unix.Kill(-pgid, sig)
	}
	list, _ := s.strays(r)
	for _, pid := range list {
		o := s.owners[pid]
		o.told = true
		s.owners[pid] = o
		signalTree(pid, sig)
	}
}

// stands is true for what a stop has to undo: a service that runs, or is about
// to, or whose end left something that counts as running.
func (r *record) stands() bool { return r.active() || r.state == Done && r.RemainAfterExit }

// active is true for a service that runs, or is about to.
func (r *record) active() bool {
	return r.state == Starting || r.state == Ready || r.state == Stopping || r.state == Backoff
}

// stopWatching ends the probes of this run.
func (r *record) stopWatching() {
	if r.watch != nil {
		r.watch()
		r.watch = nil
	}
	r.watchdogAt = time.Time{}
	if r.pipe != nil {
		r.pipe.watch("", nil)
	}
}

// storedFile is a descriptor that a service left with us for its next run.
type storedFile struct {
	name string
	file *os.File
}
