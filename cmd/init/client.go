package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	boot "github.com/fleek-platform/nix2vast/init"
)

// verb is one word that the client understands.
type verb struct {
	usage string // after the word
	does  string
	run   func(args []string) int
}

// verbs is filled in an init function since help refers to it.
var verbs map[string]verb

// order is that of the help.
var order = []string{"status", "logs", "start", "stop", "restart", "gpu", "check", "boot", "version", "help"}

func init() {
	verbs = map[string]verb{
		"status":  {"[--json] [--wait DUR]", "show the state of the container, its services and its GPU;\nexit code 0 ready, 1 degraded, 2 booting, 3 no init answers", showStatus},
		"logs":    {"[-f] [-n N] [NAME]", "show what the services, or one of them, wrote; -f goes on", showLogs},
		"start":   {"NAME...", "start services and wait until they are ready", change("start")},
		"stop":    {"NAME...", "stop services and wait until they have ended", change("stop")},
		"restart": {"NAME...", "stop and start services", change("restart")},
		"gpu":     {"[--json]", "show the state of the GPU driver, the reason and the cure", showGPU},
		"check":   {"FILE", "check the config of an image; exit code 1 if anything is wrong", check},
		"boot":    {"[COMMAND...]", "be the init of a container whose PID 1 is another program;\ndoes nothing where an init runs already", bootHere},
		"version": {"", "print the version", func([]string) int { fmt.Println(version); return 0 }},
		"help":    {"[VERB]", "show this, or the help of one verb", help},
	}
}

var background = context.Background()

// The three voices: results on stdout, errors on stderr with the program's name
// before them, and usage errors with a pointer to the help.

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "init:", err)
	if errors.Is(err, boot.ErrNoInit) {
		return exitNoInit
	}
	return 1
}

func usage(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "init: "+format+"; see: init help\n", args...)
	return exitUsage
}

func client(args []string) int {
	name := strings.TrimLeft(args[0], "-")
	if name == "h" {
		name = "help"
	}
	v, ok := verbs[name]
	if !ok || name != args[0] && name != "help" && name != "version" {
		return usage("there is no verb %q", args[0])
	}
	return v.run(args[1:])
}

func help(args []string) int {
	names := order
	if len(args) > 0 {
		if _, ok := verbs[args[0]]; !ok {
			return usage("there is no verb %q", args[0])
		}
		names = args[:1]
	} else {
		fmt.Print("init is PID 1 of this container, and its client:\n\n")
	}
	for _, name := range names {
		v := verbs[name]
		fmt.Printf("  init %s\n      %s\n", strings.TrimSpace(name+" "+v.usage), strings.ReplaceAll(v.does, "\n", "\n      "))
	}
	return 0
}

// parse reads the flags of a verb and checks how many words follow them. ok is
// false where the program should end with code.
func parse(name string, args []string, least, most int, define func(*flag.FlagSet)) (rest []string, code int, ok bool) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	if define != nil {
		define(f)
	}
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil, help([]string{name}), false
	case err != nil:
		return nil, usage("%s: %v", name, err), false
	}
	rest = f.Args()
	if len(rest) < least {
		return nil, usage("%s needs more: init %s %s", name, name, verbs[name].usage), false
	}
	if most >= 0 && len(rest) > most {
		return nil, usage("%s: %q is one word too many", name, rest[most]), false
	}
	return rest, 0, true
}

func showStatus(args []string) int {
	var asJSON bool
	var wait time.Duration
	_, code, ok := parse("status", args, 0, 0, func(f *flag.FlagSet) {
		f.BoolVar(&asJSON, "json", false, "")
		f.DurationVar(&wait, "wait", 0, "")
	})
	if !ok {
		return code
	}
	phase, err := status(asJSON, wait)
	if err != nil {
		return fail(err)
	}
	return phase.ExitCode()
}

// status asks once, or with wait until boot is over, a socket that does not yet
// exist included.
func status(asJSON bool, wait time.Duration) (boot.Phase, error) {
	cl := boot.Client{Root: "/"}
	ctx, cancel := context.WithTimeout(background, wait+10*time.Second)
	defer cancel()
	if wait <= 0 {
		return cl.Status(ctx, os.Stdout, asJSON, 0)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(wait); ; <-tick.C {
		phase, err := cl.Status(ctx, os.Stdout, asJSON, max(time.Until(deadline), time.Millisecond))
		if !errors.Is(err, boot.ErrNoInit) || time.Now().After(deadline) {
			return phase, err
		}
	}
}

func showLogs(args []string) int {
	var follow bool
	var n int
	rest, code, ok := parse("logs", args, 0, 1, func(f *flag.FlagSet) {
		f.BoolVar(&follow, "f", false, "")
		f.IntVar(&n, "n", 0, "")
	})
	if !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(background, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := boot.Client{Root: "/"}.Logs(ctx, strings.Join(rest, ""), n, follow, os.Stdout)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		return fail(err)
	}
	return 0
}

func change(name string) func([]string) int {
	return func(args []string) int {
		names, code, ok := parse(name, args, 1, -1, nil)
		if !ok {
			return code
		}
		good, err := boot.Client{Root: "/"}.Change(background, name, names, os.Stdout)
		if err != nil {
			return fail(err)
		}
		if !good {
			return 1
		}
		return 0
	}
}

func showGPU(args []string) int {
	var asJSON, setup bool
	_, code, ok := parse("gpu", args, 0, 0, func(f *flag.FlagSet) {
		f.BoolVar(&asJSON, "json", false, "")
		f.BoolVar(&setup, "setup", false, "") // what the gpu service runs
	})
	if !ok {
		return code
	}
	if setup {
		c, err := boot.New("/", version, nil)
		if err != nil {
			return fail(err)
		}
		return boot.SetupGPU(background, c, os.Stdout)
	}
	report, err := boot.ReadGPU("/")
	if err != nil {
		return fail(err)
	}
	if asJSON {
		err = printJSON(report)
	} else {
		_, err = fmt.Print(boot.GPUText(report))
	}
	if err != nil {
		return fail(err)
	}
	return 0
}

func check(args []string) int {
	rest, code, ok := parse("check", args, 1, 1, nil)
	if !ok {
		return code
	}
	b, err := os.ReadFile(rest[0])
	if err == nil {
		err = boot.CheckConfig(b)
	}
	if err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintf(os.Stderr, "%s: %s\n", rest[0], line)
		}
		return 1
	}
	fmt.Println(rest[0] + ": good")
	return 0
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
