// Package unitfile reads systemd's unit files, *.service and *.socket with their
// drop-ins and templates, and makes services of them.
//
// A file is read as systemd reads it: see systemd.syntax(7), systemd.unit(5),
// systemd.service(5), systemd.exec(5) and systemd.kill(5). Where init differs:
//
//   - Restart=no and the other defaults are systemd's; TimeoutStopSec is 8 s, which
//     fits into the 10 s that docker stop waits, and starts are not limited unless
//     the file says so.
//   - A directive that confines, accounts or reports to systemd, such as
//     ProtectSystem or MemoryMax, has no effect in a container. It is no problem,
//     and is listed in the service's Unapplied.
//   - A line that systemd would ignore with a warning, such as an unknown
//     directive, is a problem that is a Warning. A value that cannot be read is one
//     that is not, and the service is not started with the rest.
//   - Targets count as reached and mounts as there: they order nothing. Timers,
//     paths and slices are refused where they are named, with the way to do without, and
//     left out where others name them.
//   - A socket is opened with its service, which does not wait for a connection.
//     One service for each connection (Accept=yes) is not supported.
//   - Units of systemd itself, and terminals of the machine, are never loaded on
//     behalf of others, nor listed as enabled.
//   - The directives that begin with X-Nix2vast- set the field of services.Service
//     behind it: X-Nix2vast-Probe={"HTTP":"http://127.0.0.1:8080/health"}.
package unitfile
