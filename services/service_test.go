package services

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	svc, err := Parse("web", []byte(`{"ExecStart": ["/bin/web", "-p", "80"], "RestartSec": 2, "TimeoutStopSec": "1m30s", "After": ["gpu"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if svc.Name != "web" || svc.Type != Simple || svc.Restart != RestartAlways || svc.KillSignal != "SIGTERM" || svc.WorkingDirectory != "/" {
		t.Errorf("defaults are missing: %+v", svc)
	}
	if time.Duration(*svc.RestartSec) != 2*time.Second || time.Duration(svc.TimeoutStopSec) != 90*time.Second {
		t.Errorf("time spans: %v, %v", svc.RestartSec, svc.TimeoutStopSec)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, json, want string }{
		{"x", `{"ExecStart": ["/x"], "Exec": 1}`, `unknown field "Exec"`},
		{"x", `{"ExecStart": ["/x"]} {}`, "text behind"},
		{"x", `{}`, "ExecStart is empty"},
		{"x", `{"ExecStart": "/x"}`, "cannot unmarshal string"},
		{"-x", `{"ExecStart": ["/x"]}`, "the name must be"},
		{"a/b", `{"ExecStart": ["/x"]}`, "the name must be"},
		{strings.Repeat("n", 65), `{"ExecStart": ["/x"]}`, "the name must be"},
		{"x", `{"ExecStart": ["/x"], "Type": "forked"}`, `Type "forked" is none of simple, exec`},
		{"x", `{"ExecStart": ["/x"], "Restart": "yes"}`, `Restart "yes" is none of`},
		{"x", `{"ExecStart": ["/x"], "KillSignal": "TERM"}`, `KillSignal "TERM" is not a signal`},
		{"x", `{"ExecStart": ["/x"], "KillMode": "all"}`, "KillMode"},
		{"x", `{"ExecStart": ["/x"], "NotificationFd": 3, "Sockets": [{"Listen": "80"}]}`, "use 4 or more"},
		{"x", `{"ExecStart": ["/x"], "Nice": 20}`, "Nice 20 is not between"},
		{"x", `{"ExecStart": ["/x"], "RestartSec": "soon"}`, `"soon" is not a time span`},
		{"x", `{"ExecStart": ["/x"], "RestartSec": -1}`, "negative"},
		{"x", `{"ExecStart": ["/x"], "RestartSec": []}`, "not a time span"},
		{"x", `{"ExecStart": ["/x"], "WorkingDirectory": "srv"}`, "not an absolute path"},
		{"x", `{"ExecStart": ["/x"], "Environment": {"A=B": "1"}}`, "Environment"},
		{"x", `{"ExecStart": ["/x"], "Environment": {"A": "1\u0000"}}`, "Environment"},
		{"x", `{"ExecStart": ["/x", "a\u0000b"]}`, "NUL"},
		{"x", `{"ExecStart": ["/x"], "Probe": {"TCP": "80"}}`, "host:port"},
		{"x", `{"ExecStart": ["/x"], "Type": "oneshot", "Probe": {"TCP": "127.0.0.1:80"}}`, "oneshot has no Probe"},
	} {
		_, err := Parse(c.name, []byte(c.json))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: error %v, want %q", c.name, c.json, err, c.want)
		}
	}
}

func TestParseTellsAllAtOnce(t *testing.T) {
	_, err := Parse("x", []byte(`{"Type": "a", "Restart": "b", "KillMode": "c"}`))
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("%d problems in %v, want 4", n, err)
	}
}

func TestCheck(t *testing.T) {
	list := []Service{
		{Name: "a", After: []string{"b"}},
		{Name: "b", Requires: []string{"c"}},
		{Name: "c", After: []string{"a"}},
		{Name: "d", After: []string{"nobody", "gpu"}},
		{Name: "d"},
		{Name: "e", After: []string{"e"}},
		{Name: "sshd"},
	}
	err := Check(list, "gpu", "sshd")
	for _, want := range []string{
		"service a: the order goes round in a circle: [a b c]",
		"service d: After: there is no service nobody",
		"service d: the name is taken",
		"service e: the order goes round in a circle: [e]",
		"service sshd: the name is taken",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 5 {
		t.Errorf("%d problems, want 5: %v", n, err)
	}
}
