package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseUnitCall(t *testing.T) {
	for _, c := range []struct {
		args string
		want unitCall
		err  string
	}{
		{args: "", want: unitCall{}},
		{args: "start web db", want: unitCall{verb: "start", names: []string{"web", "db"}}},
		{args: "--no-block --now enable -q web", want: unitCall{verb: "enable", names: []string{"web"}, noBlock: true, now: true, quiet: true}},
		{args: "show web -pMainPID --property=Id,Type -p SubState --value", want: unitCall{verb: "show", names: []string{"web"}, value: true,
			properties: []string{"MainPID", "Id", "Type", "SubState"}}},
		{args: "show -P Id web", want: unitCall{verb: "show", names: []string{"web"}, value: true, properties: []string{"Id"}}},
		{args: "list-units -al -tservice --state failed,active --no-legend --plain", want: unitCall{verb: "list-units", names: []string{},
			all: true, types: []string{"service"}, states: []string{"failed", "active"}, noLegend: true, plain: true}},
		{args: "status -n 3 --no-pager -- -web", want: unitCall{verb: "status", names: []string{"-web"}, lines: "3"}},
		{args: "kill -s HUP --kill-whom=main web", want: unitCall{verb: "kill", names: []string{"web"}, signal: "HUP"}},
		{args: "stop --quiet=no web", want: unitCall{verb: "stop", names: []string{"web"}}},
		{args: "--user start web", err: "unrecognized option '--user'"},
		{args: "-Z start web", err: "invalid option -- 'Z'"},
		{args: "show -p", err: "option requires an argument -- 'p'"},
		{args: "show --property", err: "option '--property' requires an argument"},
	} {
		got, err := parseUnitCall(strings.Fields(c.args))
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %s", c.args, err, c.err)
			}
			continue
		}
		if c.want.lines == "" {
			c.want.lines = "10"
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v, %v, want\n%+v", c.args, got, err, c.want)
		}
	}
}

func TestUnitName(t *testing.T) {
	for name, want := range map[string]string{
		"web": "web.service", "web.service": "web.service", "multi-user.target": "multi-user.target",
		"a.b": "a.b.service", "getty@tty1": "getty@tty1.service",
	} {
		if got := unitName(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

// Each verb is in the list of the help and has its flags in its usage, which is
// where completion reads them.
func TestEveryVerbHasHelp(t *testing.T) {
	if len(order) != len(verbs) {
		t.Errorf("there are %d verbs, and %d in the help", len(verbs), len(order))
	}
	for _, name := range order {
		if v := verbs[name]; v.run == nil || v.does == "" {
			t.Errorf("%s lacks something: %+v", name, v)
		}
	}
	if got := strings.Join(flagsOf(verbs["status"].usage), " "); got != "--json --wait --watch --help" {
		t.Errorf("the flags of status are %s", got)
	}
}

func TestCandidates(t *testing.T) {
	for line, want := range map[string]string{
		"check --as ": "config process-compose modular unit",
		"completion ": "bash zsh fish",
		"check ":      ":files",
		"logs -n ":    "",
		"frob ":       "",
		"gpu --":      "--json --help",
		"frob -":      "--help",
	} {
		words := strings.Split(line, " ")
		if got := strings.Join(candidates(words), " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := candidates([]string{""}); len(got) != len(order) || got[0] != "status\tshow the state of the container, its services and its GPU" {
		t.Errorf("the verbs: %q", got)
	}
}
