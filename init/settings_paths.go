package boot

import (
	"fmt"
	"path"
	"strings"
)

// Where logs and the control socket are if nobody wants them elsewhere.
const (
	defaultLogDir = "/var/log/nix2vast"
	defaultSocket = runPath + "/" + controlSocket
)

// maxSocket is how many bytes the path of a socket may have; see unix(7).
const maxSocket = 107

// isBelowRoot says whether a path is absolute and not the root itself.
func isBelowRoot(p string) bool { return path.IsAbs(p) && path.Clean(p) != "/" }

// setPath takes a path; otherwise is what is used in the place of a bad one.
func setPath(field *string, v Variable, otherwise string) string {
	if !isBelowRoot(v.Value) {
		return fmt.Sprintf("%s is %s, not an absolute path below /: %s is used", v.Name, excerpt(v.Value), otherwise)
	}
	*field = path.Clean(v.Value)
	return ""
}

func setSocket(s *Settings, v Variable) string {
	clean := path.Clean(v.Value)
	if len(clean) > maxSocket {
		return fmt.Sprintf("%s is %d bytes long, and the path of a socket has %d at most: %s is used", v.Name, len(clean), maxSocket, defaultSocket)
	}
	if clean == defaultSocket { // where that cannot be, there are other run directories
		return ""
	}
	return setPath(&s.Socket, v, defaultSocket)
}

// setGPUDirs takes directories with colons between them, as PATH has them.
func setGPUDirs(s *Settings, v Variable) string {
	var bad []string
	for _, dir := range strings.Split(v.Value, ":") {
		switch {
		case isBelowRoot(dir):
			s.GPUDirs = append(s.GPUDirs, path.Clean(dir))
		case dir != "":
			bad = append(bad, dir)
		}
	}
	if len(bad) > 0 {
		return fmt.Sprintf("%s: %s is left out, since only absolute paths below / are searched", v.Name, excerpt(strings.Join(bad, ":")))
	}
	return ""
}
