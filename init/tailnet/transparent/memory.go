package transparent

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/fleek-platform/nix2vast/services/intercept"
)

// MemoryBy asks init, which listens on socket, for the memory of processes.
func MemoryBy(socket string) func(tid int) (int, error) {
	var mu sync.Mutex
	var conn *net.UnixConn
	return func(tid int) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		if conn == nil {
			var err error
			if conn, err = dialMemory(socket); err != nil {
				return -1, err
			}
		}
		fd, err := intercept.MemoryOf(conn, tid)
		if err != nil {
			conn.Close() // the next asks anew: it may be init's second life
			conn = nil
		}
		return fd, err
	}
}

// dialMemory greets init. Only the program that it started as the service tailnet is served.
func dialMemory(socket string) (*net.UnixConn, error) {
	c, err := net.DialTimeout("unixpacket", socket, takeTime)
	if err != nil {
		return nil, fmt.Errorf("asking init: %w", err)
	}
	conn := c.(*net.UnixConn)
	err = conn.SetDeadline(time.Now().Add(takeTime))
	for _, say := range []string{intercept.AskMemory, ""} {
		b := make([]byte, 4<<10)
		n := 0
		if err == nil {
			n, err = conn.Read(b)
		}
		if err == nil && (n != 1 || b[0] != 0) {
			err = fmt.Errorf("init says: %s", b[:n])
		}
		if err == nil && say != "" {
			_, err = conn.Write([]byte(say))
		}
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("asking init for memory: %w", err)
	}
	return conn, nil
}
