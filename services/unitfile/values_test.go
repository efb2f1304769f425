package unitfile

import (
	"testing"
	"time"

	"github.com/fleek-platform/nix2vast/services"
)

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "5": 5 * time.Second, "5s": 5 * time.Second, "1.5s": 1500 * time.Millisecond, "5min 20s": 320 * time.Second,
		"5min20s": 320 * time.Second, "2 h": 2 * time.Hour, "300ms20s 5day": 5*24*time.Hour + 20300*time.Millisecond,
		"1w": 7 * 24 * time.Hour, "55s500ms": 55500 * time.Millisecond, "100us": 100 * time.Microsecond, "7µs": 7 * time.Microsecond,
		"1M": 2629800 * time.Second, "1m": time.Minute, "1y 12month": 2 * 31557600 * time.Second, "infinity": time.Duration(infinity),
		"1000y": time.Duration(infinity), "12ns": 12,
	} {
		got, err := span(text, time.Second)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(got), err, want)
		}
		if back, err := span(spanText(got), time.Second); err != nil || back != got {
			t.Errorf("%v is written as %s and read as %v, %v", got, spanText(got), back, err)
		}
	}
	for _, text := range []string{"", " ", "-1", "5x", "s", "1..2", "5 5s x", "infinity s", "1e3"} {
		if got, err := span(text, time.Second); err == nil {
			t.Errorf("%q: %v and no error", text, got)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"NOFILE", "1048576", "1048576"}, {"NOFILE", "1024:524288", "1024:524288"}, {"NOFILE", "infinity", "infinity"},
		{"CORE", "infinity", "infinity"}, {"CORE", "0:infinity", "0:infinity"}, {"MEMLOCK", "64M", "67108864"},
		{"AS", "1.5G", "1610612736"}, {"DATA", "16384P", "18446744073709551615"}, {"STACK", "8 KB", "8192"},
		{"CPU", "2min", "120"}, {"CPU", "1500ms", "2"}, {"RTTIME", "10ms", "10000"}, {"RTTIME", "5", "5"},
		{"NICE", "+5", "15"}, {"NICE", "-10", "30"}, {"NICE", "30", "30"}, {"FSIZE", "1T", "1099511627776"},
	} {
		got, err := limit(c.name, c.text)
		if c.text == "16384P" {
			if err == nil {
				t.Errorf("%s=%s: %s is more than 64 bits hold", c.name, c.text, got)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s=%s: %q, %v, want %q", c.name, c.text, got, err, c.want)
		}
	}
	for _, c := range [][2]string{{"NOFILE", "1k"}, {"NOFILE", "x"}, {"NOFILE", ""}, {"AS", "1X"}, {"AS", "1KK"}, {"AS", "-1"}, {"NICE", "+20"},
		{"NPROC", "1:2:3"}, {"CPU", "x"}} {
		if got, err := limit(c[0], c[1]); err == nil {
			t.Errorf("%s=%s: %q and no error", c[0], c[1], got)
		}
	}
}

func TestExitStatusAndSignal(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "255": "255", "SUCCESS": "0", "TEMPFAIL": "75", "EX_TEMPFAIL": "75", "EXCEPTION": "255",
		"TERM": "SIGTERM", "SIGKILL": "SIGKILL", "USAGE": "64"} {
		if got, err := exitStatus(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"256", "-1", "", "NOPE", "FAILURE=1"} {
		if got, err := exitStatus(text); err == nil {
			t.Errorf("%q: %q and no error", text, got)
		}
	}
	for text, want := range map[string]services.Signal{"15": "SIGTERM", "HUP": "SIGHUP", "SIGUSR1": "SIGUSR1"} {
		if got, err := signal(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]bool{"1": true, "Yes": true, "on": true, "T": true, "off": false, "n": false, "FALSE": false} {
		if got, err := boolean(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := boolean("maybe"); err == nil {
		t.Error("maybe is a boolean")
	}
}
