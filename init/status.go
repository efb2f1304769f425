package boot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fleek-platform/nix2vast/gpu"
	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
)

// Phase is the state of the whole container.
type Phase string

// The phases, from the first to the last.
const (
	Booting  Phase = "booting"
	Ready    Phase = "ready"
	Degraded Phase = "degraded" // a step, a service or the GPU is not as it should be
	Stopping Phase = "stopping"
)

// ExitCode is what `init status` ends with; 3 stands for no init at all.
func (p Phase) ExitCode() int {
	switch p {
	case Ready:
		return 0
	case Booting:
		return 2
	}
	return 1
}

// Status is what `init status --json` prints.
type Status struct {
	Phase    Phase             `json:"phase"`
	Version  string            `json:"version"`
	Host     string            `json:"host"`
	Since    time.Time         `json:"since"`             // when init was started
	Took     time.Duration     `json:"took_ns,omitempty"` // from there to ready
	Steps    []StepStatus      `json:"steps"`
	Services []services.Status `json:"services"`
	SSH      SSHStatus         `json:"ssh"`
	GPU      *gpu.Report       `json:"gpu,omitempty"`     // absent while it is not known, or off
	Tailnet  *wire.Status      `json:"tailnet,omitempty"` // absent where none is wanted
	Problems []string          `json:"problems,omitempty"`
	Orphans  int               `json:"orphans_reaped"`

	background []string // the services that nobody waits for, and that make nothing degraded
	required   string   // Settings.Tailnet.Mode
}

// waitsFor says whether the box is not ready before a service is.
func (st Status) waitsFor(s services.Status) bool { return !slices.Contains(st.background, s.Name) }

// ofBoot says whether a service that starts is a boot that goes on.
func (st Status) ofBoot(s services.Status) bool { return st.waitsFor(s) && s.Name != hookPostReady }

// SSHStatus says who can log in, and how.
type SSHStatus struct {
	State    string `json:"state"` // ready, or why there is no login
	Reason   string `json:"reason,omitempty"`
	Keys     int    `json:"keys"`
	Password bool   `json:"password"`
	Login    string `json:"login,omitempty"` // the command, where the host's address is known
}

// status puts together what is known now. changed is closed when it is out of date.
func (c *Container) status(ctx context.Context) (Status, []<-chan struct{}, error) {
	snap, err := c.Supervisor.Snapshot(ctx)
	if err != nil {
		return Status{}, nil, err
	}
	p := c.Progress
	p.mu.Lock()
	defer p.mu.Unlock()
	st := Status{
		Version: c.Version, Host: c.Settings.Host, Since: p.began,
		Steps: slices.Clone(p.steps), Services: snap.Services, Problems: p.problems, Orphans: snap.Orphans,
	}
	if c.Settings.GPU != GPUOff {
		if r, err := ReadGPU(c.Root); err == nil {
			st.GPU = &r
		}
	}
	if c.Config.NixStore != "" {
		st.background = append(st.background, nixName)
	}
	if st.Tailnet = c.tailnetStatus(snap.Services); st.Tailnet != nil {
		st.background = append(st.background, tailnetName)
	}
	st.required = c.Settings.Tailnet.Mode
	st.SSH = c.sshStatus(snap.Services, p)
	st.Phase = phase(st, p.over, snap.Ending, c.Settings.GPU)
	if i := slices.IndexFunc(st.Services, unstartedHook); i >= 0 && st.Phase == Booting {
		st.Services[i].Note = "waits for the box to be ready"
	}
	if st.Phase == Ready {
		if p.took == 0 { // a service that is restarted later does not make the boot longer
			p.took = readyAfter(st)
		}
		st.Took = p.took
	}
	return st, []<-chan struct{}{snap.Changed, p.changed}, nil
}

// phase judges the whole. A service that starts for the first time belongs to
// the boot; one that starts again is a fault until it is ready.
func phase(st Status, over, ending bool, mode string) Phase {
	if ending {
		return Stopping
	}
	states := map[string]services.State{}
	for _, s := range st.Services {
		states[s.Name] = s.State
	}
	for _, s := range st.Services {
		// What waits for a service that does not work is no boot that goes on.
		stuck := states[s.WaitsFor] == services.Backoff || states[s.WaitsFor] == services.Failed
		if st.ofBoot(s) && s.State == services.Starting && s.Restarts == 0 && !(s.WaitsFor != "" && stuck) {
			return Booting
		}
	}
	joining := st.required == TailnetRequire && st.Tailnet != nil && st.Tailnet.State == wire.Starting && st.Tailnet.Reason == ""
	switch {
	case !over, joining:
		return Booting
	case len(st.faults(mode)) == 0:
		return Ready
	}
	return Degraded
}

// faults names what keeps the container from being ready.
func (st Status) faults(mode string) []string {
	var list []string
	for _, s := range st.Steps {
		if !s.OK {
			list = append(list, "step "+s.Name+" failed")
		}
	}
	for _, s := range st.Services {
		if !st.waitsFor(s) {
			continue
		}
		if s.State == services.Backoff || s.State == services.Failed || s.State == services.Starting && s.Restarts > 0 {
			list = append(list, "service "+s.Name+" is in "+s.State.String())
		}
	}
	if mode != GPUOff && st.GPU != nil && !gpuGood(st.GPU.State, mode) {
		list = append(list, "gpu: "+string(st.GPU.State))
	}
	if fault := tailnetFault(st.Tailnet, st.required); fault != "" {
		list = append(list, fault)
	}
	return list
}

// readyAfter is the time from the start of init to the last service's ready.
func readyAfter(st Status) time.Duration {
	last := st.Since
	for _, s := range st.Services {
		if st.ofBoot(s) && s.Since.After(last) {
			last = s.Since
		}
	}
	return last.Sub(st.Since)
}

func (c *Container) sshStatus(list []services.Status, p *Progress) SSHStatus {
	st := SSHStatus{Keys: p.keys, Password: p.password}
	if err := c.sshdProblem(); err != nil {
		st.State, st.Reason = "off", err.Error()
		return st
	}
	for _, s := range list {
		if s.Name == sshdName {
			st.State, st.Reason = s.State.String(), s.Note
		}
	}
	switch {
	case st.State == "":
		st.State = "booting"
	case p.keys == 0 && !p.password:
		st.State, st.Reason = "no credentials", noCredentials
		if c.Settings.hasCredentials() && p.failed(accountsName, sshKeysName) {
			st.Reason = notApplied
		}
	case c.Settings.LoginHost != "":
		st.Login = fmt.Sprintf("ssh -p %s root@%s", c.Settings.LoginPort, c.Settings.LoginHost)
	}
	return st
}

// noCredentials is the cure where nobody could log in; sshd then listens on
// loopback alone.
const noCredentials = "set SSH_PUBLIC_KEYS (or SSH_PUBLIC_KEY, PUBLIC_KEY, SSH_PUBKEY, AUTHORIZED_KEYS) or ROOT_PASSWORD; until then sshd listens on 127.0.0.1 only"

// notApplied is the reason where there were some.
const notApplied = "the keys or the password that were set could not be written: see the steps " + accountsName + " and " + sshKeysName

// WriteText prints the status for a person, in lines of at most width columns; 0
// is no limit.
func (st Status) WriteText(w io.Writer, width int) error {
	head := fmt.Sprintf("%s, started %s ago on %s", st.Phase, age(st.Since), st.Host)
	if st.Took > 0 {
		head += fmt.Sprintf(", ready after %v", services.Round(st.Took))
	}
	var table bytes.Buffer
	fmt.Fprintln(&table, head)
	t := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nSTEP\tTOOK\tNOTE")
	for _, s := range st.Steps {
		note := s.Note
		if !s.OK {
			note = "failed: " + s.Error
		}
		fmt.Fprintf(t, "%s\t%v\t%s\n", s.Name, services.Round(s.Took), note)
	}
	fmt.Fprintln(t, "\nSERVICE\tSTATE\tSINCE\tPID\tRESTARTS\tNOTE")
	for _, s := range st.Services {
		pid := "-"
		if s.Pid != 0 {
			pid = fmt.Sprint(s.Pid)
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\t%d\t%s\n", s.Name, s.State, age(s.Since), pid, s.Restarts, noteOf(s))
	}
	fmt.Fprintln(t)
	fmt.Fprintf(t, "ssh:\t%s\n", st.SSH)
	if st.GPU != nil {
		fmt.Fprintf(t, "gpu:\t%s\n", describeGPU(*st.GPU))
	}
	if st.Tailnet != nil {
		fmt.Fprintf(t, "tailnet:\t%s\n", describeTailnet(*st.Tailnet))
	}
	for _, p := range st.Problems {
		fmt.Fprintf(t, "problem:\t%s\n", p)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeLines(w, table.String(), width)
}

// Changed lists what differs from an earlier status, the zero one for none, a line each.
func (st Status) Changed(last Status) (lines []string) {
	if st.Phase != last.Phase {
		lines = append(lines, "init: "+string(st.Phase))
	}
	before := map[string]services.Status{}
	for _, s := range last.Services {
		before[s.Name] = s
	}
	for _, s := range st.Services {
		old, ok := before[s.Name]
		delete(before, s.Name)
		if !ok || s.State != old.State || s.Restarts != old.Restarts || noteOf(s) != noteOf(old) {
			lines = append(lines, join(s.Name+": "+s.State.String(), noteOf(s)))
		}
	}
	for _, s := range last.Services {
		if _, gone := before[s.Name]; gone {
			lines = append(lines, s.Name+": removed")
		}
	}
	return lines
}

// writeLines writes the lines of text without blanks at their ends, each cut to width.
func writeLines(w io.Writer, text string, width int) error {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if runes := []rune(line); width > 1 && len(runes) > width {
			line = string(runes[:width-1]) + "…"
		}
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func age(since time.Time) time.Duration {
	return services.Round(time.Since(since).Truncate(time.Second))
}

// noteOf is init's note on a service, else what the service says of itself.
func noteOf(s services.Status) string {
	switch {
	case s.Note != "":
		return s.Note
	case strings.HasPrefix(s.Tailnet, "not "):
		return s.Tailnet
	case s.Text != "":
		return s.Text
	case s.Disabled && s.State == services.Stopped:
		return "disabled"
	}
	return ""
}

func (s SSHStatus) String() string {
	if s.State != services.Ready.String() {
		return join(s.State, s.Reason)
	}
	text := fmt.Sprintf("ready, %d key(s)", s.Keys)
	if s.Password {
		text += ", password"
	}
	if s.Login != "" {
		text += ": " + s.Login
	}
	return text
}
