package modular

import (
	"strings"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
	"github.com/fleek-platform/nix2vast/services/unitfile"
)

// commands reads one command line or several. An empty one takes away those before it.
func (r *reader) commands(service string, to *services.Commands) tree.Setter {
	return func(n *tree.Node, at string) {
		var list []string
		r.TextOrTexts(&list)(n, at)
		*to = nil
		for _, text := range list {
			if strings.TrimSpace(text) == "" {
				*to = nil
				continue
			}
			*to = append(*to, r.command(n, at, service, text)...)
		}
	}
}

// command reads a command line of systemd.
func (r *reader) command(n *tree.Node, at, service, text string) services.Commands {
	list, warnings, err := unitfile.ParseCommands(service, text)
	for _, warning := range warnings {
		r.Problems.Warn(n.Line, at+": "+warning)
	}
	if err != nil {
		r.Add(n, "%s: %v", at, err)
	}
	return list
}
