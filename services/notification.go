package services

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// notification is one datagram of sd_notify(3).
type notification struct {
	ready, reloading, stopping, barrier bool
	watchdog                            string // "1", "trigger"
	status                              *string
	errno                               syscall.Errno
	mainPID                             int
	extend                              time.Duration // EXTEND_TIMEOUT_USEC
	watchdogSpan                        time.Duration
	store, storeRemove                  bool
	name                                string // FDNAME
	access                              NotifyAccess
}

// maxNotification is more than any program sends; what is longer has been cut by
// the kernel and is dropped.
const maxNotification = 64 << 10

// parseNotification reads the lines of a datagram; see sd_notify(3). Keys that it
// does not know are left out, as systemd does; a value that makes no sense is an
// error and the others count.
func parseNotification(b []byte) (notification, error) {
	var n notification
	var errs []error
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		if err := n.set(key, value); err != nil {
			errs = append(errs, err)
		}
	}
	return n, errors.Join(errs...)
}

func (n *notification) set(key, value string) (err error) {
	bad := func(what string) error { return fmt.Errorf("%s=%.40q is not %s", key, value, what) }
	switch key {
	case "READY":
		n.ready = value == "1"
	case "RELOADING":
		n.reloading = value == "1"
	case "STOPPING":
		n.stopping = value == "1"
	case "BARRIER":
		n.barrier = value == "1"
	case "FDSTORE":
		n.store = value == "1"
	case "FDSTOREREMOVE":
		n.storeRemove = value == "1"
	case "FDNAME":
		if len(value) > 255 || strings.ContainsRune(value, ':') || !utf8.ValidString(value) {
			return bad("a name for a descriptor")
		}
		n.name = value
	case "STATUS":
		text := strings.ToValidUTF8(value, "\uFFFD")
		n.status = &text
	case "WATCHDOG":
		if value != "1" && value != "trigger" {
			return bad("1 or trigger")
		}
		n.watchdog = value
	case "ERRNO":
		number, err := strconv.ParseUint(value, 10, 12)
		if err != nil {
			return bad("an error number")
		}
		n.errno = syscall.Errno(number)
	case "MAINPID":
		if n.mainPID, err = strconv.Atoi(value); err != nil || n.mainPID <= 1 {
			n.mainPID = 0
			return bad("the number of a process")
		}
	case "EXTEND_TIMEOUT_USEC":
		n.extend, err = microseconds(value)
	case "WATCHDOG_USEC":
		n.watchdogSpan, err = microseconds(value)
	case "NOTIFYACCESS":
		n.access = NotifyAccess(value)
		if value != "none" && value != "main" && value != "exec" && value != "all" {
			n.access = ""
			return bad("none, main, exec or all")
		}
	}
	if err != nil {
		return bad("a number of microseconds")
	}
	return nil
}

// microseconds reads a time span of at most a year.
func microseconds(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, err
	}
	if n > uint64(365*24*time.Hour/time.Microsecond) {
		return 0, strconv.ErrRange
	}
	return time.Duration(n) * time.Microsecond, nil
}
