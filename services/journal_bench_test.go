package services

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// This program is also the service that BenchmarkPump runs: "pump BYTES CHUNK" writes
// lines of 100 bytes, CHUNK bytes at a time.
func init() {
	if len(os.Args) != 4 || os.Args[1] != "pump" {
		return
	}
	left, _ := strconv.Atoi(os.Args[2])
	size, _ := strconv.Atoi(os.Args[3])
	chunk := make([]byte, size)
	for i := range chunk {
		chunk[i] = 'a' + byte(i%23)
		if (i+1)%100 == 0 {
			chunk[i] = '\n'
		}
	}
	for left > 0 {
		n, err := unix.Write(1, chunk[:min(left, size)])
		if err != nil && err != unix.EINTR {
			os.Exit(1)
		}
		left -= max(n, 0)
	}
	os.Exit(0)
}

// BenchmarkPump is a service that writes as fast as it can, in another process,
// while its lines go to memory, to files of 50 MB on a tmpfs, and to /dev/null as output.
func BenchmarkPump(b *testing.B) {
	for _, c := range []struct {
		name   string
		bytes  int
		chunk  int
		format Format
	}{
		{"4KiB-writes", 1e9, 4096, Text},
		{"line-writes", 1e8, 100, Text},
		{"4KiB-writes-json", 1e9, 4096, JSON},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir, err := os.MkdirTemp("/dev/shm", "pump")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(dir) })
			out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				b.Fatal(err)
			}
			j := NewJournal(JournalOptions{Out: out, Format: c.format, Dir: dir, FileSize: 50e6})
			p, err := j.open("web", "")
			if err != nil {
				b.Fatal(err)
			}
			before, cpu := memory(b, "VmRSS"), cpuTime(b)
			b.SetBytes(int64(c.bytes))
			for b.Loop() {
				cmd := exec.Command("/proc/self/exe", "pump", fmt.Sprint(c.bytes), fmt.Sprint(c.chunk))
				cmd.Stdout = end(b, p)
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				for p.holds() {
					p.drain()
				}
			}
			b.ReportMetric((cpuTime(b)-cpu)*1e9/float64(c.bytes)/float64(b.N), "cpu-s/GB")
			b.ReportMetric(memory(b, "VmHWM")-before, "peak-KB-more")
		})
	}
}

// cpuTime is what this process used, without its children, in seconds.
func cpuTime(t testing.TB) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
