package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/fleek-platform/nix2vast/init/tailnet/wire"
	"github.com/fleek-platform/nix2vast/services"
	"github.com/fleek-platform/nix2vast/services/intercept"
)

// interceptor is the service that answers for those that are transparent.
const interceptor = "tailnet"

// filters keeps the listeners of the filters of what is transparent: as long as PID 1
// holds one, calls wait for the tailnet's program while there is none, and go on when it is
// there again. Each run of the program is sent all of them.
type filters struct {
	c    *Container
	wake chan struct{}

	mu   sync.Mutex
	list []*filter
	runs sync.Once
}

// filter is the listener of one process and all that it starts.
type filter struct {
	service string
	file    *os.File
	sentTo  int // the process of the tailnet's program that has it; 0: none
}

func newFilters(c *Container) *filters { return &filters{c: c, wake: make(chan struct{}, 1)} }

// add takes a listener over.
func (h *filters) add(service string, listener *os.File) {
	h.mu.Lock()
	h.list = append(h.list, &filter{service: service, file: listener})
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	h.runs.Do(func() { go h.deliver() })
}

// lookAfter is how often is looked whether the last process under a filter has ended, and
// whether a program that could not take a listener can now.
const lookAfter = time.Second

// deliver sends listeners until the container ends.
func (h *filters) deliver() {
	defer func() {
		if p := recover(); p != nil {
			h.c.Log.Error("BUG: panic while passing filters on", zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	said := ""
	for {
		snap, err := h.c.Supervisor.Snapshot(context.Background())
		if err != nil {
			return // the container is ending
		}
		h.forget()
		var again <-chan time.Time
		if err := h.send(programOf(snap)); err != nil {
			if err.Error() != said {
				h.c.Log.Warn("services that are transparent wait for the tailnet", zap.Error(err))
			}
			said = err.Error()
			again = time.After(lookAfter)
		} else if said = ""; h.any() {
			again = time.After(lookAfter)
		}
		select {
		case <-h.wake:
		case <-snap.Changed:
		case <-again:
		}
	}
}

// programOf is the process of the tailnet's program, once it takes listeners.
func programOf(snap services.Snapshot) int {
	for _, s := range snap.Services {
		if s.Name == interceptor && s.State == services.Ready {
			return s.Pid
		}
	}
	return 0
}

func (h *filters) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.list) > 0
}

// forget closes the listeners whose last process has ended.
func (h *filters) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := h.list[:0]
	for _, f := range h.list {
		state := []unix.PollFd{{Fd: int32(f.file.Fd())}}
		if n, err := unix.Poll(state, 0); err == nil && n == 1 && state[0].Revents&unix.POLLHUP != 0 {
			f.file.Close()
			continue
		}
		rest = append(rest, f)
	}
	clear(h.list[len(rest):])
	h.list = rest
}

// send gives this run of the program what it has not got yet.
func (h *filters) send(program int) error {
	if program == 0 {
		return nil // its start is a change, and wakes us
	}
	dir, err := h.c.runDir()
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.list {
		if f.sentTo == program {
			continue
		}
		if err := sendFilter(filepath.Join(dir, wire.FilterSocket), f.file); err != nil {
			return fmt.Errorf("the filter of %s: %w", f.service, err)
		}
		f.sentTo = program
	}
	return nil
}

// filterTime is how long the other side of a socket may take to take a listener.
const filterTime = 5 * time.Second

// sendFilter passes a listener on, and waits until it has been taken.
func sendFilter(socket string, listener *os.File) error {
	c, err := net.DialTimeout("unixpacket", socket, filterTime)
	if err != nil {
		return fmt.Errorf("passing the listener on: %w", err)
	}
	defer c.Close()
	conn := c.(*net.UnixConn)
	if err := conn.SetDeadline(time.Now().Add(filterTime)); err != nil {
		return fmt.Errorf("passing the listener on: %w", err)
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(listener.Fd())), nil); err != nil {
		return fmt.Errorf("passing the listener on: %w", err)
	}
	return confirmed(conn)
}

// confirmed waits for the byte that says that a listener was taken; anything else is why it was not.
func confirmed(conn net.Conn) error {
	answer := make([]byte, 4<<10)
	n, err := conn.Read(answer)
	switch {
	case n == 1 && answer[0] == 0:
		return nil
	case n > 0:
		return errors.New(string(answer[:n]))
	}
	return fmt.Errorf("the listener was not taken: %w", err)
}

// serveFilters takes the listeners of commands that somebody runs transparent.
func (h *filters) serveFilters() error {
	dir, err := h.c.runDir()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, wire.InitFilterSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the socket of filters of an earlier run: %w", err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("opening the socket of filters: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return fmt.Errorf("opening the socket of filters to all users: %w", err)
	}
	go func() {
		defer func() {
			if p := recover(); p != nil {
				h.c.Log.Error("BUG: panic while taking a filter", zap.Any("panic", p), zap.Stack("stack"))
			}
		}()
		h.c.Log.Error("the socket of filters has ended", zap.Error(accept(l, h.c.Log, "the socket of filters", h.take)))
	}()
	return nil
}

// take answers one command.
func (h *filters) take(conn *net.UnixConn) {
	err := conn.SetDeadline(time.Now().Add(filterTime))
	if err == nil {
		err = h.admit(conn)
	}
	answer := []byte{0}
	if err != nil {
		answer = []byte(err.Error())
	}
	_, _ = conn.Write(answer) // a command that has gone needs no answer
}

// admit takes a listener from those who may change something.
func (h *filters) admit(conn *net.UnixConn) error {
	uid, err := peer(conn)
	if err != nil {
		return fmt.Errorf("the kernel does not say who asks: %w", err)
	}
	if uid != 0 && int(uid) != os.Getuid() {
		return errors.New("only root may run a command in the tailnet")
	}
	snap, err := h.c.Supervisor.Snapshot(context.Background())
	if err != nil {
		return err
	}
	if !hasService(snap, interceptor) {
		return errors.New("no tailnet is configured: set TAILSCALE_AUTHKEY, or enable it in the image")
	}
	if _, err := conn.Write([]byte{0}); err != nil { // it puts itself under the filter only now
		return err
	}
	f, err := intercept.ReceiveFrom(conn)
	if errors.Is(err, intercept.ErrMemory) {
		return h.serveMemory(conn, programOf(snap))
	}
	if err != nil {
		return err
	}
	h.add("a command", f)
	return nil
}

// serveMemory opens the memory of processes for the tailnet's program: where the host has
// Yama, only an ancestor of theirs may.
func (h *filters) serveMemory(conn *net.UnixConn, program int) error {
	if who, err := peerProcess(conn); err != nil || who != program {
		return fmt.Errorf("process %d is not the tailnet's program, %d, and may not ask for memory: %w", who, program, errors.Join(err, unix.EPERM))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := conn.Write([]byte{0}); err != nil {
		return err
	}
	return intercept.ServeMemory(conn)
}

func hasService(snap services.Snapshot, name string) bool {
	for _, s := range snap.Services {
		if s.Name == name {
			return true
		}
	}
	return false
}

// RunTransparent turns this process into a program that reaches the tailnet as if the box had a
// device for it. It returns where that fails; the error is by errors.Is fs.ErrNotExist for a program
// that is not there. The caller is the main goroutine, locked to its thread.
func RunTransparent(root string, argv []string) error {
	path, err := services.LookPath(argv[0], Environ())
	if err != nil {
		return err
	}
	dir, err := runDir(root)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("unixpacket", filepath.Join(dir, wire.InitFilterSocket), filterTime)
	if err != nil {
		return fmt.Errorf("%w (%v)", ErrNoInit, err)
	}
	conn := c.(*net.UnixConn)
	if err := errors.Join(conn.SetDeadline(time.Now().Add(filterTime)), confirmed(conn)); err != nil {
		return err
	}
	err = intercept.Install(func(listener int) error {
		if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(listener), nil); err != nil {
			return fmt.Errorf("passing the listener on: %w", err)
		}
		return confirmed(conn)
	})
	if err != nil && !errors.Is(err, unix.EBUSY) { // where it is transparent already
		return err
	}
	return services.Become(path, argv, Environ())
}
