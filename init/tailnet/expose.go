package tailnet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// exposure is which ports peers may reach in userspace mode. With a TUN device the
// kernel's own listeners decide.
type exposure struct {
	all bool
	// loopback lets peers reach what listens on 127.0.0.1 or ::1 only, which its author
	// thought private.
	loopback bool
	ranges   [][2]uint16
	private  []uint16
}

// parseExpose reads "all", "none", or ports, ranges and "loopback", separated by commas.
// Empty is all.
func parseExpose(text string, private []uint16) (exposure, error) {
	e := exposure{private: private}
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	for _, word := range words {
		switch word {
		case "all":
			e.all = true
		case "none":
			if len(words) > 1 {
				return exposure{}, fmt.Errorf("TS_EXPOSE=%q: none stands alone", text)
			}
		case "loopback":
			e.loopback = true
		default:
			from, to, isRange := strings.Cut(word, "-")
			if !isRange {
				to = from
			}
			low, err1 := strconv.ParseUint(from, 10, 16)
			high, err2 := strconv.ParseUint(to, 10, 16)
			if err1 != nil || err2 != nil || low == 0 || high < low {
				return exposure{}, fmt.Errorf("TS_EXPOSE=%q: %q is no port, no range such as 8000-9000, and not all, none or loopback", text, word)
			}
			e.ranges = append(e.ranges, [2]uint16{uint16(low), uint16(high)})
		}
	}
	// "loopback" alone adds to the default.
	if len(words) == 0 || e.loopback && len(words) == 1 {
		e.all = true
	}
	return e, nil
}

// admits says whether peers may reach a port, if something listens there.
func (e exposure) admits(port uint16) bool {
	if slices.Contains(e.private, port) {
		return false
	}
	return e.all || slices.ContainsFunc(e.ranges, func(r [2]uint16) bool { return r[0] <= port && port <= r[1] })
}
