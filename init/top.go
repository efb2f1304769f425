package boot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

// Usage is what the processes of one service use.
type Usage struct {
	Name      string         `json:"name"` // "init" is this program, "(other)" what belongs to no service
	State     services.State `json:"state"`
	Pid       int            `json:"pid,omitempty"`
	Since     time.Time      `json:"since"`
	Restarts  int            `json:"restarts"`
	Processes int            `json:"processes"`
	Threads   int            `json:"threads"`
	Memory    int64          `json:"memory_bytes"` // resident, pages that are shared counted in each process
	CPU       time.Duration  `json:"cpu_ns"`       // that the processes there are now have used
	CPUTotal  time.Duration  `json:"cpu_total_ns"` // and those that ended, where one of them waited for it
	Percent   float64        `json:"cpu_percent"`  // of one processor, over the span
}

// Top is one sample of all services.
type Top struct {
	Time     time.Time     `json:"time"`
	Span     time.Duration `json:"span_ns"` // that the percentages are over
	Services []Usage       `json:"services"`
}

// Bounds of the time between the two looks of a sample.
const (
	topSpan    = time.Second
	topSpanMin = 10 * time.Millisecond
	topSpanMax = time.Minute
)

// getTop answers with what the services use, measured over span=1s.
func (ctl control) getTop(ctx context.Context, c call) error {
	span := topSpan
	if text := c.query.Get("span"); text != "" {
		var err error
		if span, err = time.ParseDuration(text); err != nil || span < topSpanMin || span > topSpanMax {
			return badRequest(fmt.Sprintf("span=%s is not a time span from %v to %v", text, topSpanMin, topSpanMax))
		}
	}
	before, err := readProcesses(ctl.Root)
	if err != nil {
		return err
	}
	began := time.Now()
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return nil
	}
	now, err := readProcesses(ctl.Root)
	if err != nil {
		return err
	}
	span = time.Since(began)
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	return writeJSON(c.w, Top{Time: time.Now(), Span: span, Services: usage(snap.Services, before, now, span, os.Getpid())})
}

// usage books each process on the service that it belongs to. self is init.
func usage(list []services.Status, before, now map[int]process, span time.Duration, self int) []Usage {
	all := make([]Usage, 0, len(list)+2)
	index := map[int]int{}
	for i, s := range list {
		all = append(all, Usage{Name: s.Name, State: s.State, Pid: s.Pid, Since: s.Since, Restarts: s.Restarts})
		for _, pid := range append(s.Pids, s.Pid) {
			if pid != 0 {
				index[pid] = i
			}
		}
	}
	own, other := len(all), len(all)+1
	all = append(all, Usage{Name: "init", State: services.Ready, Pid: self}, Usage{Name: "(other)", State: services.Ready})
	for pid, p := range now {
		i, ok := owner(pid, now, index)
		if pid == self {
			i = own
		} else if !ok {
			i = other
		}
		u := &all[i]
		u.Processes++
		u.Threads += p.threads
		u.Memory += p.memory
		u.CPU += p.cpu
		u.CPUTotal += p.cpu
		if pid != self { // whose children are the services
			u.CPUTotal += p.waited
		}
		used := p.cpu
		if old, ok := before[pid]; ok && old.start == p.start {
			used -= old.cpu
		}
		u.Percent += 100 * float64(used) / float64(span)
	}
	if all[other].Processes == 0 {
		all = all[:other]
	}
	return all
}

// owner finds the service of a process: that of its process group, of its
// session, or of its parent. There are no cgroups to ask.
func owner(pid int, all map[int]process, index map[int]int) (int, bool) {
	for range 64 { // a circle cannot be, but the table was not read in one moment
		p, ok := all[pid]
		if !ok {
			return 0, false
		}
		for _, id := range []int{pid, p.group, p.session} {
			if i, ok := index[id]; ok {
				return i, true
			}
		}
		pid = p.parent
	}
	return 0, false
}

// process is what is of interest in proc_pid_stat(5).
type process struct {
	parent, group, session, threads int
	cpu                             time.Duration
	waited                          time.Duration // used by children that have ended and been waited for, and theirs
	start                           uint64        // clock ticks after the boot of the machine
	memory                          int64         // resident bytes
}

// clockTick is the unit of times in /proc: USER_HZ, 100 on every architecture that we build for.
const clockTick = time.Second / 100

// readProcesses reads all processes of the container. One that ends meanwhile is left out.
func readProcesses(root string) (map[int]process, error) {
	dir := filepath.Join(root, "proc")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	all := map[int]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name(), "stat"))
		if err != nil {
			continue
		}
		if p, ok := parseStat(b); ok {
			all[pid] = p
		}
	}
	return all, nil
}

// parseStat reads a line of proc_pid_stat(5). The second field is the program's
// name, in which anything may be; zombies are left out.
func parseStat(b []byte) (process, bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return process{}, false
	}
	fields := bytes.Fields(b[end+1:]) // the first of them is the third of the line
	if len(fields) < 22 || fields[0][0] == 'Z' {
		return process{}, false
	}
	number := func(n int) int64 {
		v, err := strconv.ParseInt(string(fields[n-3]), 10, 64)
		if err != nil {
			return 0
		}
		return v
	}
	return process{
		parent: int(number(4)), group: int(number(5)), session: int(number(6)), threads: int(number(20)),
		cpu:    time.Duration(number(14)+number(15)) * clockTick,
		waited: time.Duration(number(16)+number(17)) * clockTick, start: uint64(number(22)),
		memory: number(24) * int64(os.Getpagesize()),
	}, true
}

// WriteText prints a sample for a person, in lines of at most width columns; 0 is
// no limit.
func (t Top) WriteText(w io.Writer, width int) error {
	var table bytes.Buffer
	tw := tabwriter.NewWriter(&table, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "CPU\tMEMORY\tPROCESSES\tTHREADS\tRESTARTS\tPID\tSINCE\t  SERVICE")
	for _, u := range t.Services {
		pid, since := "-", "-"
		if u.Pid != 0 {
			pid = strconv.Itoa(u.Pid)
		}
		if !u.Since.IsZero() {
			since = services.Round(t.Time.Sub(u.Since).Truncate(time.Second)).String()
		}
		name := u.Name
		if u.State != services.Ready {
			name += ": " + u.State.String()
		}
		fmt.Fprintf(tw, "%.1f%%\t%s\t%d\t%d\t%d\t%s\t%s\t  %s\n",
			u.Percent, Bytes(u.Memory), u.Processes, u.Threads, u.Restarts, pid, since, name)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeLines(w, table.String(), width)
}
