package tailnet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Our part of /etc/hosts is between these lines.
const (
	hostsBegin = "# BEGIN nix2vast tailnet: init writes these lines, and takes them away again"
	hostsEnd   = "# END nix2vast tailnet"
)

// acceptsNames says whether programs of the box are to find the tailnet's machines by
// name. They are unless somebody says otherwise.
func (n *node) acceptsNames() bool { return n.Config.AcceptDNS == nil || *n.Config.AcceptDNS }

// renamed brings /etc/hosts up to date.
func (n *node) renamed() {
	var list []entry
	if n.acceptsNames() {
		list = n.names.list()
	}
	if err := writeHosts(filepath.Join(n.Root, "etc/hosts"), list); err != nil {
		n.status.warn(fmt.Sprintf("the tailnet's names are not known to programs: %v", err))
	}
}

// hideNames takes the tailnet's names from programs.
func (n *node) hideNames() {
	if err := writeHosts(filepath.Join(n.Root, "etc/hosts"), nil); err != nil {
		n.Log.Warn("the tailnet's names are still known to programs", zap.Error(err))
	}
}

// writeHosts replaces our part of a file of hosts. The file is written where it is: in a
// container it is a mount of its own, and cannot be renamed over. A name that stands
// elsewhere in the file keeps its meaning. No entries: our part is taken away.
func writeHosts(path string, list []entry) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && len(list) == 0 {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the hosts: %w", err)
	}
	theirs := cutHosts(string(old))
	text := []byte(theirs + hostsBlock(list, hostNames(theirs)))
	if bytes.Equal(old, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing the hosts: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("writing the hosts: %w", err)
	}
	defer f.Close()
	// Written before it is cut, so that a reader finds the lines before ours at any time.
	if _, err := f.WriteAt(text, 0); err != nil {
		return fmt.Errorf("writing the hosts: %w", err)
	}
	if err := f.Truncate(int64(len(text))); err != nil {
		return fmt.Errorf("writing the hosts: %w", err)
	}
	return nil
}

// cutHosts is a file of hosts without our part. A part without an end, which a full disk
// leaves, goes to the end of the file: it is always the last.
func cutHosts(text string) string {
	before, rest, found := strings.Cut(text, hostsBegin+"\n")
	if !found {
		return text
	}
	_, after, _ := strings.Cut(rest, hostsEnd+"\n")
	return before + after
}

// hostNames are the names that a file of hosts has.
func hostNames(text string) []string {
	var list []string
	for l := range strings.Lines(text) {
		l, _, _ = strings.Cut(l, "#")
		if fields := strings.Fields(strings.ToLower(l)); len(fields) > 1 {
			list = append(list, fields[1:]...)
		}
	}
	return list
}

// hostsBlock is our part: each machine by its full name and by the first part of it.
func hostsBlock(list []entry, taken []string) string {
	var b strings.Builder
	for _, e := range list {
		names := slices.DeleteFunc([]string{e.full, e.short}, func(name string) bool {
			return name == "" || name == "localhost" || slices.Contains(taken, name)
		})
		if len(names) == 0 {
			continue
		}
		addrs := slices.Clone(e.addrs)
		slices.SortFunc(addrs, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
		for _, a := range addrs {
			fmt.Fprintf(&b, "%s\t%s\n", a, strings.Join(names, " "))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return hostsBegin + "\n" + b.String() + hostsEnd + "\n"
}
