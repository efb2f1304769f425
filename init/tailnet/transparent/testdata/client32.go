// Client32 is a program of 32 bits that connects and sends; with an argument it does nothing.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		return
	}
	c, err := net.Dial("tcp", "100.64.0.2:80")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	io.WriteString(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	b, _ := io.ReadAll(c)
	fmt.Printf("echo: %s, peer: %v\n", b, c.RemoteAddr())
	u, err := net.ListenUDP("udp4", nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	to := &net.UDPAddr{IP: net.IPv4(100, 64, 0, 2), Port: 80}
	report := func(what string, err error) {
		if e, ok := err.(*net.OpError); ok {
			if s, ok := e.Err.(*os.SyscallError); ok {
				err = s.Err.(syscall.Errno)
			}
		}
		fmt.Printf("%s: %v\n", what, err)
	}
	_, err = u.WriteTo([]byte("x"), to)
	report("sendto", err)
	_, _, err = u.WriteMsgUDP([]byte("x"), nil, to)
	report("sendmsg", err)
	_, _, err = u.WriteMsgUDP([]byte("x"), nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9})
	report("elsewhere", err)
}
