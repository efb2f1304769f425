// Package gpu makes the driver that a container runtime injected usable by every
// program of a Nix image: from "the runtime put files somewhere" to "every CUDA
// program works".
//
// A runtime mounts the host's driver libraries wherever it thinks right, and
// its programs (nvidia-smi) ask for a loader that a Nix image does not have.
// Programs made by Nix, in turn, look in /run/opengl-driver/lib and in their own
// glibc's cache only. Four things together serve all of them, with no
// LD_LIBRARY_PATH:
//
//   - a link farm at /run/opengl-driver/lib that holds the driver and nothing else;
//   - the usual loader, /lib64/ld-linux-x86-64.so.2, as a link to the image's;
//   - the cache of the image's glibc as a link to /etc/ld.so.cache;
//   - an /sbin/ldconfig that reads that cache (python's ctypes and Triton run it).
//
// The injected programs are read-only mounts, so edited copies of them go to
// /run/nix2vast/bin. Nothing found at boot is trusted to be whole: files of zero
// bytes are left over from the mounts of an earlier driver, a program may be cut
// off, a mount may come late.
//
// No function starts a process: programs are started by Options.Run. Every path
// hangs off Options.Root. Each step is idempotent, and what one cannot do is a
// sentence in the report, never the end of the others.
package gpu

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// State says how far the way from the host's driver to a program here is open.
type State string

const (
	Absent    State = "absent"                 // nothing asked for, nothing here
	Requested State = "requested-not-injected" // asked for by the environment, nothing here
	Partial   State = "partial"                // something is here, something that it needs is not
	Denied    State = "denied"                 // the devices are here but may not be opened
	NoDriver  State = "no-driver"              // no driver answers behind the devices
	Mismatch  State = "mismatch"               // the libraries are not of the kernel module's version
	Injected  State = "injected"               // complete and linked, but no program to ask the driver with
	Ready     State = "ready"                  // the driver answers
)

// Report is what was found and done. Its JSON is stable and names no vendor in
// a key.
type Report struct {
	State  State  `json:"state"`
	Reason string `json:"reason"`         // one sentence
	Cure   string `json:"cure,omitempty"` // one sentence: what to do about it

	Vendor  string `json:"vendor,omitempty"`  // "nvidia"
	Version string `json:"version,omitempty"` // of the driver's libraries
	Kernel  string `json:"kernel,omitempty"`  // of the kernel module
	Mode    string `json:"mode,omitempty"`    // how it was injected: cdi, legacy, directory, nixos, wsl; image when it was not

	Libraries []string `json:"libraries,omitempty"` // paths as injected, sorted
	Programs  []string `json:"programs,omitempty"`  // paths as injected, sorted
	Devices   []string `json:"devices,omitempty"`   // paths, sorted
	GPUs      []GPU    `json:"gpus,omitempty"`      // only when ready

	Notes    []string `json:"notes,omitempty"`    // what was changed this time
	Problems []string `json:"problems,omitempty"` // what could not be done, or looks wrong
}

// GPU is one device as the driver describes it.
type GPU struct {
	Index     int    `json:"index"`
	UUID      string `json:"uuid"`
	Name      string `json:"name"`
	MemoryMiB int    `json:"memory_mib"` // 0 where memory is not the device's own
}

func (g GPU) String() string {
	return fmt.Sprintf("%d: %s, %d MiB, %s", g.Index, g.Name, g.MemoryMiB, g.UUID)
}

// Options say where to work and with what.
type Options struct {
	Root    string   // "" is "/"
	Environ []string // of PID 1: runtimes do not tell other processes everything

	// Loader and Ldconfig are absolute paths as seen in Root, from the image's
	// config. Without Loader the one that the usual link leads to is taken.
	Loader, Ldconfig string

	// SearchDirs are absolute paths in which libraries are looked for before
	// they are where runtimes put them.
	SearchDirs []string

	// Wait bounds how long Setup waits for the rest of an injection that is
	// incomplete. 0 is DefaultWait, less than 0 does not wait.
	Wait time.Duration

	// Run starts a program and returns what it wrote to stdout and stderr, and
	// its exit status. An error means that it did not start, or was ended by a
	// signal or by ctx; that one is context.DeadlineExceeded. Without Run, Setup
	// writes the cache itself, and Setup does not ask the driver.
	Run func(ctx context.Context, argv ...string) (output []byte, exit int, err error)

	Log *zap.Logger // told when Setup waits; nil is silent
}

// DefaultWait is for mounts and device nodes that come after the container's
// start. Every runtime known has finished by then, so this is rarely spent.
const DefaultWait = 10 * time.Second

// programTimeout bounds every program: nvidia-smi takes 1.6 s a device where
// persistence mode is off, and hangs on a driver in trouble.
const programTimeout = 10 * time.Second

// work is one Setup.
type work struct {
	Options
	tree
	arch     arch
	notes    []string
	problems []string
}

func newWork(o Options) *work {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return &work{Options: o, tree: tree(o.Root), arch: thisArch()}
}

func (w *work) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// problem keeps an error as a sentence; nil is none.
func (w *work) problem(err error) {
	if err != nil {
		w.problems = append(w.problems, err.Error())
	}
}

// Setup makes the driver usable and says what came of it. It waits, at most
// o.Wait, only where the injection looks unfinished. It may be called again at
// any time; a second call finds nothing to do and notes nothing.
func Setup(ctx context.Context, o Options) (r Report) {
	w := newWork(o)
	defer func() {
		if fault := recover(); fault != nil { // a box with a fault of ours is still a box
			r = Report{State: Partial, Reason: fmt.Sprintf("setting up the driver failed: %v", fault), Notes: w.notes, Problems: w.problems}
		}
	}()
	loader := w.floor()
	d := w.await(ctx)
	w.clean(d)
	w.buildFarm(d)
	w.refreshCache(ctx, d)
	w.patchPrograms(d, loader)
	return w.report(ctx, d)
}
