package boot

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// detailLines is how much of a service's log is shown below its state.
const detailLines = 10

// writeDetails prints all that is known of services, each with the end of its log.
func (ctl control) writeDetails(ctx context.Context, w io.Writer, list []services.Status) error {
	processes, err := readProcesses(ctl.Root)
	if err != nil {
		return err
	}
	snap, err := ctl.Supervisor.Snapshot(ctx)
	if err != nil {
		return err
	}
	used := map[string]Usage{}
	for _, u := range usage(snap.Services, nil, processes, time.Second, 0) {
		used[u.Name] = u
	}
	var text strings.Builder
	for i, s := range list {
		if i > 0 {
			text.WriteString("\n")
		}
		svc, err := ctl.Supervisor.Definition(ctx, s.Name)
		if err != nil {
			svc = services.Service{Name: s.Name} // a unit that nobody started yet
		}
		writeDetail(&text, s, svc, unitfile.State(ctl.Root, s.Name), used[s.Name])
		lines, _, _ := ctl.Journal.Lines(s.Name, 0, time.Time{}, detailLines)
		if len(lines) > 0 {
			text.WriteString("\n")
		}
		for _, line := range lines {
			text.WriteString(line.String() + "\n")
		}
	}
	_, _ = io.WriteString(w, text.String()) // a client that has gone needs no answer
	return nil
}

func writeDetail(b *strings.Builder, s services.Status, svc services.Service, fileState string, used Usage) {
	fmt.Fprintln(b, strings.TrimSuffix(s.Name+" - "+s.Description, " - "))
	line := func(key, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(b, "%10s: %s\n", key, text)
		}
	}
	from := source(s)
	if installed(fileState) && (s.Source == "" || isUnitFile(s.Source)) {
		from = strings.TrimPrefix(s.Source+" ("+fileState+")", " ")
	} else if s.Disabled {
		from += " (disabled)"
	}
	line("Defined", "%s", from)
	line("State", "%s since %s, %v ago", s.State, s.Since.UTC().Format(time.DateTime+" UTC"), age(s.Since))
	line("Note", "%s", s.Note)
	line("Says", "%s", s.Text)
	if s.Type != "" && s.Type != services.Simple {
		line("Type", "%s", s.Type)
	}
	if s.Pid != 0 {
		line("Main PID", "%d", s.Pid)
	}
	if s.Restarts > 0 {
		line("Restarts", "%d", s.Restarts)
	}
	if used.Processes > 0 {
		line("Uses", "%d processes, %d threads, %s of memory, %v of processor", used.Processes, used.Threads, Bytes(used.Memory), services.Round(used.CPU))
	}
	line("No effect", "%s", strings.Join(svc.Unapplied, ", "))
}

// Bytes is a size for a person: three digits and a unit.
func Bytes(n int64) string {
	size, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for size >= 999.5 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	switch {
	case unit == 0 || size >= 99.95:
		return fmt.Sprintf("%.0f %s", size, units[unit])
	case size >= 9.995:
		return fmt.Sprintf("%.1f %s", size, units[unit])
	}
	return fmt.Sprintf("%.2f %s", size, units[unit])
}
