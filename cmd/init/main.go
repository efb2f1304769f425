// Init is PID 1 of a nix2vast container, and its own client.
//
// As PID 1 it makes a rented GPU box one that can be logged in to: it completes
// the directories and devices that the host left out, applies the environment,
// root's password and public keys, starts sshd, makes the host's GPU driver
// usable and supervises the services of the image. Arguments, if any, are the
// container's main command: it gets the terminal, and its end ends the container
// with its exit code.
//
//	docker run -e SSH_PUBLIC_KEYS="$(cat ~/.ssh/id_ed25519.pub)" -p 2222:22 IMAGE
//	docker run -it IMAGE bash
//
//	init --supervise FILE [--run DIR]
//
// as PID 1 takes no step of the boot: it runs the services of one config file, with
// its control socket below DIR. This is how it is measured beside others.
//
// Inside the container it is the client:
//
//	init status [--json] [--wait DUR] [--watch] [NAME...]  the state of everything
//	init logs [-f] [-n N] [--since WHEN] [NAME...]         what the services wrote
//	init top [-n COUNT] [--json]                           what the services use, live
//	init start|stop|restart NAME...                        act on services
//	init kill [-s SIGNAL] NAME...
//	init reload [NAME...]                                  change only what differs in the definitions
//	init enable [--now=false] FILE|NAME...                 install and start systemd unit files
//	init disable [--now=false] NAME...
//	init cat NAME...                                       a definition, as a unit file
//	init check [--as KIND] FILE...                         check definitions of any kind
//	init run [--] COMMAND...                               run a command in the tailnet, without a device for that
//	init gpu [--json]                                      the driver: state, reason and cure
//	init tailnet [peers|login|logout]                      the box's place in its tailnet; its peers; in or out
//	init boot [COMMAND...]                                 be the init of a container whose PID 1 is another
//	init systemctl VERB [NAME...]                          be systemctl, as this program is by that name
//	init completion bash|zsh|fish
//	init version
//
// Without arguments, and not as PID 1, it boots where no init runs yet and
// prints the status where one does: this is the line for a host's start script.
// Either refuses to boot anything but a nix2vast image.
//
// # Environment
//
//	ROOT_PASSWORD          root's password; only with it, or one that the image brings, does
//	                       sshd accept passwords
//	SSH_PUBLIC_KEYS        keys that may log in as root; also SSH_PUBLIC_KEY,
//	                       PUBLIC_KEY, SSH_PUBKEY, AUTHORIZED_KEYS; all are joined
//	…_FILE                 of each of the above: read the value from a file
//	SSH_PORT               sshd's port; default 22
//	NIX2VAST_GPU           auto (default), require (degraded without), off
//	NIX2VAST_GPU_WAIT      how long to wait for a driver that is half injected; default 10s
//	NIX2VAST_GLIBC_CACHE   0: leave the library cache of the image's glibc alone
//	NIX2VAST_GPU_DIRS      further directories of the driver's libraries, in front of the known ones: /opt/a:/opt/b
//	NIX2VAST_STOP_TIMEOUT  what all services together get to stop; default 9s
//	NIX2VAST_SIGNALS       what the main command gets in the place of signals: TERM:QUIT,HUP:0; 0 for none
//	NIX2VAST_SIGNAL_SCOPE  group (default), process: signals are for the main command alone, not for its group
//	NIX2VAST_LOG           text (default) or json
//	NIX2VAST_LOG_DIR       where the logs of services are written; default /var/log/nix2vast
//	NIX2VAST_SOCKET        where init answers; default /run/nix2vast/control.sock, where else a link to it is
//	NIX2VAST_ON_EXIT       keep (default); exit: the container ends once all services but init's own have ended for good
//	NIX2VAST_METRICS_ADDR  where Prometheus gets metrics, such as :9400; off by default
//	TAILSCALE_AUTHKEY      the key that joins a tailnet, or file:PATH; also TS_AUTHKEY, TS_AUTH_KEY,
//	                       TAILSCALE_AUTH_KEY, and …_FILE of each
//	NIX2VAST_TAILNET       auto (default), require (degraded outside its tailnet), off
//	TS_…                   the others of Tailscale's own container; the README lists them
//
// # Hooks
//
// Of the services that the options hooks of an image come to, init knows two by name.
// The other services of the image, those of unit files too, start after hook-pre-services
// has ended, well or not; "init stop hook-pre-services" ends one that does not. Init's
// own, the other hooks, home and the main command do not wait. hook-post-ready, which is
// Disabled, is started when the boot has ended, ready or degraded; the boot does not
// wait for it, and no service can. One of the config that is Before gpu, as
// hook-pre-gpu is, comes before the driver is looked at.
//
// # Exit codes
//
// As PID 1: the main command's, or that of the essential service which ended;
// with NIX2VAST_ON_EXIT=exit that of the first service that failed, or 0;
// 0 after a stop that was asked for; 143 if that came before anything was
// started; 78 for an image whose config cannot be read.
//
// As a client: 0 done, or ready; 1 failed, or degraded; 2 wrong usage, or still
// booting (status); 3 no init answers.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	boot "github.com/fleek-platform/nix2vast/init"
)

// version is set by the linker.
var version = "dev"

// The boot order. Each step is the file of the same name in package boot.
var steps = []boot.Step{
	boot.Mounts,
	boot.Control,
	boot.Environment,
	boot.Accounts,
	boot.SSHKeys,
	boot.Services,
}

// The supervisor's reaper needs the main thread for itself.
func init() { runtime.LockOSThread() }

func main() {
	boot.Shim()
	if os.Getpid() == 1 {
		if len(os.Args) > 1 && os.Args[1] == "--supervise" {
			os.Exit(supervise(os.Args[2:]))
		}
		os.Exit(bootContainer(os.Args[1:]))
	}
	if filepath.Base(os.Args[0]) == "systemctl" {
		os.Exit(systemctl(os.Args[1:]))
	}
	if len(os.Args) == 1 {
		os.Exit(bootOrStatus())
	}
	os.Exit(client(os.Args[1:]))
}

const (
	exitUsage  = 2
	exitNoInit = 3
	exitConfig = 78 // EX_CONFIG of sysexits.h
)

// bootContainer is the life of the container.
func bootContainer(command []string) int {
	boot.WarmUp()
	signals, child := boot.CatchSignals()
	boot.LimitCPU()
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) > 0 && strings.HasPrefix(command[0], "-") {
		return usage("the main command cannot begin with a dash: %s", command[0])
	}
	c, err := boot.New("/", version, command)
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return exitConfig
	}
	// From here on nothing may end this process: as PID 1 it would take the
	// container with it, and somebody's rented box with that.
	return c.Boot(steps, signals, child)
}

// supervise is the life of a PID 1 that takes no boot step: --supervise FILE
// [--run DIR] runs the services of a config file, and leaves the rest alone.
func supervise(args []string) int {
	boot.WarmUp()
	signals, child := boot.CatchSignals()
	boot.LimitCPU()
	dir := "/"
	if len(args) == 3 && args[1] == "--run" {
		dir = args[2]
	} else if len(args) != 1 {
		return usage("it is: init --supervise FILE [--run DIR]")
	}
	c, err := boot.NewSupervised(args[0], dir, version)
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
		return exitConfig
	}
	return c.Boot([]boot.Step{boot.Supervised, boot.Control}, signals, child)
}

// bootOrStatus is what a host's start script gets, however often it runs.
func bootOrStatus() int {
	if !boot.InImage("/") {
		help(nil)
		return exitUsage
	}
	if code := showStatus(nil); code != exitNoInit {
		return code
	}
	return bootContainer(nil)
}

// bootHere is bootContainer for a container whose PID 1 is another.
func bootHere(args []string) int {
	if !boot.InImage("/") {
		// On a person's own machine, boot would take over its accounts, its SSH
		// server and its library cache.
		return fail(errors.New("this is no nix2vast container: it has no " + boot.ConfigPath))
	}
	_, err := here.Status(background, io.Discard, boot.StatusQuery{})
	if !errors.Is(err, boot.ErrNoInit) {
		fmt.Println("an init runs here already; see: init status")
		return 0
	}
	return bootContainer(args)
}
