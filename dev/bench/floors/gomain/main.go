// Gomain is floorgo in the shape of our init: forks and waits are made by the
// locked main thread alone, with __WNOTHREAD, so that os/exec elsewhere in a
// program keeps its own children.
package main

import (
	"bufio"
	"log"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

func init() { runtime.LockOSThread() }

func main() {
	term, child := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	signal.Notify(child, syscall.SIGCHLD)
	start(os.Args[1])
	stop := false
	for {
		select {
		case <-term:
			stop = true
			_ = syscall.Kill(-1, syscall.SIGTERM)
		case <-child:
		}
		if reap() && stop {
			os.Exit(0)
		}
	}
}

func start(list string) {
	f, err := os.Open(list)
	if err != nil {
		log.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		log.Fatal(err)
	}
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{null.Fd(), 1, 2}}
	for s := bufio.NewScanner(f); s.Scan(); {
		argv := strings.Fields(s.Text())[1:]
		if _, err := syscall.ForkExec(argv[0], argv, attr); err != nil {
			log.Print(err)
		}
	}
}

// wnothread is __WNOTHREAD of wait4(2): children of the calling thread alone.
const wnothread = 0x20000000

// reap says whether there is no child left.
func reap() bool {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG|wnothread, nil)
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			return true
		case pid <= 0 || err != nil:
			return false
		}
	}
}
