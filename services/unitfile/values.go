package unitfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/services"
)

// infinity stands for no limit of time. A hundred years, rather than the most
// that a Duration holds, can be added to the time of day without overflow.
const infinity = services.Duration(100 * 365 * 24 * time.Hour)

// boolean reads what systemd's parse_boolean reads.
func boolean(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	case "0", "no", "n", "false", "f", "off":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither yes nor no", quoted(text))
}

// timeUnit is the length of a unit of systemd.time(7), 0 for none of them.
func timeUnit(name string) time.Duration {
	const day = 24 * time.Hour
	switch name {
	case "s", "sec", "second", "seconds":
		return time.Second
	case "ms", "msec":
		return time.Millisecond
	case "us", "usec", "µs", "μs":
		return time.Microsecond
	case "ns", "nsec":
		return time.Nanosecond
	case "m", "min", "minute", "minutes":
		return time.Minute
	case "h", "hr", "hour", "hours":
		return time.Hour
	case "d", "day", "days":
		return day
	case "w", "week", "weeks":
		return 7 * day
	case "M", "month", "months":
		return 2629800 * time.Second
	case "y", "year", "years":
		return 31557600 * time.Second
	}
	return 0
}

// span reads a time span such as "5min 20s"; a number alone counts in unit. More
// than a hundred years is infinity.
func span(text string, unit time.Duration) (services.Duration, error) {
	bad := fmt.Errorf("%s is not a time span such as 5s, 1min 30s or infinity", quoted(text))
	if text == "infinity" {
		return infinity, nil
	}
	total, rest := 0.0, strings.Trim(text, blanks)
	if rest == "" {
		return 0, bad
	}
	for rest != "" {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return 0, bad
		}
		rest = strings.TrimLeft(rest[len(digits):], blanks)
		name := rest
		if i := strings.IndexAny(rest, "0123456789."+blanks); i >= 0 {
			name = rest[:i]
		}
		rest = strings.TrimLeft(rest[len(name):], blanks)
		each := unit
		if name != "" {
			each = timeUnit(name)
		}
		if each == 0 {
			return 0, bad
		}
		total += n * float64(each)
	}
	return services.Duration(math.Round(min(total, float64(infinity)))), nil
}

// spanText is a span as span reads it, exactly.
func spanText(d services.Duration) string {
	switch t := time.Duration(d); {
	case d >= infinity:
		return "infinity"
	case t%time.Second == 0:
		return fmt.Sprintf("%ds", t/time.Second)
	case t%time.Millisecond == 0:
		return fmt.Sprintf("%dms", t/time.Millisecond)
	case t%time.Microsecond == 0:
		return fmt.Sprintf("%dus", t/time.Microsecond)
	default:
		return fmt.Sprintf("%dns", t)
	}
}

// size reads a number of bytes such as 4096 or 1.5G, by powers of 1024.
func size(text string) (uint64, error) {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789."))]
	power := 0
	if suffix := strings.TrimSuffix(strings.TrimLeft(text[len(digits):], blanks), "B"); suffix != "" {
		if power = 1 + strings.Index("KMGTPE", suffix); power == 0 || len(suffix) > 1 {
			return 0, fmt.Errorf("%s is not a size such as 64K, 1.5G or infinity", quoted(text))
		}
	}
	if whole, err := strconv.ParseUint(digits, 10, 64); err == nil && whole<<(10*power)>>(10*power) == whole {
		return whole << (10 * power), nil
	}
	n, err := strconv.ParseFloat(digits, 64)
	n *= math.Pow(1024, float64(power))
	if err != nil || n >= math.MaxUint64 {
		return 0, fmt.Errorf("%s is not a size such as 64K, 1.5G or infinity", quoted(text))
	}
	return uint64(n), nil
}

// limit reads the value of LimitNAME= and returns it in the units of
// getrlimit(2), as services.Service wants it.
func limit(name, text string) (string, error) {
	parts := strings.SplitN(text, ":", 2)
	for i, part := range parts {
		n, err := uint64(0), error(nil)
		switch {
		case part == "infinity":
			continue
		case name == "CPU" || name == "RTTIME":
			unit := time.Second
			if name == "RTTIME" {
				unit = time.Microsecond
			}
			var d services.Duration
			d, err = span(part, unit)
			n = uint64((time.Duration(d) + unit - 1) / unit)
		case name == "NICE" && (strings.HasPrefix(part, "+") || strings.HasPrefix(part, "-")):
			var nice int
			if nice, err = strconv.Atoi(part); err == nil && (nice < -20 || nice > 19) {
				err = fmt.Errorf("the priority %d is not between -20 and 19", nice)
			}
			n = uint64(max(0, 20-nice))
		case strings.Contains(" NICE NOFILE NPROC LOCKS SIGPENDING RTPRIO ", " "+name+" "):
			if n, err = strconv.ParseUint(part, 10, 64); err != nil {
				err = fmt.Errorf("%s is not a number, infinity, or SOFT:HARD", quoted(text))
			}
		default:
			n, err = size(part)
		}
		if err != nil {
			return "", err
		}
		parts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(parts, ":"), nil
}

// signal reads a name with or without SIG, or a number.
func signal(text string) (services.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if name := unix.SignalName(unix.Signal(n)); name != "" {
			return services.Signal(name), nil
		}
	}
	name := "SIG" + strings.TrimPrefix(text, "SIG")
	if unix.SignalNum(name) == 0 {
		return "", fmt.Errorf("%s is not a signal such as SIGTERM", quoted(text))
	}
	return services.Signal(name), nil
}

// exitNames are those of "Process Exit Codes" in systemd.exec(5).
const exitNames = "SUCCESS=0 FAILURE=1 INVALIDARGUMENT=2 NOTIMPLEMENTED=3 NOPERMISSION=4 NOTINSTALLED=5 " +
	"NOTCONFIGURED=6 NOTRUNNING=7 USAGE=64 DATAERR=65 NOINPUT=66 NOUSER=67 NOHOST=68 UNAVAILABLE=69 SOFTWARE=70 " +
	"OSERR=71 OSFILE=72 CANTCREAT=73 IOERR=74 TEMPFAIL=75 PROTOCOL=76 NOPERM=77 CONFIG=78 CHDIR=200 NICE=201 " +
	"FDS=202 EXEC=203 MEMORY=204 LIMITS=205 OOM_ADJUST=206 SIGNAL_MASK=207 STDIN=208 STDOUT=209 CHROOT=210 " +
	"IOPRIO=211 TIMERSLACK=212 SECUREBITS=213 SETSCHEDULER=214 CPUAFFINITY=215 GROUP=216 USER=217 CAPABILITIES=218 " +
	"CGROUP=219 SETSID=220 CONFIRM=221 STDERR=222 PAM=224 NETWORK=225 NAMESPACE=226 NO_NEW_PRIVILEGES=227 SECCOMP=228 " +
	"SELINUX_CONTEXT=229 PERSONALITY=230 APPARMOR_PROFILE=231 ADDRESS_FAMILIES=232 RUNTIME_DIRECTORY=233 CHOWN=235 " +
	"SMACK_PROCESS_LABEL=236 KEYRING=237 STATE_DIRECTORY=238 CACHE_DIRECTORY=239 LOGS_DIRECTORY=240 " +
	"CONFIGURATION_DIRECTORY=241 NUMA_POLICY=242 CREDENTIALS=243 BPF=245 EXCEPTION=255 "

// exitStatus reads one code, by number or name, or signal.
func exitStatus(text string) (string, error) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return strconv.FormatUint(n, 10), nil
	}
	_, rest, ok := strings.Cut(" "+exitNames, " "+strings.TrimPrefix(text, "EX_")+"=")
	if ok && text != "" {
		code, _, _ := strings.Cut(rest, " ")
		return code, nil
	}
	if k, err := signal(text); err == nil {
		return string(k), nil
	}
	return "", fmt.Errorf("%s is neither an exit code nor a signal such as SIGTERM", quoted(text))
}
