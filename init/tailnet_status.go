package boot

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
)

// tailnetStatus is what the tailnet's program said last, or why none runs that could say
// anything; nil where no tailnet is wanted.
func (c *Container) tailnetStatus(list []services.Status) *wire.Status {
	for _, s := range list {
		if s.Name != tailnetName || !c.wantsTailnet() {
			continue
		}
		switch s.State {
		case services.Ready:
			if st, err := c.readTailnet(); err == nil {
				return &st
			}
			return &wire.Status{State: wire.Starting, Since: s.Since}
		case services.Starting:
			return &wire.Status{State: wire.Starting, Text: s.Note, Since: s.Since}
		case services.Backoff, services.Failed:
			return &wire.Status{State: wire.Failed, Text: s.Note, Cure: "init logs " + tailnetName + " says more", Since: s.Since}
		}
		return &wire.Status{State: wire.Stopped, Text: s.Note, Cure: "init start " + tailnetName, Since: s.Since}
	}
	return nil
}

// readTailnet reads the status that the program keeps in a file.
func (c *Container) readTailnet() (st wire.Status, err error) {
	dir, err := c.runDir()
	if err != nil {
		return st, err
	}
	b, err := os.ReadFile(filepath.Join(dir, wire.StatusFile))
	if err != nil {
		return st, fmt.Errorf("reading the status of the tailnet: %w", err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, fmt.Errorf("reading the status of the tailnet: %w", err)
	}
	return st, nil
}

// tailnetFault is what keeps a box from being ready that has to be in its tailnet.
func tailnetFault(st *wire.Status, mode string) string {
	if mode != TailnetRequire || st != nil && st.State == wire.Running {
		return ""
	}
	if st == nil {
		return "tailnet: absent"
	}
	return strings.TrimSuffix(fmt.Sprintf("tailnet: %s, %s", st.State, st.Reason), ", ")
}

// describeTailnet is the status in one line.
func describeTailnet(st wire.Status) string {
	head := string(st.State)
	if st.Reason != "" {
		head += " (" + string(st.Reason) + ")"
	}
	var parts []string
	add := func(text string) {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			parts = append(parts, text)
		}
	}
	if st.State == wire.Running || st.State == wire.Degraded {
		add(strings.Join(append([]string{st.Name}, st.Addresses...), " "))
		add(st.Mode)
	}
	add(st.Text)
	if st.LoginURL != "" {
		add("to let this box in, open " + st.LoginURL)
	} else {
		add(st.Cure)
	}
	return join(head, strings.Join(parts, ", "))
}

// TailnetText is all of the status, for a person.
func TailnetText(st wire.Status) string {
	var b strings.Builder
	line := func(key, text string) {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			fmt.Fprintf(&b, "%-12s %s\n", key+":", text)
		}
	}
	line("state", strings.TrimSuffix(fmt.Sprintf("%s (%s)", st.State, st.Reason), " ()"))
	line("reason", st.Text)
	line("cure", st.Cure)
	line("login", st.LoginURL)
	line("name", st.Name)
	line("addresses", strings.Join(st.Addresses, " "))
	line("mode", st.Mode)
	line("", st.ModeText)
	line("proxy", st.Proxy)
	if st.SSH {
		line("ssh", "Tailscale's own, on port 22 of the tailnet")
	}
	line("transparent", st.Transparent)
	if !st.KeyExpiry.IsZero() {
		line("key expires", st.KeyExpiry.UTC().Format("2006-01-02 15:04 UTC"))
	}
	for _, w := range st.Warnings {
		line("warning", w)
	}
	return b.String()
}
