// Tailnet joins the box to a tailnet and keeps it there:
//
//	tailnet --run DIR
//
// Init starts it as the service tailnet, with its configuration in a descriptor, and asks
// it over the socket DIR/tailnet.sock. The package init/tailnet says what it does.
//
// It is a program of its own since its memory grows with what goes through it. It ships
// inside init, as the exporter does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"tailscale.com/cmd/tailscaled/childproc"
	_ "tailscale.com/feature/ssh"

	"github.com/fleek-platform/nix2vast/init/tailnet"
)

func main() {
	// Sessions of Tailscale SSH are this program again, under this name.
	if len(os.Args) > 2 && os.Args[1] == "be-child" {
		os.Exit(child(os.Args[2], os.Args[3:]))
	}
	run := flag.String("run", "/run/nix2vast", "init's run directory")
	root := flag.String("root", "/", "the directory below which the box's files are")
	verbose := flag.Bool("verbose", false, "log what Tailscale's own parts say")
	flag.Parse()
	// Of a program that was executed from memory the kernel knows no name.
	_ = os.WriteFile("/proc/self/comm", []byte("tailnet"), 0)
	if err := join(*root, *run, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child runs one of the parts of Tailscale that want a process of their own.
func child(name string, args []string) int {
	code, ok := childproc.Code[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no part %q of this program\n", name)
		return 2
	}
	if name == "ssh" {
		args = tailnet.Session("/", args)
	}
	if err := code(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// join runs until it is told to stop.
func join(root, run string, verbose bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, filters, err := tailnet.Inherited()
	if err != nil {
		return err
	}
	level := zapcore.InfoLevel
	if verbose {
		level = zapcore.DebugLevel
	}
	// Init adds the time to each line.
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		MessageKey: "msg", LevelKey: "level", NameKey: "logger", EncodeLevel: zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder, ConsoleSeparator: " ",
	})
	log := zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level))
	return tailnet.Run(ctx, tailnet.Options{Root: root, Run: run, Config: config, Filters: filters, Log: log})
}
