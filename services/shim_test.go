package services

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shimmed runs a program by way of the shim and returns what it wrote, how it
// ended, and what the shim said.
func shimmed(t *testing.T, spec shim, attr *syscall.ProcAttr) (out string, ws syscall.WaitStatus, failure error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	attr.Files = append([]uintptr{null.Fd(), w.Fd(), w.Fd()}, attr.Files...)
	pid, report, _, err := startShim("/proc/self/exe", spec, attr)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	said, err := io.ReadAll(report)
	if err != nil {
		t.Fatal(err)
	}
	wrote, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(wrote), awaitEnd(t, pid), readFailure(said)
}

// script is a specification that runs sh.
func script(t *testing.T, x Execution, cred *syscall.Credential, listenFds int, text string, env ...string) shim {
	t.Helper()
	spec, err := x.shim("/bin/sh", []string{"sh", "-c", text}, append([]string{"PATH=/usr/bin:/bin"}, env...), "/tmp", cred, listenFds)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestShim asks the program what it was given.
func TestShim(t *testing.T) {
	cred := somebody()
	cred.Groups = []uint32{cred.Gid, 4242}
	score := 321
	ownUmask := syscall.Umask(0)
	syscall.Umask(ownUmask)
	open, err := exec.Command("/bin/sh", "-c", "exec ls /proc/self/fd").Output()
	if err != nil {
		t.Fatal(err)
	}
	status := func(key string) string { return "sed -n 's/^" + key + ":\\t//p' /proc/self/status" }
	for _, c := range []struct {
		name string
		x    Execution
		cred *syscall.Credential
		ask  string
		want string
	}{
		{"nothing", Execution{}, nil, "pwd; umask; " + status("NoNewPrivs") + "; test $(cut -d ' ' -f 6 /proc/self/stat) = $$ && echo session", fmt.Sprintf("/tmp\n%04o\n0\nsession\n", ownUmask)},
		{"umask", Execution{UMask: octal(0o137)}, nil, "umask", "0137\n"},
		{"umask of 0", Execution{UMask: octal(0)}, nil, "umask", "0000\n"},
		{"limits", Execution{Limit: map[string]string{"NOFILE": "123:456", "CORE": "0", "STACK": "1048576:infinity"}}, nil,
			"ulimit -S -n; ulimit -H -n; ulimit -c; ulimit -S -s", "123\n456\n0\n1024\n"},
		{"address space", Execution{Limit: map[string]string{"AS": "16777216", "DATA": "8388608"}}, nil, "ulimit -v; ulimit -d", "16384\n8192\n"},
		{"oom", Execution{OOMScoreAdjust: &score}, nil, "cat /proc/self/oom_score_adj", "321\n"},
		{"privileges", Execution{NoNewPrivileges: true}, nil, status("NoNewPrivs"), "1\n"},
		{"user", Execution{NoNewPrivileges: true, Limit: map[string]string{"NPROC": "999", "AS": "33554432"}, OOMScoreAdjust: &score}, cred,
			status("Uid") + ";" + status("Gid") + "; cat /proc/self/oom_score_adj;" + status("NoNewPrivs"),
			fmt.Sprintf("%[1]d\t%[1]d\t%[1]d\t%[1]d\n%[2]d\t%[2]d\t%[2]d\t%[2]d\n321\n1\n", cred.Uid, cred.Gid)},
		{"one process", Execution{Limit: map[string]string{"NPROC": "1"}}, cred, "ulimit -p; exec echo done", "1\ndone\n"},
		{"groups", Execution{}, cred, status("Groups") + " | tr -d ' \\n'", map[bool]string{true: "424265534", false: groupsOf(t)}[os.Geteuid() == 0]},
		{"descriptors", Execution{UMask: octal(0o22)}, nil, "exec ls /proc/self/fd", string(open)},
	} {
		out, ws, failure := shimmed(t, script(t, c.x, c.cred, 0, c.ask), &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setsid: true, Credential: c.cred}})
		if failure != nil || ws.ExitStatus() != 0 || out != c.want {
			t.Errorf("%s: %q, %v, ended with %d; want %q", c.name, out, failure, ws.ExitStatus(), c.want)
		}
	}
}

func groupsOf(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(b), "\nGroups:\t")
	line, _, _ = strings.Cut(line, "\n")
	return strings.ReplaceAll(line, " ", "")
}

// TestShimLimitTooHigh: where the container may not raise a limit it is the most that it may.
func TestShimLimitTooHigh(t *testing.T) {
	x := Execution{Limit: map[string]string{"NOFILE": "200:300"}}
	inner := script(t, Execution{Limit: map[string]string{"NOFILE": "250:infinity"}}, nil, 0, "ulimit -S -n; ulimit -H -n")
	// The shim within a shim has a hard limit of 300, and no capability to pass it.
	args := []string{"sh", "-c", `exec setpriv --bounding-set=-sys_resource "$0" -test.run='^TestShimInner$' -test.v`, "/proc/self/exe"}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args[3] = self
	spec, err := x.shim("/bin/sh", args, []string{"PATH=/usr/bin:/bin", "SHIM_INNER=" + string(bytes.ReplaceAll(inner.encode(), []byte{0}, []byte("|")))}, "/", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out, ws, failure := shimmed(t, spec, &syscall.ProcAttr{})
	if failure != nil || ws.ExitStatus() != 0 || !strings.Contains(out, "250\n300\n") {
		t.Errorf("%q %v %v, want a limit of 250:300", out, ws, failure)
	}
}

// TestShimInner is the inner half of TestShimLimitTooHigh; elsewhere it only
// checks that its specification is absent.
func TestShimInner(t *testing.T) {
	text := os.Getenv("SHIM_INNER")
	if text == "" {
		return
	}
	spec, ok := decodeShim([]byte(strings.ReplaceAll(text, "|", "\x00")))
	if !ok {
		t.Fatalf("%q", text)
	}
	out, ws, failure := shimmed(t, spec, &syscall.ProcAttr{})
	fmt.Print(out)
	if failure != nil || ws.ExitStatus() != 0 {
		t.Errorf("%v %v", failure, ws)
	}
}

// TestShimKeepsFiles: a limit that is not asked for is the container's, although
// the Go runtime raises it for itself.
func TestShimKeepsFiles(t *testing.T) {
	x := Execution{Limit: map[string]string{"NOFILE": "77:99"}}
	ask := "ulimit -S -n; ulimit -H -n"
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, asked := range []Execution{{UMask: octal(0o22)}, {Limit: map[string]string{"AS": "67108864"}}} {
		inner := script(t, asked, nil, 0, ask)
		spec, err := x.shim(self, []string{"test", "-test.run=^TestShimInner$", "-test.v"},
			[]string{"SHIM_INNER=" + string(bytes.ReplaceAll(inner.encode(), []byte{0}, []byte("|")))}, "/", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		out, ws, failure := shimmed(t, spec, &syscall.ProcAttr{})
		if failure != nil || ws.ExitStatus() != 0 || !strings.Contains(out, "77\n99\n") {
			t.Errorf("%q %v %v, want 77:99 beside %v", out, ws, failure, asked)
		}
	}
}

// TestShimSockets: sd_listen_fds(3) wants the process's own number.
func TestShimSockets(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	spec := script(t, Execution{}, nil, 1, `test "$LISTEN_PID" = $$ && echo "fds $LISTEN_FDS" && echo here >&3`, "LISTEN_FDS=1")
	out, _, failure := shimmed(t, spec, &syscall.ProcAttr{Files: []uintptr{w.Fd()}})
	w.Close()
	passed, err := io.ReadAll(r)
	if failure != nil || out != "fds 1\n" || string(passed) != "here\n" || err != nil {
		t.Errorf("%q %q %v %v", out, passed, failure, err)
	}
}

// TestShimEnvironment: 5,000 variables and a megabyte arrive byte for byte, by a
// file in memory and by a pipe; and with limits that the shim itself exceeds.
func TestShimEnvironment(t *testing.T) {
	env := []string{"BYTES=\xff\xfe\x01", "=odd", "NOEQUALS", "GODEBUG=nonsense=1", "GOGC=1", "EMPTY=", "LINES=a\nb"}
	for i := range 5000 {
		env = append(env, fmt.Sprintf("V%d=%s", i, strings.Repeat("x", 190)))
	}
	for _, list := range [][]string{env, env[:100], nil} {
		out, ws, failure := shimmed(t, shim{path: "/bin/cat", argv: []string{"cat", "/proc/self/environ"}, env: list, dir: "/", umask: -1,
			limits: tight}, &syscall.ProcAttr{})
		want := strings.Join(append(slices.Clone(list), ""), "\x00")
		if failure != nil || ws.ExitStatus() != 0 || out != want {
			t.Errorf("%d variables: %d bytes arrived, want %d (%v, %v): %.300q", len(list), len(out), len(want), failure, ws, out)
		}
	}
	for _, size := range []int{0, 1, 4096, 64 << 10, 64<<10 + 1, 1 << 20} {
		fd, err := specPipe(bytes.Repeat([]byte("x"), size))
		if err != nil {
			t.Errorf("%d bytes by a pipe: %v", size, err)
			continue
		}
		if b, err := readAll(fd, nil); len(b) != size || err != nil {
			t.Errorf("%d of %d bytes by a pipe: %v", len(b), size, err)
		}
		unix.Close(fd)
	}
}

func TestShimCode(t *testing.T) {
	score := -5
	for _, spec := range []shim{
		{umask: -1},
		{path: "/p", argv: []string{"", "a\xff"}, env: []string{"A=b", ""}, dir: "/d", umask: 0o22, oomScore: &score, noNewPrivs: true, listenFds: 3,
			limits:     []limit{{7, 1, unix.RLIM_INFINITY}, {0, 0, 0}},
			credential: &syscall.Credential{Uid: 1<<32 - 2, Gid: 2, Groups: []uint32{3, 4}, NoSetGroups: true}},
		{umask: 0, credential: &syscall.Credential{Uid: 1}},
	} {
		b := spec.encode()
		if got, ok := decodeShim(b); !ok || !reflect.DeepEqual(got, spec) {
			t.Errorf("%+v became %+v (%v)", spec, got, ok)
		}
		for i := range b {
			if got, ok := decodeShim(b[:i]); ok {
				t.Errorf("half of a specification was taken for %+v", got)
			}
		}
		if _, ok := decodeShim(append(b, 'x')); ok {
			t.Error("more than a specification was taken for one")
		}
	}
}

// tight are limits below what the shim itself has.
var tight = []limit{{unix.RLIMIT_AS, 64 << 20, 64 << 20}, {unix.RLIMIT_DATA, 1 << 20, 1 << 20}}

// TestShimFailures: the sentence, the kernel's error in it, and the exit code; also
// where the limits leave no memory to say it.
func TestShimFailures(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"plain": "no program", "lost": "#!/absent/interpreter -x\n", "junk": "\x7fjunk"} {
		mustWrite(t, dir+"/"+name, text)
	}
	if err := errors.Join(os.Chmod(dir+"/lost", 0o755), os.Chmod(dir+"/junk", 0o755)); err != nil {
		t.Fatal(err)
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf("V%d=%s", i, strings.Repeat("x", 100_000))
	}
	for _, c := range []struct {
		spec shim
		code int
		is   error
		want string
	}{
		{shim{path: "/absent/program", argv: []string{"x"}, dir: "/"}, 127, fs.ErrNotExist, "exec /absent/program: no such file or directory"},
		{shim{path: dir + "/lost", argv: []string{"x"}, dir: "/"}, 127, fs.ErrNotExist, "exec " + dir + "/lost: the file is there, /absent/interpreter is not: no such file or directory"},
		{shim{path: dir + "/plain", argv: []string{"x"}, dir: "/"}, 126, fs.ErrPermission, "exec " + dir + "/plain: permission denied: it is not executable; chmod +x it"},
		{shim{path: dir + "/junk", argv: []string{"x"}, dir: "/"}, 126, unix.ENOEXEC, "exec " + dir + "/junk: exec format error: it is no program of this machine, and has no #! line"},
		{shim{path: dir, argv: []string{"x"}, dir: "/"}, 126, fs.ErrPermission, "exec " + dir + ": permission denied"},
		{shim{path: dir + "/plain/x", argv: []string{"x"}, dir: "/"}, 126, unix.ENOTDIR, "exec " + dir + "/plain/x: not a directory"},
		{shim{path: "/bin/true", argv: []string{"true"}, dir: dir + "/absent"}, 127, fs.ErrNotExist, "entering WorkingDirectory " + dir + "/absent: no such file or directory"},
		{shim{path: "/bin/true", argv: []string{"true"}, dir: "/", env: []string{"TOKEN=" + strings.Repeat("secret", 30_000)}}, 126, unix.E2BIG,
			"exec /bin/true: argument list too long: the variable TOKEN has 180006 bytes, 131071 are the most; unset it with UnsetEnvironment"},
		{shim{path: "/bin/true", argv: []string{"true", strings.Repeat("x", 200_000)}, dir: "/"}, 126, unix.E2BIG,
			"exec /bin/true: argument list too long: argument 1 has 200000 bytes, 131071 are the most"},
		{shim{path: "/bin/true", argv: []string{"true"}, dir: "/", env: many}, 126, unix.E2BIG,
			"exec /bin/true: argument list too long: 1 arguments and 300 variables take 30004103 bytes, "},
	} {
		c.spec.umask = -1
		if c.spec.path == "/bin/true" && len(c.spec.env) == 1 && os.Getpagesize() != 4096 {
			c.want = strings.Replace(c.want, "131071", strconv.Itoa(32*os.Getpagesize()-1), 1)
		}
		for _, limits := range [][]limit{nil, tight} {
			c.spec.limits = limits
			out, ws, failure := shimmed(t, c.spec, &syscall.ProcAttr{})
			if out != "" || ws.ExitStatus() != c.code || !errors.Is(failure, c.is) || !strings.HasPrefix(failure.Error(), c.want) {
				t.Errorf("%v (exit code %d, output %q), want %s (exit code %d)", failure, ws.ExitStatus(), out, c.want, c.code)
			}
		}
	}
	if os.Geteuid() == 0 {
		_, ws, failure := shimmed(t, shim{path: "/bin/true", argv: []string{"true"}, umask: -1, dir: "/", credential: &syscall.Credential{Uid: 1<<32 - 1}}, &syscall.ProcAttr{})
		if !errors.Is(failure, unix.EINVAL) || ws.ExitStatus() != 126 || failure.Error() != "switching to user 4294967295: invalid argument" {
			t.Errorf("%v %v", failure, ws)
		}
	}
}

func TestShimStartErrors(t *testing.T) {
	before := descriptors(t)
	pid, failure, _, err := startShim("/absent/init", shim{path: "/bin/true", argv: []string{"true"}}, &syscall.ProcAttr{})
	if pid != 0 || failure != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d %v %v", pid, failure, err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if err := readFailure([]byte("cut")); err == nil {
		t.Error("a report that was cut is none")
	}
	if err := readFailure(nil); err != nil {
		t.Errorf("nothing is an error: %v", err)
	}
}

// TestShimIsSilent: while it is still the shim, neither its arguments nor its
// environment tell more than the mark by which a service's processes are found.
func TestShimIsSilent(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	// A specification that is not complete keeps it reading, so that it can be looked at.
	pid, err := syscall.ForkExec("/proc/self/exe", []string{shimName, "3"}, &syscall.ProcAttr{Env: invocation([]string{"TOKEN=secret", "INVOCATION_ID=ab"}), Files: []uintptr{0, 1, 2, uintptr(p[0]), uintptr(p[0])}})
	if err != nil {
		t.Fatal(err)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	for began := time.Now(); err == nil && len(environ) == 0 && time.Since(began) < 10*time.Second; { // in the middle of its execve it has none
		environ, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	}
	cmdline, err2 := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err := errors.Join(err, err2); err != nil || string(environ) != "INVOCATION_ID=ab\x00" || string(cmdline) != shimName+"\x003\x00" {
		t.Errorf("%q %q %v", environ, cmdline, err)
	}
	unix.Close(p[1])
	if ws := awaitEnd(t, pid); ws.ExitStatus() != 126 {
		t.Errorf("without a command it ended with %v", ws)
	}
}

func TestNeedsShim(t *testing.T) {
	score := 0
	for _, c := range []struct {
		x    Execution
		fds  int
		want bool
	}{
		{Execution{}, 0, false},
		{Execution{User: "nobody", Nice: 5, WorkingDirectory: "/tmp"}, 0, false},
		{Execution{}, 1, true},
		{Execution{UMask: octal(0)}, 0, true},
		{Execution{Limit: map[string]string{"CORE": "0"}}, 0, true},
		{Execution{OOMScoreAdjust: &score}, 0, true},
		{Execution{NoNewPrivileges: true}, 0, true},
	} {
		if got := needsShim(&Service{Execution: c.x}, c.fds, false); got != c.want {
			t.Errorf("%+v: %v, want %v", c.x, got, c.want)
		}
	}
}

// BenchmarkShim is the detour, beside the direct way.
func BenchmarkShim(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	files := []uintptr{null.Fd(), null.Fd(), null.Fd()}
	var direct, detour time.Duration
	for range b.N {
		start := time.Now()
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Files: files})
		if err != nil {
			b.Fatal(err)
		}
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		direct += time.Since(start)
		start = time.Now()
		pid, report, _, err := startShim("/proc/self/exe", shim{path: "/bin/true", argv: []string{"true"}, umask: -1}, &syscall.ProcAttr{Files: files})
		if err != nil {
			b.Fatal(err)
		}
		_, _ = syscall.Wait4(pid, nil, 0, nil)
		report.Close()
		detour += time.Since(start)
	}
	b.ReportMetric(float64(direct.Microseconds())/float64(b.N), "µs-direct/op")
	b.ReportMetric(float64(detour.Microseconds())/float64(b.N), "µs-shim/op")
}
