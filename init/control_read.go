package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// phaseHeader tells a client its exit code without reading the body.
const phaseHeader = "Init-Phase"

// getStatus answers with the Status: as JSON, or with text=1 for a person, at
// most width columns wide; of all or of the services named; at once, with
// wait=30s once boot is over, or with watch=1 at each change.
func (ctl control) getStatus(ctx context.Context, c call) error {
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return err
	}
	var until <-chan time.Time
	if wait := c.query.Get("wait"); wait != "" {
		span, err := time.ParseDuration(wait)
		if err != nil {
			return badRequest(fmt.Sprintf("wait=%s is not a time span such as 30s", wait))
		}
		timer := time.NewTimer(span)
		defer timer.Stop()
		until = timer.C
	}
	if c.query.Get("watch") != "" {
		return ctl.watch(ctx, c, names)
	}
	for {
		st, changed, err := ctl.status(ctx)
		if err == nil {
			err = st.only(ctl.Root, names)
		}
		if err != nil {
			return err
		}
		if until == nil || st.Phase != Booting {
			return ctl.writeStatus(ctx, c, st, len(names) > 0)
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-until:
			until = nil
		case <-ctx.Done():
			return nil
		}
	}
}

func (ctl control) writeStatus(ctx context.Context, c call, st Status, named bool) error {
	c.w.Header().Set(phaseHeader, string(st.Phase))
	width, _ := strconv.Atoi(c.query.Get("width")) // 0: no limit
	switch {
	case c.query.Get("text") == "":
		return writeJSON(c.w, st)
	case named:
		return ctl.writeDetails(ctx, c.w, st.Services)
	}
	_ = st.WriteText(c.w, width) // a client that has gone needs no answer
	return nil
}

// watchPause keeps a service that flickers from costing more than it should.
const watchPause = 100 * time.Millisecond

// watch sends the status, one JSON object a line, at each change.
func (ctl control) watch(ctx context.Context, c call, names []string) error {
	c.w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(c.w)
	for {
		st, changed, err := ctl.status(ctx)
		if err == nil {
			err = st.only(ctl.Root, names)
		}
		if err != nil {
			return err
		}
		if enc.Encode(st) != nil {
			return nil
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-ctx.Done():
			return nil
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// only keeps the named services, all for none, and judges the whole by them.
// Units that are installed and were never started count as stopped services.
func (st *Status) only(root string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var list []services.Status
	for _, name := range names {
		i := slices.IndexFunc(st.Services, func(s services.Status) bool { return s.Name == name })
		switch {
		case i >= 0:
			list = append(list, st.Services[i])
		case installed(unitfile.State(root, name)):
			list = append(list, services.Status{Name: name, Since: st.Since, Disabled: true})
		default:
			return &unknownError{name, known(services.Snapshot{Services: st.Services})}
		}
	}
	st.Services = list
	if st.Phase != Stopping {
		st.Phase = phase(Status{Services: list}, true, false, GPUOff)
	}
	return nil
}

// installed says whether a unit file is there, by unitfile.State.
func installed(state string) bool { return state != "" && state != "not-found" }

// getLogs answers with services.Line, one JSON object a line, or with text=1 as
// init prints them: what the named services wrote, or all; the last n lines, those
// since a time, and with follow=1 those to come.
func (ctl control) getLogs(ctx context.Context, c call) error {
	names, err := ctl.serviceNames(ctx, c.query)
	if err != nil {
		return err
	}
	n := 0 // all that is kept
	if text := c.query.Get("n"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			return badRequest(fmt.Sprintf("n=%s is not a number of lines", text))
		}
	}
	since, err := parseSince(c.query.Get("since"), time.Now())
	if err != nil {
		return err
	}
	if c.query.Get("n") == "0" {
		since = time.Now()
	}
	lines, more, err := ctl.lines(ctx, names, 0, since, n)
	if err != nil {
		return err
	}
	write := printLines(c)
	var last uint64
	for {
		if len(lines) > 0 {
			if !write(lines) {
				return nil
			}
			last, since = lines[len(lines)-1].Seq, time.Time{}
		}
		if c.query.Get("follow") == "" {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
		if lines, more, err = ctl.lines(ctx, names, last, since, 0); err != nil {
			return nil
		}
	}
}

// printLines returns what writes lines in the form that was asked for, and says
// whether somebody reads them.
func printLines(c call) func([]services.Line) bool {
	if c.query.Get("text") != "" {
		c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		var buf []byte
		return func(lines []services.Line) bool {
			buf = buf[:0]
			for _, line := range lines {
				buf = append(append(buf, line.String()...), '\n')
			}
			_, err := c.w.Write(buf)
			return err == nil
		}
	}
	c.w.Header().Set("Content-Type", "application/jsonl")
	enc := json.NewEncoder(c.w)
	return func(lines []services.Line) bool {
		for _, line := range lines {
			if enc.Encode(line) != nil {
				return false
			}
		}
		return true
	}
}

// lines is Journal.Lines for any number of services. Each must exist, or have
// written something.
func (ctl control) lines(ctx context.Context, names []string, after uint64, since time.Time, n int) ([]services.Line, <-chan struct{}, error) {
	if len(names) > 1 {
		lines, more, _ := ctl.Journal.Lines("", after, since, 0)
		lines = slices.DeleteFunc(lines, func(l services.Line) bool { return !slices.Contains(names, l.Service) })
		if after == 0 {
			for _, name := range names {
				if _, _, err := ctl.lines(ctx, []string{name}, 0, time.Now(), 1); err != nil {
					return nil, nil, err
				}
			}
		}
		if n > 0 && len(lines) > n {
			lines = lines[len(lines)-n:]
		}
		return lines, more, nil
	}
	name := ""
	if len(names) == 1 {
		name = names[0]
	}
	lines, more, ok := ctl.Journal.Lines(name, after, since, n)
	if !ok && name != "" {
		snap, err := ctl.Supervisor.Snapshot(ctx)
		if err != nil {
			return nil, nil, err
		}
		if all := known(snap); !slices.Contains(all, name) {
			return nil, nil, &unknownError{name, all}
		}
	}
	return lines, more, nil
}

// parseSince reads a point in time: a time span before now, or a time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if span, err := time.ParseDuration(text); err == nil {
		return now.Add(-span.Abs()), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, badRequest(fmt.Sprintf("since=%s is neither a time span such as 10m nor a time such as %s", text, now.UTC().Format(time.RFC3339)))
}
