// Gopump is what logs cost a Go program at least: gopump LIST DIR raw|prefix
// starts each line of LIST, "NAME COMMAND...", and copies what it writes to files
// of 50 MB in DIR, the latest ten of them, with prefix behind a time and the name
// on each line. One goroutine a service, 64 KiB reads, a pipe of 1 MiB.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	pipeSize  = 1 << 20
	fileSize  = 50 << 20
	fileCount = 10

	setPipeSize = 1031       // F_SETPIPE_SZ of fcntl(2)
	wnothread   = 0x20000000 // __WNOTHREAD of wait4(2)
)

func init() { runtime.LockOSThread() }

func main() {
	child := make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	f, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if err := start(words[0], words[1:]); err != nil {
			log.Fatal(err)
		}
	}
	for range child {
		for {
			if pid, _ := syscall.Wait4(-1, nil, syscall.WNOHANG|wnothread, nil); pid <= 0 {
				break
			}
		}
	}
}

func start(name string, argv []string) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	defer syscall.Close(p[1])
	// Refused, the pipe stays at 64 KiB.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(p[0]), setPipeSize, pipeSize)
	if err := syscall.SetNonblock(p[0], true); err != nil {
		return err
	}
	go (&pump{name: name, dir: os.Args[2], prefix: os.Args[3] == "prefix"}).run(os.NewFile(uintptr(p[0]), name))
	_, err = syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{null.Fd(), uintptr(p[1]), 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	return err
}

type pump struct {
	name, dir string
	prefix    bool
	file      *os.File
	files     int
	size      int
	inLine    bool   // the last read ended within a line
	out       []byte // kept from read to read
}

func (p *pump) run(r *os.File) {
	in := make([]byte, 64<<10)
	for {
		n, err := r.Read(in)
		b := in[:max(n, 0)]
		if p.prefix {
			b = p.stamp(b)
		}
		p.write(b)
		if err != nil {
			return
		}
	}
}

// stamp puts the time and the name before each line.
func (p *pump) stamp(b []byte) []byte {
	p.out = p.out[:0]
	head := time.Now().UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z ")
	head = append(append(head, p.name...), " | "...)
	for len(b) > 0 {
		if !p.inLine {
			p.out = append(p.out, head...)
		}
		i := bytes.IndexByte(b, '\n')
		if p.inLine = i < 0; p.inLine {
			i = len(b) - 1
		}
		p.out = append(p.out, b[:i+1]...)
		b = b[i+1:]
	}
	return p.out
}

func (p *pump) write(b []byte) {
	if p.file == nil || p.size > fileSize {
		p.file.Close() // nil at first, which is an error that says so
		_ = os.Remove(fmt.Sprintf("%s/%s.%d", p.dir, p.name, p.files-fileCount))
		f, err := os.Create(fmt.Sprintf("%s/%s.%d", p.dir, p.name, p.files))
		if err != nil {
			log.Fatal(err)
		}
		p.file, p.size = f, 0
		p.files++
	}
	if _, err := p.file.Write(b); err != nil {
		log.Fatal(err)
	}
	p.size += len(b)
}
