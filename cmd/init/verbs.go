package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	boot "github.com/fleek-platform/nix2vast/init"
)

// untilInterrupted is for what goes on until somebody has seen enough.
func untilInterrupted() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(background, os.Interrupt, syscall.SIGTERM)
}

func showStatus(args []string) int {
	var q boot.StatusQuery
	var watch bool
	names, code, ok := parse("status", args, 0, -1, func(f *flag.FlagSet) {
		f.BoolVar(&q.JSON, "json", false, "")
		f.DurationVar(&q.Wait, "wait", 0, "")
		f.BoolVar(&watch, "watch", false, "")
	})
	if !ok {
		return code
	}
	q.Names = names
	if watch {
		return done(watchStatus(q))
	}
	q.Width, _, _ = terminalSize()
	phase, err := status(q)
	if err != nil {
		return fail(err)
	}
	return phase.ExitCode()
}

// status asks once, or with wait until boot is over, a socket that does not yet
// exist included.
func status(q boot.StatusQuery) (boot.Phase, error) {
	ctx, cancel := context.WithTimeout(background, q.Wait+10*time.Second)
	defer cancel()
	if q.Wait <= 0 {
		return here.Status(ctx, os.Stdout, q)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(q.Wait); ; <-tick.C {
		q.Wait = max(time.Until(deadline), time.Millisecond)
		phase, err := here.Status(ctx, os.Stdout, q)
		if !errors.Is(err, boot.ErrNoInit) || time.Now().After(deadline) {
			return phase, err
		}
	}
}

// watchStatus draws the status again at each change; where stdout is no terminal,
// it prints a line for what has changed.
func watchStatus(q boot.StatusQuery) error {
	ctx, stop := untilInterrupted()
	defer stop()
	var last boot.Status
	return here.Watch(ctx, q.Names, func(st boot.Status) error {
		width, _, onTerminal := terminalSize()
		switch {
		case q.JSON:
			return printJSON(st)
		case onTerminal:
			if _, err := fmt.Print(clearScreen); err != nil {
				return err
			}
			return st.WriteText(os.Stdout, width)
		}
		for _, line := range st.Changed(last) {
			if _, err := fmt.Println(time.Now().UTC().Format(time.RFC3339), line); err != nil {
				return err
			}
		}
		last = st
		return nil
	})
}

// clearScreen is understood by every terminal that ECMA-48 describes.
const clearScreen = "\x1b[H\x1b[2J"

func showLogs(args []string) int {
	q := boot.LogQuery{}
	names, code, ok := parse("logs", args, 0, -1, func(f *flag.FlagSet) {
		f.BoolVar(&q.Follow, "f", false, "")
		f.IntVar(&q.N, "n", -1, "")
		f.StringVar(&q.Since, "since", "", "")
		f.BoolVar(&q.JSON, "json", false, "")
	})
	if !ok {
		return code
	}
	if q.Follow && q.N < 0 && q.Since == "" {
		q.N = 10
	}
	q.Names = names
	ctx, stop := untilInterrupted()
	defer stop()
	return done(here.Logs(ctx, os.Stdout, q))
}

func change(name string) func([]string) int {
	return func(args []string) int {
		names, code, ok := parse(name, args, 1, -1, nil)
		if !ok {
			return code
		}
		return changed(name, names)
	}
}

func changed(verb string, names []string) int {
	outcome, err := here.Change(background, verb, names, true)
	if err != nil {
		return fail(err)
	}
	return settled(verb, outcome)
}

// settled prints where services stand, and is 1 where that is not where they should.
func settled(verb string, outcome boot.Outcome) int {
	fmt.Print(outcome)
	if !outcome.Good(verb) {
		return 1
	}
	return 0
}

func reload(args []string) int {
	names, code, ok := parse("reload", args, 0, -1, nil)
	if !ok {
		return code
	}
	if len(names) > 0 {
		return changed("reload", names)
	}
	result, err := here.Reload(background)
	if err != nil {
		return fail(err)
	}
	printReload(result)
	return 0
}

func printReload(r boot.Reloaded) {
	fmt.Println(r)
	for _, note := range r.Notes {
		fmt.Println(note)
	}
	for _, problem := range r.Problems {
		fmt.Fprintln(os.Stderr, "init: still wrong:", problem)
	}
}

func kill(args []string) int {
	signal := "TERM"
	names, code, ok := parse("kill", args, 1, -1, func(f *flag.FlagSet) { f.StringVar(&signal, "s", signal, "") })
	if !ok {
		return code
	}
	if boot.ParseSignal(signal) == 0 {
		return usage("kill: %q is no signal, such as HUP or 1", signal)
	}
	return done(here.Kill(background, signal, names))
}

func enable(args []string) int {
	now := true
	words, code, ok := parse("enable", args, 1, -1, func(f *flag.FlagSet) { f.BoolVar(&now, "now", true, "") })
	if !ok {
		return code
	}
	names, files, err := namesAndFiles(words)
	if err != nil {
		return fail(err)
	}
	result, err := here.Enable(background, names, files, now, true)
	return enabled("enable", result, err)
}

// namesAndFiles tells unit files from the names of units. The files get absolute paths.
func namesAndFiles(words []string) (names, files []string, err error) {
	for _, word := range words {
		isFile := strings.Contains(word, "/")
		if !isFile && strings.HasSuffix(word, ".service") {
			_, err := os.Stat(word)
			isFile = err == nil
		}
		if !isFile {
			names = append(names, word)
			continue
		}
		path, err := filepath.Abs(word)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("looking for the unit file: %w", err)
		}
		files = append(files, path)
	}
	return names, files, nil
}

func disable(args []string) int {
	now := true
	names, code, ok := parse("disable", args, 1, -1, func(f *flag.FlagSet) { f.BoolVar(&now, "now", true, "") })
	if !ok {
		return code
	}
	result, err := here.Disable(background, names, now, true)
	return enabled("disable", result, err)
}

func enabled(verb string, result boot.Enabled, err error) int {
	if err != nil {
		return fail(err)
	}
	for _, change := range result.Changes {
		fmt.Println(change)
	}
	if result.Reload != nil {
		printReload(*result.Reload)
	}
	return settled(verb, result.Services)
}

func cat(args []string) int {
	names, code, ok := parse("cat", args, 1, -1, nil)
	if !ok {
		return code
	}
	return done(here.Cat(background, os.Stdout, names))
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
		return done(printJSON(report))
	}
	_, err = fmt.Print(boot.GPUText(report))
	return done(err)
}

// check says everything that is wrong with files, and what of good ones a
// container cannot do.
func check(args []string) int {
	var kind string
	files, code, ok := parse("check", args, 1, -1, func(f *flag.FlagSet) { f.StringVar(&kind, "as", "", "") })
	if !ok {
		return code
	}
	if kind != "" && !boot.Kind(kind).Known() {
		return usage("check: --as %s is none of %s", kind, boot.KindNames())
	}
	var list []boot.Checked
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			code = fail(fmt.Errorf("reading the definitions: %w", err))
			continue
		}
		list = append(list, boot.Checked{File: file, Text: b, Kind: boot.Kind(kind)})
	}
	boot.CheckFiles("/", list, func(good bool, text string) {
		if good {
			fmt.Print(text)
			return
		}
		fmt.Fprint(os.Stderr, text)
		code = 1
	})
	return code
}
