package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func showTop(args []string) int {
	var count int
	var asJSON bool
	span := time.Second
	_, code, ok := parse("top", args, 0, 0, func(f *flag.FlagSet) {
		f.IntVar(&count, "n", 0, "")
		f.BoolVar(&asJSON, "json", false, "")
		f.DurationVar(&span, "span", span, "")
	})
	if !ok {
		return code
	}
	_, _, onTerminal := terminalSize()
	if count <= 0 && (asJSON || !onTerminal) {
		count = 1
	}
	ctx, stop := untilInterrupted()
	defer stop()
	if onTerminal && !asJSON {
		defer endOnKey(stop)()
	}
	for n := 0; count <= 0 || n < count; n++ {
		top, err := here.Top(ctx, span)
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			return fail(err)
		}
		width := 0
		switch {
		case asJSON:
			err = printJSON(top)
		case onTerminal:
			width, _, _ = terminalSize()
			fmt.Print(clearScreen)
			fallthrough
		default:
			err = top.WriteText(os.Stdout, width)
		}
		if err != nil {
			return fail(err)
		}
	}
	return 0
}

// endOnKey calls stop when somebody presses q, and returns what gives the
// terminal back as it was.
func endOnKey(stop context.CancelFunc) (restore func()) {
	before, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil {
		return func() {} // stdin is no terminal
	}
	keys := *before
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
	_ = unix.IoctlSetTermios(0, unix.TCSETS, &keys) // then q needs a return behind it
	go func() {
		defer func() { _ = recover(); stop() }()
		for key := make([]byte, 1); ; {
			n, err := os.Stdin.Read(key)
			if err != nil || n == 1 && (key[0] == 'q' || key[0] == 'Q') {
				return
			}
		}
	}()
	return func() { _ = unix.IoctlSetTermios(0, unix.TCSETS, before) }
}
