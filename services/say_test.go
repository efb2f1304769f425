package services

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// say is the other side of the protocols, as a program of its own: the test binary with the
// word "say" before the messages. Each word is one datagram, "|" in it a line break; "fd:TEXT" sends
// a descriptor with it on which "kept" can be read, "fd" alone prints what the
// descriptors from 3 on give, "wait" never ends.
func say(words []string) {
	for _, word := range words {
		if word == "wait" {
			for { // select{} is a deadlock to Go where no other goroutine is
				_, _, _ = syscall.Syscall(unix.SYS_PPOLL, 0, 0, 0)
			}
		}
		if word == "fd" {
			printPassed()
			continue
		}
		if err := sayOne(word); err != nil {
			fmt.Println("say:", err)
			os.Exit(1)
		}
	}
}

func sayOne(word string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: os.Getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	text, withFile := strings.CutPrefix(word, "fd:")
	text = strings.ReplaceAll(text, "|", "\n")
	if !withFile {
		_, err = conn.Write([]byte(text))
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if _, err := w.WriteString("kept"); err != nil {
		return err
	}
	w.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	rights := syscall.UnixRights(int(r.Fd()))
	if ctlErr := raw.Control(func(fd uintptr) { err = syscall.Sendmsg(int(fd), []byte(text), rights, nil, 0) }); ctlErr != nil {
		return ctlErr
	}
	return err
}

func printPassed() {
	fmt.Printf("fds=%s names=%s own=%v\n", os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"), os.Getenv("LISTEN_PID") == fmt.Sprint(os.Getpid()))
	for fd := range strings.Count(os.Getenv("LISTEN_FDNAMES"), ":") + 1 {
		buf := make([]byte, 16)
		n, err := syscall.Read(3+fd, buf)
		fmt.Printf("fd %d: %q %v\n", 3+fd, buf[:max(n, 0)], err)
	}
}
