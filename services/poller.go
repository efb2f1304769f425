package services

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// poller wakes the pipes that have something to read. It is an epoll instance of
// our own since the Go runtime's is told of every single write to a pipe, a switch
// of threads each: a service that writes line by line would cost as much in those as
// in all the rest. Here a pipe is armed for one event, and again once it was found empty.
type poller struct {
	mu    sync.Mutex
	file  *os.File // nil: not needed yet
	fd    int      // of file, whose Fd would make it blocking
	pipes map[int]*pipe
}

// add begins to watch a pipe, armed.
func (o *poller) add(j *Journal, p *pipe) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return fmt.Errorf("creating the epoll instance of the log: %w", err)
		}
		if err := unix.SetNonblock(fd, true); err != nil { // else os takes it for one that cannot be polled
			return errors.Join(err, unix.Close(fd))
		}
		o.fd, o.file, o.pipes = fd, os.NewFile(uintptr(fd), "epoll"), map[int]*pipe{}
		go o.serve(j)
	}
	err := unix.EpollCtl(o.fd, unix.EPOLL_CTL_ADD, p.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(p.fd)})
	if err != nil {
		return fmt.Errorf("watching the pipe of %s: %w", p.name, err)
	}
	o.pipes[p.fd] = p
	return nil
}

// arm asks for one wake-up as soon as there is something to read, which may be at once.
func (o *poller) arm(p *pipe) error {
	return unix.EpollCtl(o.fd, unix.EPOLL_CTL_MOD, p.fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(p.fd)})
}

// remove ends the watch.
func (o *poller) remove(p *pipe) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.pipes, p.fd)
	_ = unix.EpollCtl(o.fd, unix.EPOLL_CTL_DEL, p.fd, nil) // closing it does the same
}

func (o *poller) serve(j *Journal) {
	defer recoveredQuietly()
	for o.poll(j) {
	}
}

// poll returns false when polling cannot go on.
func (o *poller) poll(j *Journal) (more bool) {
	defer func() {
		if r := recover(); r != nil {
			more = true
			j.add(initName, time.Now(), fmt.Sprintf("BUG: panic while waiting for what services write: %v", r))
		}
	}()
	conn, err := o.file.SyscallConn()
	if err != nil {
		return false
	}
	var events [64]unix.EpollEvent
	_ = conn.Read(func(fd uintptr) bool { // ends only if the file is closed, which nobody does
		for {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			o.mu.Lock()
			for _, e := range events[:max(n, 0)] {
				p := o.pipes[int(e.Fd)]
				switch {
				case p == nil:
				case e.Events&unix.EPOLLIN != 0:
					p.wake()
				case !p.parked():
					_ = o.arm(p) // cannot fail: it is watched
				}
			}
			o.mu.Unlock()
			if n < len(events) && err != unix.EINTR {
				return false
			}
		}
	})
	return false
}
