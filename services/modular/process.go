package modular

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/internal/tree"
)

func (r *reader) readProcess(svc *services.Service) tree.Setter {
	return func(n *tree.Node, at string) {
		var argv []string
		var reload, signal string
		r.Map(n, at, tree.Fields{
			"argv": r.Texts(&argv),
			"environment": r.Environment(&svc.Environment, func(name string) {
				svc.UnsetEnvironment = append(svc.UnsetEnvironment, name)
			}),
			"reloadCommand": r.Text(&reload),
			"reloadSignal":  r.readSignal(&signal),
			// argv has them already.
			"flags": ignored, "flagFormat": ignored,
		})
		if len(argv) > 0 {
			svc.ExecStart = services.Argv(argv...)
		}
		if reload != "" {
			svc.ExecReload = r.command(n, at+".reloadCommand", svc.Name, reload)
		} else if signal != "" {
			svc.ExecReload = services.Commands{{Argv: []string{"/bin/sh", "-c", "kill -s " + strings.TrimPrefix(signal, "SIG") + " \"$MAINPID\""}}}
		}
	}
}

func (r *reader) readSignal(to *string) tree.Setter {
	return func(n *tree.Node, at string) {
		text, ok := r.Value(n, at)
		if !ok {
			return
		}
		name := "SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")
		if unix.SignalNum(name) == 0 {
			r.Add(n, "%s is %q; it must be a signal such as HUP", at, tree.Shorten(text))
			return
		}
		*to = name
	}
}

// readNotification reads [], ["systemd"], {"systemd": true, "s6": false} or "systemd": the
// option has had these forms.
func (r *reader) readNotification(svc *services.Service) tree.Setter {
	use := func(n *tree.Node, at, protocol string) {
		switch protocol {
		case "systemd":
			svc.Type = services.Notify
		case "s6":
			if svc.Type == "" {
				svc.Type = services.Notify
			}
			svc.NotificationFd = 3
		case "none":
		default:
			r.Add(n, "%s: %q is none of systemd, s6", at, tree.Shorten(protocol))
		}
	}
	return func(n *tree.Node, at string) {
		if n.Kind == tree.Map {
			r.Each(n, at, func(name string, _ int, value *tree.Node, at string) {
				var yes bool
				if r.Bool(&yes)(value, at); yes {
					use(value, at, name)
				}
			})
			return
		}
		var list []string
		r.TextOrTexts(&list)(n, at)
		for _, protocol := range list {
			use(n, at, protocol)
		}
	}
}

// own lays the fields of services.Service over what is there.
func (r *reader) own(svc *services.Service, n *tree.Node, at string) {
	if n.Kind != tree.Map {
		r.Map(n, at, nil)
		return
	}
	// Field by field, so that one that is wrong has its line and the others count.
	r.Each(n, at, func(name string, line int, value *tree.Node, at string) {
		if value.Kind == tree.Null {
			return
		}
		b, err := json.Marshal(map[string]any{name: plain(value)})
		if err != nil {
			r.Add(value, "%s: %v", at, err)
			return
		}
		changed := *svc
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		switch err := d.Decode(&changed); {
		case err == nil:
			*svc = changed
		case strings.Contains(err.Error(), "unknown field"):
			r.Problems.Add(line, "%s: %s", at, strings.TrimPrefix(err.Error(), "json: "))
		default:
			r.Problems.Add(line, "%s: %s", at, sentence(err))
		}
	})
}

// sentence takes Go's names out of an error of encoding/json.
func sentence(err error) string {
	text := strings.TrimPrefix(err.Error(), "json: ")
	if kind, _, ok := strings.Cut(strings.TrimPrefix(text, "cannot unmarshal "), " into Go "); ok {
		return fmt.Sprintf("a value of the kind %s does not fit here", kind)
	}
	return text
}

// plain is a node as encoding/json would have decoded it.
func plain(n *tree.Node) any {
	switch n.Kind {
	case tree.Bool:
		return n.Text == "true"
	case tree.Number:
		return json.Number(n.Text)
	case tree.Text:
		return n.Text
	case tree.List:
		list := []any{}
		for _, item := range n.Items {
			list = append(list, plain(item))
		}
		return list
	case tree.Map:
		m := map[string]any{}
		for _, pair := range n.Pairs {
			m[pair.Key] = plain(pair.Value)
		}
		return m
	}
	return nil
}
