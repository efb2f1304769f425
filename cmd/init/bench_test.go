package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The benchmarks compare init with what a box would have without it, in turn
// and in the same run; each reports two medians and their ratio.

const benchKey = "SSH_PUBLIC_KEYS=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGQRQ4LmkKnrMYIlYGmtNqfgUfVLWgYtVQj6oHWpJMzy bench"

// openBox starts a box in dir and returns its pid, from outside, and the moment
// at which its program was exec'ed.
func openBox(b *testing.B, dir string, args ...string) (pid int, execed time.Time, end func()) {
	b.Helper()
	args = append([]string{dir}, args...)
	o, err := parseBox(args)
	if err != nil {
		b.Fatal(err)
	}
	var out bytes.Buffer
	cmd, err := startBox(o, args, nil, &out, &out)
	execed = time.Now()
	if err != nil {
		b.Fatal(err)
	}
	return cmd.Process.Pid, execed, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// untilBanner connects from inside the network of a process, again and again,
// until sshd has sent its banner there.
func untilBanner(b *testing.B, pid int) time.Time {
	b.Helper()
	result := make(chan time.Time)
	go func() {
		defer close(result)
		// The thread comes back: were it to end, boxes that it forked would too.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		home, err1 := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		ns, err2 := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err1 != nil || err2 != nil || unix.Setns(ns, unix.CLONE_NEWNET) != nil {
			return
		}
		defer func() {
			_ = unix.Setns(home, unix.CLONE_NEWNET)
			unix.Close(home)
			unix.Close(ns)
		}()
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return
			}
			got := make([]byte, 8)
			if unix.Connect(fd, &unix.SockaddrInet4{Port: 22, Addr: [4]byte{127, 0, 0, 1}}) == nil {
				if n, _ := unix.Read(fd, got); string(got[:max(n, 0)]) == "SSH-2.0-" {
					now := time.Now()
					unix.Close(fd)
					result <- now
					return
				}
			}
			unix.Close(fd)
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 200_000}, nil) // as a client that tries again, not a busy loop
		}
	}()
	at, ok := <-result
	if !ok {
		b.Fatal("no SSH banner came")
	}
	return at
}

// BenchmarkBanner: exec of init to sshd's banner, against the same sshd, with
// the same configuration and host keys, exec'ed in init's place.
func BenchmarkBanner(b *testing.B) {
	dir := b.TempDir()
	pid, _, end := openBox(b, dir, "-e", benchKey) // makes keys and configuration
	untilBanner(b, pid)
	end()
	var ours, bare []float64
	for b.Loop() {
		pid, t, end := openBox(b, dir, "-e", benchKey)
		ours = append(ours, untilBanner(b, pid).Sub(t).Seconds()*1e3)
		end()
		pid, t, end = openBox(b, dir, "-exec", "/usr/sbin/sshd", "-D", "-e")
		bare = append(bare, untilBanner(b, pid).Sub(t).Seconds()*1e3)
		end()
	}
	report(b, "init-ms", ours, "bare-ms", bare)
}

func report(b *testing.B, name string, ours []float64, other string, theirs []float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ours), name)
	b.ReportMetric(median(theirs), other)
	b.ReportMetric(median(ours)/median(theirs), "ratio")
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// BenchmarkStatus: the whole process of `init status`, against that of a static
// Go program which prints one line.
func BenchmarkStatus(b *testing.B) {
	dir := b.TempDir()
	hello := filepath.Join(dir, "hello")
	source := filepath.Join(dir, "hello.go")
	if err := os.WriteFile(source, []byte("package main\n\nimport \"os\"\n\nfunc main() { os.Stdout.WriteString(\"hello\\n\") }\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", hello, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs []float64
	for b.Loop() {
		a, c := timed(b, filepath.Join(dir, "box"), "-e", benchKey, self, "stopwatch", hello)
		ours, theirs = append(ours, a), append(theirs, c)
	}
	report(b, "init-ms", ours, "hello-ms", theirs)
}

// timed runs a box whose main command is the stopwatch.
func timed(b *testing.B, args ...string) (status, other float64) {
	b.Helper()
	o, err := parseBox(args)
	if err != nil {
		b.Fatal(err)
	}
	var out, log bytes.Buffer
	cmd, err := startBox(o, args, nil, &out, &log)
	if err != nil {
		b.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := fmt.Sscan(out.String(), &status, &other); err != nil {
		b.Fatalf("%v: %s%s", err, &out, &log)
	}
	return status, other
}

// stopwatch is the main command of BenchmarkStatus's box. It prints the median
// milliseconds of `init status` and of the program given.
func stopwatch(args []string) {
	if err := exec.Command("/init", "status", "--wait", "20s").Run(); err != nil {
		fmt.Println("init status:", err)
		os.Exit(1)
	}
	once := func(argv ...string) float64 {
		began := time.Now()
		if err := exec.Command(argv[0], argv[1:]...).Run(); err != nil {
			fmt.Println(argv, err)
			os.Exit(1)
		}
		return time.Since(began).Seconds() * 1e3
	}
	var ours, theirs []float64
	for range 50 {
		ours = append(ours, once("/init", "status"))
		theirs = append(theirs, once(args[0]))
	}
	fmt.Println(median(ours), median(theirs))
	os.Exit(0)
}

// BenchmarkMemory: what PID 1 keeps in memory while sshd runs and nothing
// happens, three seconds after it was ready.
func BenchmarkMemory(b *testing.B) {
	dir := b.TempDir()
	pid, _, end := openBox(b, dir, "-e", benchKey) // writes the program
	untilBanner(b, pid)
	end()
	var rss []float64
	for b.Loop() {
		fromDisk(b, filepath.Join(dir, "upper", "init"))
		pid, _, end := openBox(b, dir, "-e", benchKey)
		untilBanner(b, pid)
		<-time.After(3 * time.Second)
		rss = append(rss, memory(b, pid))
		end()
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(rss)/1024, "rss-MB")
	b.ReportMetric(median(rss)/1024/8, "ratio-to-8MB")
}

// BenchmarkPrograms: what the tailnet's program and the exporter cost an init that has them
// inside and does not run them, against the same init without.
func BenchmarkPrograms(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	file := os.Getenv("INIT_UNDER_TEST")
	inits := map[string]string{"with": file, "without": filepath.Join(filepath.Dir(file), "plain")}
	status, rss := map[string][]float64{}, map[string][]float64{}
	dirs := map[string]string{"with": b.TempDir(), "without": b.TempDir()}
	for b.Loop() {
		for name, file := range inits {
			b.Setenv("INIT_UNDER_TEST", file)
			ms, _ := timed(b, filepath.Join(dirs[name], "clock"), "-e", benchKey, self, "stopwatch", "/bin/true")
			status[name] = append(status[name], ms)
			dir := filepath.Join(dirs[name], "memory")
			pid, _, end := openBox(b, dir, "-e", benchKey) // writes the program
			untilBanner(b, pid)
			end()
			fromDisk(b, filepath.Join(dir, "upper", "init"))
			pid, _, end = openBox(b, dir, "-e", benchKey)
			untilBanner(b, pid)
			<-time.After(3 * time.Second)
			rss[name] = append(rss[name], memory(b, pid)/1024)
			end()
		}
	}
	report(b, "status-ms", status["with"], "plain-status-ms", status["without"])
	b.ReportMetric(median(rss["with"]), "rss-MB")
	b.ReportMetric(median(rss["without"]), "plain-rss-MB")
	b.ReportMetric(median(rss["with"])/median(rss["without"]), "rss-ratio")
}

// fromDisk has the kernel read a file again. One that was just written may lie in
// the page cache in pieces of 2 MB, each of which is mapped, and counted, as a
// whole; one that is read from disk does in small ones.
func fromDisk(b *testing.B, file string) {
	b.Helper()
	f, err := os.Open(file)
	if err == nil {
		defer f.Close()
		err = f.Sync()
	}
	if err == nil {
		err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// memory is the resident set of a process in KiB.
func memory(b *testing.B, pid int) float64 {
	b.Helper()
	f, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(f)
	if m == nil {
		b.Fatalf("no VmRSS in %s", f)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	if os.Getenv("BENCH_MAPS") != "" {
		_, _ = io.Copy(os.Stderr, strings.NewReader(maps(pid)))
	}
	return n
}

// maps lists what the memory is made of.
func maps(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	return string(b)
}
