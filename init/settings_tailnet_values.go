package boot

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
)

// setSecret takes a secret over, or the name of its file. The first variable counts.
func setSecret(field func(*Settings) *secretSource, isFile bool) func(*Settings, Variable) string {
	return func(s *Settings, v Variable) string {
		s.Tailnet.Asked = true
		next := secretSource{Name: v.Name}
		var problem string
		if file, ok := strings.CutPrefix(v.Value, "file:"); ok || isFile {
			next.File = file
		} else if next.Value, problem = cleanKey(v.Name, Secret(v.Value)); next.Value == "" {
			return problem
		}
		have := field(s)
		switch {
		case have.Name == "":
			*have = next
		case have.Value != next.Value || have.File != next.File:
			return fmt.Sprintf("%s and %s say different things: %[1]s is used", have.Name, v.Name)
		}
		return problem
	}
}

// cleanKey takes from a key what people put around it, and says why what is left is none: then it
// is empty.
func cleanKey(name string, value Secret) (key Secret, problem string) {
	text := strings.TrimSpace(string(value))
	if n := len(text); n >= 2 && text[0] == text[n-1] && (text[0] == '"' || text[0] == '\'') {
		text, problem = strings.TrimSpace(text[1:n-1]), name+" stands in quotes: they are left out"
	}
	switch {
	case text == "":
		return "", name + " is empty: it is not used"
	case strings.HasPrefix(text, "/") || strings.HasPrefix(text, "./") || strings.HasPrefix(text, "~"):
		return "", name + " is a path and no key: it is not used; did you mean file: before it?"
	case strings.ContainsAny(text, "\r\n"):
		return "", name + " holds a line break, which no key does: it is not used"
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\'' }):
		return "", name + " holds a blank, a quote or another character that no key has: it is not used"
	}
	return Secret(text), problem
}

func setFlag(field *bool, v Variable) string {
	switch strings.ToLower(v.Value) {
	case "1", "t", "true", "yes", "on":
		*field = true
	case "0", "f", "false", "no", "off":
		*field = false
	default:
		return fmt.Sprintf("%s is %s, neither true nor false: %v is used", v.Name, excerpt(v.Value), *field)
	}
	return ""
}

func flagOf(field func(*wire.Config) *bool) func(*wire.Config, Variable) string {
	return func(c *wire.Config, v Variable) string { return setFlag(field(c), v) }
}

func setUserspace(c *wire.Config, v Variable) string {
	var userspace bool
	if setFlag(&userspace, v) != "" {
		return fmt.Sprintf("%s is %s, neither true nor false: what works is used", v.Name, excerpt(v.Value))
	}
	c.Userspace = &userspace
	return ""
}

// addressOf takes host:port and :port; off and none are no address at all.
func addressOf(field func(*wire.Config) *string) func(*wire.Config, Variable) string {
	return func(c *wire.Config, v Variable) string {
		if v.Value == "off" || v.Value == "none" {
			*field(c) = ""
			return ""
		}
		host, port, err := net.SplitHostPort(v.Value)
		if err != nil || !isPort(port) || host != "" && !isHost(host) {
			return fmt.Sprintf("%s is %s, not an address such as 127.0.0.1:1055 or :1055: %s is used", v.Name, excerpt(v.Value), *field(c))
		}
		*field(c) = v.Value
		return ""
	}
}

// maxLabel is how long a label of a name in DNS may be.
const maxLabel = 63

// hostLabel makes a label of DNS of any text: what has no place in one becomes a dash.
func hostLabel(text string) string {
	var b strings.Builder
	dash := false
	for _, c := range strings.ToLower(text) {
		if ok := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'; ok {
			b.WriteRune(c)
			dash = c == '-'
		} else if !dash {
			b.WriteByte('-')
			dash = true
		}
	}
	label := strings.Trim(b.String(), "-")
	return strings.Trim(label[:min(len(label), maxLabel)], "-")
}

func setHostname(c *wire.Config, v Variable) string {
	label := hostLabel(v.Value)
	if label == "" {
		return fmt.Sprintf("%s is %s, of which no name can be made: it is not used", v.Name, excerpt(v.Value))
	}
	c.Hostname = label
	if strings.EqualFold(label, v.Value) {
		return ""
	}
	return fmt.Sprintf("%s is %s, not a name of at most %d letters, digits and dashes: %s is used", v.Name, excerpt(v.Value), maxLabel, label)
}

func setControl(c *wire.Config, v Variable) string {
	u, err := url.Parse(v.Value)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return fmt.Sprintf("%s is %s, not a URL such as https://headscale.example.org: Tailscale's own is used", v.Name, excerpt(v.Value))
	}
	c.ControlURL = strings.TrimRight(v.Value, "/")
	return ""
}

func setStateDir(c *wire.Config, v Variable) string {
	if dir := path.Clean(v.Value); !path.IsAbs(dir) || dir == "/" {
		return fmt.Sprintf("%s is %s, not the absolute path of a directory of its own: %s is used", v.Name, excerpt(v.Value), c.StateDir)
	}
	c.StateDir = path.Clean(v.Value)
	return ""
}

// listed are the words between commas or blanks.
func listed(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c <= ' ' })
}

func setTags(c *wire.Config, v Variable) string {
	var bad []string
	c.Tags = nil
	for _, tag := range listed(v.Value) {
		name := strings.TrimPrefix(tag, "tag:")
		if label := hostLabel(name); label == "" || !strings.EqualFold(label, name) || label[0] < 'a' {
			bad = append(bad, excerpt(tag))
			continue
		}
		c.Tags = append(c.Tags, "tag:"+name)
	}
	return leftOut(v, bad, "a tag such as tag:gpu")
}

func setRoutes(c *wire.Config, v Variable) string {
	var bad []string
	c.Routes = nil
	for _, route := range listed(v.Value) {
		prefix, err := netip.ParsePrefix(route)
		if err != nil || prefix != prefix.Masked() {
			bad = append(bad, excerpt(route))
			continue
		}
		c.Routes = append(c.Routes, prefix.String())
	}
	return leftOut(v, bad, "a network such as 10.0.0.0/8")
}

func setExpose(c *wire.Config, v Variable) string {
	var good, bad []string
	for _, word := range listed(v.Value) {
		from, to, isRange := strings.Cut(word, "-")
		first, _ := strconv.Atoi(from) // isPort has the last word
		last, _ := strconv.Atoi(to)
		switch {
		case slices.Contains([]string{"all", "none", "loopback"}, word), isPort(word), isRange && isPort(from) && isPort(to) && first <= last:
			good = append(good, word)
		default:
			bad = append(bad, excerpt(word))
		}
	}
	c.Expose = strings.Join(good, ",")
	if len(good) == 0 { // nobody lists ports to have all of them reached
		c.Expose = "none"
	}
	return leftOut(v, bad, "a port, a range of ports, all, none or loopback")
}

func setServe(c *wire.Config, v Variable) string {
	if !path.IsAbs(v.Value) {
		return fmt.Sprintf("%s is %s, not the absolute path of a file: it is not used", v.Name, excerpt(v.Value))
	}
	c.ServeConfig = path.Clean(v.Value)
	return ""
}

// leftOut is the sentence for those of a list that cannot be used.
func leftOut(v Variable, bad []string, what string) string {
	if len(bad) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: left out is what is not %s: %s", v.Name, what, strings.Join(bad[:min(len(bad), 3)], ", "))
}
