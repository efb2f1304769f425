package services

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

func TestParseNotification(t *testing.T) {
	text := func(s string) *string { return &s }
	for in, want := range map[string]notification{
		"":                                 {},
		"READY=1":                          {ready: true},
		"READY=1\n":                        {ready: true},
		"READY=0":                          {},
		"READY":                            {},
		"X_OWN=1\nREADY=1":                 {ready: true},
		"STATUS=a=b\nREADY=1":              {ready: true, status: text("a=b")},
		"STATUS=\xff\xfeü":                 {status: text("\uFFFDü")},
		"STATUS=":                          {status: text("")},
		"RELOADING=1\nMONOTONIC_USEC=1234": {reloading: true},
		"STOPPING=1":                       {stopping: true},
		"BARRIER=1":                        {barrier: true},
		"ERRNO=2":                          {errno: unix.ENOENT},
		"MAINPID=4711":                     {mainPID: 4711},
		"WATCHDOG=1":                       {watchdog: "1"},
		"WATCHDOG=trigger":                 {watchdog: "trigger"},
		"WATCHDOG_USEC=3000000":            {watchdogSpan: 3 * time.Second},
		"EXTEND_TIMEOUT_USEC=5000000":      {extend: 5 * time.Second},
		"FDSTORE=1\nFDNAME=listener":       {store: true, name: "listener"},
		"FDSTOREREMOVE=1\nFDNAME=a":        {storeRemove: true, name: "a"},
		"NOTIFYACCESS=main":                {access: NotifyMain},
	} {
		got, err := parseNotification([]byte(in))
		if err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if (got.status == nil) != (want.status == nil) || got.status != nil && *got.status != *want.status {
			t.Errorf("%q: status %v, want %v", in, got.status, want.status)
		}
		got.status, want.status = nil, nil
		if got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}

func TestNonsenseInANotification(t *testing.T) {
	for _, in := range []string{"MAINPID=1", "MAINPID=-5", "MAINPID=x", "ERRNO=-1", "ERRNO=99999", "WATCHDOG=2", "WATCHDOG_USEC=", "WATCHDOG_USEC=-1",
		"EXTEND_TIMEOUT_USEC=99999999999999999999", "EXTEND_TIMEOUT_USEC=9999999999999999", "NOTIFYACCESS=some", "FDNAME=a:b", "FDNAME=" + strings.Repeat("n", 256)} {
		n, err := parseNotification([]byte("READY=1\n" + in + "\nSTOPPING=1"))
		if err == nil || !n.ready || !n.stopping {
			t.Errorf("%.40q: %+v, %v: it is to be an error, and the others are to count", in, n, err)
		}
		if (n != notification{ready: true, stopping: true}) {
			t.Errorf("%.40q left %+v", in, n)
		}
	}
}

func FuzzNotification(f *testing.F) {
	for _, seed := range []string{"READY=1\nSTATUS=x", "MAINPID=12\nERRNO=2\nWATCHDOG=1", "EXTEND_TIMEOUT_USEC=1\nWATCHDOG_USEC=2", "FDSTORE=1\nFDNAME=a\nBARRIER=1", "NOTIFYACCESS=all\n=\n\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, _ := parseNotification(b)
		year := 366 * 24 * time.Hour
		if n.extend < 0 || n.extend > year || n.watchdogSpan < 0 || n.watchdogSpan > year || n.mainPID < 0 || n.mainPID == 1 || n.errno > 4095 {
			t.Errorf("%+v", n)
		}
		if n.status != nil && !utf8.ValidString(*n.status) || !utf8.ValidString(n.name) || strings.ContainsAny(n.name, ":\n") {
			t.Errorf("%+v", n)
		}
	})
}
