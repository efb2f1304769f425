package unitfile

import "fmt"

// unsupported is the error for a unit of a kind that init does not carry out: what
// is so, and the way to get there without. It is nil for services and sockets.
func (n unitName) unsupported() error {
	what, instead := "", ""
	switch n.kind {
	case ".timer":
		what = "timers"
		instead = "run a cron daemon as a service, or give the service itself Restart=always, and RestartSec= as the time between two runs"
	case ".path":
		what, instead = "paths", "run a service that waits for the file itself, as inotifywait does"
	case ".mount", ".automount", ".swap":
		what, instead = n.kind[1:]+"s", "what a container has mounted is given to it from outside, such as by docker run -v"
	case ".target":
		what = "targets"
		instead = "init counts each as reached, and no file is needed: a service is enabled by WantedBy=multi-user.target, " +
			"and ordered by After= other services"
	case ".slice", ".scope":
		what = n.kind[1:] + "s"
		instead = "a container has one control group, with the limits that it was given from outside, " +
			"such as by docker run --memory; a service can have Limit directives"
	case ".device":
		what, instead = "devices", "they are given to a container from outside, such as by docker run --device"
	default:
		return nil
	}
	return fmt.Errorf("%s are not supported: %s", what, instead)
}
