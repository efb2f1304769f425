package boot

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/image"
	"github.com/fleek-platform/nix2vast/services"
)

// New reads the image's config and the settings of the container whose root is
// given. A config that cannot be understood is an error: the image is not one
// that this program can boot.
func New(root, version string, command []string) (*Container, error) {
	config, err := image.Load(root)
	if err != nil {
		return nil, err
	}
	settings, problems := ParseSettings(Environ())
	return &Container{
		Root: root, Config: config, Settings: settings, Problems: problems,
		Version: version, Command: command, Progress: NewProgress(), defined: new(defined),
		runDir: runDirOnce(root),
	}, nil
}

// ConfigPath is where an image keeps its config.
const ConfigPath = "/" + image.ConfigPath

// InImage says whether root is that of a nix2vast image.
func InImage(root string) bool {
	_, err := os.Stat(filepath.Join(root, ConfigPath))
	return err == nil
}

// warmThreads survive 16 blocking calls at once in a full pids cgroup; each
// costs 20 KB of memory.
const warmThreads = 24

// Boot takes the steps, supervises, and returns the container's exit code. It
// must be called on the program's main goroutine, locked to the main thread.
// signals brings every signal but SIGCHLD, child SIGCHLD.
func (c *Container) Boot(steps []Step, signals, child <-chan os.Signal) int {
	hurry()
	alone := os.Getpid() == 1
	if !alone {
		// Orphans come to us instead of to a PID 1 that may not reap them.
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	if c.defined.only == "" { // its paths may be relative
		c.leaveDirectory()
	}
	c.Journal = services.NewJournal(services.JournalOptions{
		Out: c.output(), Format: services.Format(c.Settings.LogFormat), Dir: filepath.Join(c.Root, c.Settings.LogDir),
		NoColor: slices.ContainsFunc(c.Settings.Environ, func(kv string) bool { return len(kv) > 9 && kv[:9] == "NO_COLOR=" }),
	})
	c.Log = c.Journal.Logger(zapcore.InfoLevel)
	c.filters = newFilters(c)
	c.Supervisor = services.New(services.Options{
		Interceptor: interceptor, Intercepted: c.filters.add,
		Log: c.Log, Journal: c.Journal, Root: c.Root, Run: c.runDir, Program: ownProgram(),
		StopTimeout: c.Settings.StopTimeout, Alone: alone, Ending: c.sayEnding,
		Instead: c.Settings.Signals, MainAlone: c.Settings.SignalScope == ScopeProcess,
		EndWithLast: c.Settings.OnExit == OnExitExit,
	})
	c.Log.Info(fmt.Sprintf("nix2vast %s on %s, pid %d", c.Version, c.Settings.Host, os.Getpid()))
	for _, problem := range c.Problems {
		c.Log.Warn("settings: " + problem)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.Log.Error("BUG: panic in the boot", zap.Any("panic", p), zap.Stack("stack"))
			}
		}()
		Run(ctx, c, steps)
		settled := make(chan struct{})
		go func() {
			defer func() {
				if p := recover(); p != nil {
					c.Log.Error("BUG: panic after the boot", zap.Any("panic", p), zap.Stack("stack"))
				}
				close(settled)
			}()
			c.sayReady(ctx)
		}()
		select { // what follows would only take the processor from the first login
		case <-settled:
		case <-time.After(time.Second):
		}
		services.WarmThreads(warmThreads)
		if err := calm(settled, hurryMost, releaseMemory); err != nil {
			c.Log.Debug("giving memory back", zap.Error(err))
		}
	}()
	code := c.Supervisor.Run(signals, child)
	c.Log.Info(fmt.Sprintf("ended with exit code %d", code))
	c.Journal.Flush(300 * time.Millisecond)
	return code
}

// sayEnding does not wait: nobody may be reading any more.
func (c *Container) sayEnding() {
	go func() {
		defer func() {
			if p := recover(); p != nil {
				c.Log.Error("BUG: panic while notifying", zap.Any("panic", p), zap.Stack("stack"))
			}
		}()
		c.notifyUp("STOPPING=1")
	}()
}

// notifyUp passes a state on to whoever started the container.
func (c *Container) notifyUp(state string) {
	if err := NotifyUp(state); err != nil {
		c.Log.Warn(err.Error())
	}
}

// ownProgram is how we are started again: by /proc, whatever has become of our
// file, and where there is no /proc by the name that we go by.
func ownProgram() string {
	const self = "/proc/self/exe"
	if _, err := os.Lstat(self); err != nil && filepath.IsAbs(os.Args[0]) {
		return os.Args[0]
	}
	return self
}

// output is where init and the services write. With a main command stdout is
// that command's alone, so that it can be piped.
func (c *Container) output() io.Writer {
	if len(c.Command) > 0 {
		return os.Stderr
	}
	return os.Stdout
}

// sayReady logs once how the boot ended, repeats what went wrong, and starts what waits
// for that end.
func (c *Container) sayReady(ctx context.Context) {
	for {
		st, changed, err := c.status(ctx)
		if err != nil {
			return // the container is ending
		}
		if st.Phase == Stopping {
			return
		}
		if st.Phase != Booting {
			c.notifyUp("READY=1\nSTATUS=" + string(st.Phase))
			head := fmt.Sprintf("%s after %v", st.Phase, services.Round(cmp.Or(st.Took, time.Since(st.Since))))
			c.Log.Info(join(head, strings.Join(append(st.faults(c.Settings.GPU), "ssh: "+st.SSH.String()), "; ")))
			c.startPostReady(ctx, st)
			return
		}
		select {
		case <-changed[0]:
		case <-changed[1]:
		case <-ctx.Done():
			return
		}
	}
}

// CatchSignals catches all signals, SIGCHLD apart from the others. It is the
// first thing that a PID 1 does: a signal without a handler would go past the
// supervisor, and a dozen of Go's own handlers end the program.
//
// Those that engines send are caught when it returns. The others follow within
// milliseconds: for each the Go runtime wakes another thread and waits for it,
// which together costs as much as the rest of the boot. Of the real-time signals
// only RTMIN+3 means anything; the others end no Go program.
func CatchSignals() (signals, child <-chan os.Signal) {
	all := make(chan os.Signal, 64)
	chld := make(chan os.Signal, 1) // one that waits stands for any number
	signal.Notify(all, unix.SIGTERM, unix.SIGINT)
	signal.Notify(chld, unix.SIGCHLD)
	handleTheRest()
	go func() {
		defer func() { _ = recover() }() // there is no log yet
		for n := syscall.Signal(1); n < 32; n++ {
			switch n {
			case unix.SIGTERM, unix.SIGINT, unix.SIGCHLD: // caught
			case unix.SIGKILL, unix.SIGSTOP: // cannot be caught
			case unix.SIGURG: // Go's scheduler sends it to itself all the time
			default:
				signal.Notify(all, n)
			}
		}
		signal.Notify(all, services.SIGRTMIN3)
	}()
	return all, chld
}

// LimitCPU keeps a small program small on a machine of hundreds of cores.
func LimitCPU() {
	if runtime.GOMAXPROCS(0) > 4 {
		runtime.GOMAXPROCS(4)
	}
}
