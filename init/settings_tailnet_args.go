package boot

import (
	"slices"
	"strings"
)

// upFlags are the arguments of `tailscale up` that have a variable here.
var upFlags = map[string]string{
	"--auth-key": "TAILSCALE_AUTHKEY", "--authkey": "TAILSCALE_AUTHKEY",
	"--ssh": "TS_SSH", "--accept-dns": "TS_ACCEPT_DNS", "--accept-routes": "TS_ACCEPT_ROUTES", "--hostname": "TS_HOSTNAME",
	"--advertise-tags": "TS_TAGS", "--advertise-routes": "TS_ROUTES", "--login-server": "TS_CONTROL_URL",
}

// setExtraArgs takes over those arguments. Of the others it tells the names alone: what
// stands behind them may be a secret.
func setExtraArgs(s *Settings, v Variable) string {
	var problems, unknown []string
	for args := strings.Fields(v.Value); len(args) > 0; {
		flag, value, given := strings.Cut(args[0], "=")
		isFlag := strings.HasPrefix(flag, "-")
		flag, args = "--"+strings.TrimLeft(flag, "-"), args[1:]
		name, known := upFlags[flag]
		switch {
		case !isFlag: // the value of one that is not known
			continue
		case !known:
			unknown = append(unknown, flag)
			continue
		case !given && (name == "TS_SSH" || strings.HasPrefix(name, "TS_ACCEPT_")):
			value = "true"
		case !given && len(args) > 0:
			value, args = args[0], args[1:]
		}
		for _, setting := range knownTailnet() {
			if setting.Names[0] != name {
				continue
			}
			if problem := setting.set(s, Variable{v.Name + " " + flag, strings.Trim(value, `"'`)}); problem != "" {
				problems = append(problems, problem)
			}
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		problems = append(problems, v.Name+": of no effect here: "+excerpt(strings.Join(slices.Compact(unknown), " ")))
	}
	return strings.Join(problems, "; ")
}
