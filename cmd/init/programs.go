package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	boot "github.com/fleek-platform/nix2vast/init"
)

// Exit codes of env(1) for a command that could not be executed.
const (
	exitCannotExec = 126
	exitNotFound   = 127
)

// runTransparent becomes a command that reaches the tailnet.
func runTransparent(args []string) int {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	} else if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return usage("run: %s is no flag of it; a command that begins with a dash stands behind --", args[0])
	}
	if len(args) == 0 {
		return usage("run needs more: init run %s", verbs["run"].usage)
	}
	err := boot.RunTransparent("/", args)
	switch {
	case errors.Is(err, boot.ErrNoInit):
	case errors.Is(err, fs.ErrNotExist):
		_ = fail(err)
		return exitNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOEXEC):
		_ = fail(err)
		return exitCannotExec
	}
	return fail(err)
}

// exitForGood tells the supervisor not to start the service again.
const exitForGood = 125

// runExporter is the process of the service metrics.
func runExporter(address string) int {
	fmt.Fprintln(os.Stderr, boot.RunExporter("/", address))
	return exitForGood
}

// runTailnet is the process of the service tailnet.
func runTailnet() int {
	fmt.Fprintln(os.Stderr, boot.RunTailnet("/"))
	return exitForGood
}

// loadNixDatabase is the process of the service nix-database.
func loadNixDatabase() int {
	c, err := boot.New("/", version, nil)
	if err != nil {
		return fail(err)
	}
	return boot.LoadNixDatabase(background, c, os.Stdout)
}
