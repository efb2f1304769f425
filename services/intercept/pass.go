package intercept

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrNoListener is for an other side that ended without a word.
var ErrNoListener = errors.New("the other side sent no listener")

// Pass sends a listener on a socket that keeps packets apart. A thread under the filter
// must not: the call is one of those that are asked about.
func Pass(socket, listener int) error {
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(listener), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("passing the listener of a filter on: %w", err)
	}
	return nil
}

// ReceiveFrom waits for what Pass sends. A packet without a descriptor is the other side's reason
// for having none, and comes as an error.
func ReceiveFrom(conn *net.UnixConn) (*os.File, error) {
	fds, text, err := receive(conn)
	switch {
	case err != nil:
		return nil, err
	case len(text) == 0:
		return nil, ErrNoListener
	case len(fds) != 1 && string(text) == AskMemory:
		return nil, ErrMemory
	case len(fds) != 1:
		return nil, errors.New(string(text))
	}
	f := os.NewFile(uintptr(fds[0]), "filter")
	if err := Check(fds[0]); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// receive takes one packet, and the descriptors that come with it.
func receive(conn *net.UnixConn) (fds []int, text []byte, err error) {
	b, rights := make([]byte, 4<<10), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := conn.ReadMsgUnix(b, rights)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("receiving a descriptor: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err == nil && len(messages) > 0 {
		fds, err = unix.ParseUnixRights(&messages[0])
	}
	if err != nil {
		return nil, nil, fmt.Errorf("receiving a descriptor: %w", err)
	}
	return fds, b[:n], nil
}

// ErrMemory is for an other side that wants to ask for memory.
var ErrMemory = errors.New("the other side sent no listener, and asks for memory")

// AskMemory is what is said to init in place of a listener, by the program that answers: from then on it may
// ask for the memory of processes on that connection.
const AskMemory = "memory"

// ServeMemory answers on a connection, which only the program that answers may have, until
// it ends: each packet has the number of a thread, each answer a descriptor, or why there is none.
func ServeMemory(conn *net.UnixConn) error {
	b := make([]byte, 32)
	for {
		n, err := conn.Read(b)
		if n == 0 || err != nil {
			return err
		}
		tid, err := strconv.Atoi(string(b[:n]))
		fd := -1
		if err == nil {
			fd, err = OpenMemory(tid)
		}
		if err != nil {
			_, err = conn.Write([]byte(err.Error()))
		} else {
			_, _, err = conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fd), nil)
			unix.Close(fd)
		}
		if err != nil {
			return fmt.Errorf("passing memory on: %w", err)
		}
	}
}

// MemoryOf asks the other side, which serves memory, for that of a thread.
func MemoryOf(conn *net.UnixConn, tid int) (fd int, err error) {
	if _, err := conn.Write(strconv.AppendInt(nil, int64(tid), 10)); err != nil {
		return -1, fmt.Errorf("asking for memory: %w", err)
	}
	fds, text, err := receive(conn)
	switch {
	case err != nil:
		return -1, err
	case len(fds) != 1:
		return -1, errors.New(string(text))
	}
	return fds[0], nil
}
