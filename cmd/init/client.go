package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	boot "github.com/fleek-platform/nix2vast/init"
)

// verb is one word that the client understands.
type verb struct {
	usage string // after the word
	does  string
	more  string // what only `init help VERB` tells
	run   func(args []string) int
}

// verbs is filled in an init function since help refers to it.
var verbs map[string]verb

// order is that of the help.
var order = []string{
	"status", "logs", "top", "start", "stop", "restart", "reload", "kill", "enable", "disable", "cat", "check", "run",
	"gpu", "tailnet", "boot", "systemctl", "completion", "version", "help",
}

func init() {
	verbs = map[string]verb{
		"status": {"[--json] [--wait DUR] [--watch] [NAME...]", "show the state of the container, its services and its GPU;\nexit code 0 ready, 1 degraded, 2 booting, 3 no init answers",
			"With names, show all that is known of these services, and the end of their logs.\n" +
				"--wait waits until boot is over, for DUR at most, such as 30s. --watch shows each\nchange, until it is interrupted. --json prints the status as data.", showStatus},
		"logs": {"[-f] [-n N] [--since WHEN] [--json] [NAME...]", "show what the services, or those named, wrote; -f goes on",
			"-n shows the last N lines; -f those to come, after the last 10. --since takes a time\nspan, such as 10m, or a time, such as 2026-11-23T19:00:00Z. --json prints one object\na line.", showLogs},
		"top": {"[-n COUNT] [--span DUR] [--json]", "show live what the services use; q ends it",
			"Each picture is measured over --span, 1s if not given. Not on a terminal, or with\n--json, it prints one picture, or as many as -n says. There are no cgroups in a rented\ncontainer: a process belongs to the service in whose process group, session or line\nof parents it is; memory that processes share counts in each.", showTop},
		"start": {"NAME...", "start services and wait until they are ready",
			"A unit file that is installed and not enabled can be started as well.", change("start")},
		"stop":    {"NAME...", "stop services and wait until they have ended", "They stay stopped until the next boot, or until they are started.", change("stop")},
		"restart": {"NAME...", "stop and start services", "", change("restart")},
		"reload": {"[NAME...]", "read the definitions again and change only what differs;\nwith names: have these services read their own configuration again",
			"Services whose definition is the same go on undisturbed. Where something is newly wrong\nin any file, nothing changes at all. The environment stays that of the boot.", reload},
		"kill": {"[-s SIGNAL] NAME...", "send a signal, TERM if none is named, to the processes of services", "", kill},
		"enable": {"[--now=false] FILE|NAME...", "have unit files started at each boot, and now;\na FILE (with a slash, or ending in .service) is checked and installed first",
			"Unit files are systemd's; they are installed in /etc/systemd/system.", enable},
		"disable": {"[--now=false] NAME...", "have unit files not started at boot any more, and stop them", "", disable},
		"cat":     {"NAME...", "show the definition of services, as unit files", "", cat},
		"check": {"[--as KIND] FILE...", "check definitions of services; exit code 1 if anything is wrong",
			"A FILE is an image's config, process-compose's YAML or JSON, NixOS's modular services\nas JSON, or a systemd unit. --as says which where that cannot be told: config,\nprocess-compose, modular or unit. Each problem is a line of stderr: FILE:LINE: TEXT.\nUnits are checked with those that are given or lie beside them. In a box, programs,\naccounts and units that it lacks are problems too.", check},
		"gpu": {"[--json]", "show the state of the GPU driver, the reason and the cure", "", showGPU},
		"tailnet": {"[--json] [peers [--ping] | login [--key-file FILE] | logout]", "show the box's place in its tailnet, or its peers; log it in or out",
			"peers --ping asks each peer how far it is. login shows a URL and waits until somebody\nhas opened it; --key-file has a key in it, - for stdin. Only root logs in and out.", tailnet},
		"boot": {"[COMMAND...]", "be the init of a container whose PID 1 is another program;\ndoes nothing where an init runs already", "", bootHere},
		"systemctl": {"VERB [NAME...]", "be systemctl, for programs and people that want it;\nthe same as this program by the name of systemctl",
			systemctlHelp, systemctl},
		"completion": {"bash|zsh|fish", "print the shell's completion of init",
			"bash: source <(init completion bash). zsh: source <(init completion zsh), after compinit.\nfish: init completion fish | source.", completion},
		"version": {"", "print the version", "", func([]string) int { fmt.Println(version); return 0 }},
		"run": {"[--] COMMAND...", "run a command that reaches the tailnet as if the box had a device for it",
			"Without a device for the tailnet, what the command and its children connect to in\n100.64.0.0/10 goes there; datagrams (UDP, ping) to it fail. sudo and the like do not\n" +
				"work within. The exit code is the command's; 126 where it cannot be executed, 127\nwhere it is not found, 1 where it cannot be watched. Only root may do this.", runTransparent},
		"help": {"[VERB]", "show this, or the help of one verb", "", help},
	}
}

var background = context.Background()

// here is the init of this container.
var here = boot.Client{Root: "/"}

// The three voices: results on stdout, errors on stderr with the program's name
// before them, and usage errors with a pointer to the help.

func fail(err error) int {
	if errors.Is(err, unix.EPIPE) {
		return 0 // whoever read the result has seen enough
	}
	fmt.Fprintln(os.Stderr, "init:", err)
	if errors.Is(err, boot.ErrNoInit) {
		return exitNoInit
	}
	return 1
}

// done is the end of a verb that either worked or did not.
func done(err error) int {
	if err != nil {
		return fail(err)
	}
	return 0
}

func usage(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "init: "+format+"; see: init help\n", args...)
	return exitUsage
}

func unknownVerb(name string) int {
	if near := boot.Nearest(name, order); near != "" {
		return usage("there is no verb %q; did you mean %s?", name, near)
	}
	return usage("there is no verb %q", name)
}

func client(args []string) int {
	name := strings.TrimLeft(args[0], "-")
	if name == "h" {
		name = "help"
	}
	if name == completeVerb {
		return complete(args[1:])
	}
	if name == boot.ExporterVerb && len(args) == 2 {
		return runExporter(args[1])
	}
	if name == boot.TailnetVerb && len(args) == 2 && args[1] == boot.TailnetServe {
		return runTailnet()
	}
	if name == boot.NixVerb && len(args) == 1 {
		return loadNixDatabase()
	}
	v, ok := verbs[name]
	if !ok || name != args[0] && name != "help" && name != "version" {
		return unknownVerb(args[0])
	}
	return v.run(args[1:])
}

func help(args []string) int {
	if len(args) > 0 {
		v, ok := verbs[args[0]]
		if !ok {
			return unknownVerb(args[0])
		}
		printHelp(args[0], v)
		if v.more != "" {
			fmt.Println("\n      " + strings.ReplaceAll(v.more, "\n", "\n      "))
		}
		return 0
	}
	fmt.Print("init is PID 1 of this container, and its client:\n\n")
	for _, name := range order {
		printHelp(name, verbs[name])
	}
	return 0
}

func printHelp(name string, v verb) {
	fmt.Printf("  init %s\n      %s\n", strings.TrimSpace(name+" "+v.usage), strings.ReplaceAll(v.does, "\n", "\n      "))
}

// parse reads the flags of a verb, which may stand among its words, and checks how
// many words there are. ok is false where the program should end with code.
func parse(name string, args []string, least, most int, define func(*flag.FlagSet)) (words []string, code int, ok bool) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	if define != nil {
		define(f)
	}
	for {
		switch err := f.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, help([]string{name}), false
		case err != nil:
			return nil, usage("%s: %v", name, err), false
		}
		rest := f.Args()
		if len(rest) == 0 {
			break
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			words = append(words, rest...)
			break
		}
		words, args = append(words, rest[0]), rest[1:]
	}
	if len(words) < least {
		return nil, usage("%s needs more: init %s %s", name, name, verbs[name].usage), false
	}
	if most >= 0 && len(words) > most {
		return nil, usage("%s: %q is one word too many", name, words[most]), false
	}
	return words, 0, true
}

// terminalSize is the size of the terminal that stdout is; ok is false where it is none.
func terminalSize() (width, height int, ok bool) {
	size, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, false
	}
	return int(size.Col), int(size.Row), true
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
