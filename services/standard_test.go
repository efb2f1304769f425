package services

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestStandard lets a shell write "out" and "err" and reads what arrived where.
func TestStandard(t *testing.T) {
	dir := t.TempDir()
	file, other, input := dir+"/file", dir+"/other", dir+"/input"
	for _, c := range []struct {
		x                    Execution
		journal, file, other string
	}{
		{Execution{}, "out\nerr\n", "before\n", ""},
		{Execution{StandardOutput: "journal", StandardError: "journal", StandardInput: "null"}, "out\nerr\n", "before\n", ""},
		{Execution{StandardOutput: "null"}, "", "before\n", ""},
		{Execution{StandardOutput: "null", StandardError: "journal"}, "err\n", "before\n", ""},
		{Execution{StandardError: "null"}, "out\n", "before\n", ""},
		{Execution{StandardOutput: "append:" + file}, "", "before\nout\nerr\n", ""},
		{Execution{StandardOutput: "truncate:" + file, StandardError: "inherit"}, "", "out\nerr\n", ""},
		{Execution{StandardOutput: "truncate:" + file, StandardError: "truncate:" + file}, "", "out\nerr\n", ""},
		{Execution{StandardOutput: "file:" + file}, "", "out\nerr\n", ""}, // over the 7 bytes and one more of "before"
		{Execution{StandardOutput: "append:" + file, StandardError: "file:" + other}, "", "before\nout\n", "err\n"},
		{Execution{StandardInput: "file:" + input}, "from the file\nout\nerr\n", "before\n", ""},
	} {
		mustWrite(t, file, "before\n")
		mustWrite(t, input, "from the file\n")
		_ = os.Remove(other)
		journal, err := os.Create(dir + "/journal")
		if err != nil {
			t.Fatal(err)
		}
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		in, out, stderr, closeAll, err := c.x.standard(int(journal.Fd()), null)
		if err != nil {
			t.Errorf("%+v: %v", c.x, err)
			continue
		}
		for _, fd := range []uintptr{in, out, stderr} {
			flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
			descriptor, err2 := unix.FcntlInt(fd, unix.F_GETFD, 0)
			if err := errors.Join(err, err2); err != nil || flags&unix.O_NONBLOCK != 0 || descriptor&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d has flags %#x %#x (%v)", fd, flags, descriptor, err)
			}
		}
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "cat; echo out; echo err >&2"}, &syscall.ProcAttr{Files: []uintptr{in, out, stderr}})
		closeAll()
		if err != nil {
			t.Fatal(err)
		}
		awaitEnd(t, pid)
		for path, want := range map[string]string{dir + "/journal": c.journal, file: c.file, other: c.other} {
			b, err := os.ReadFile(path)
			if string(b) != want || err != nil && path != other {
				t.Errorf("out %q err %q: %s holds %q (%v), want %q", c.x.StandardOutput, c.x.StandardError, filepath.Base(path), b, err, want)
			}
		}
		if err := errors.Join(journal.Close(), null.Close()); err != nil {
			t.Errorf("closed what was the caller's: %v", err)
		}
	}
}

// awaitEnd waits for a child of the test's own, which no reaper sees: each has
// the children of its thread alone.
func awaitEnd(t *testing.T, pid int) syscall.WaitStatus {
	t.Helper()
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return ws
	}
}

func TestStandardErrors(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	before := descriptors(t)
	for _, c := range []struct {
		x    Execution
		want string
	}{
		{Execution{StandardInput: "file:" + dir + "/absent"}, "StandardInput: open " + dir + "/absent: no such file or directory"},
		{Execution{StandardOutput: "append:" + dir + "/no/file"}, "StandardOutput: open " + dir + "/no/file: no such file or directory"},
		{Execution{StandardOutput: "append:" + dir + "/file", StandardError: "file:" + dir}, "StandardError: open " + dir + ": is a directory"},
		{Execution{StandardOutput: "file:" + dir + "/fifo"}, "StandardOutput: " + dir + "/fifo has no reader yet: no such device or address"},
	} {
		if _, _, _, _, err := c.x.standard(int(null.Fd()), null); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// shortDir is for unix sockets, whose path has 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// freePort is one that nobody has at the moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func TestSocketsInet(t *testing.T) {
	port := freePort(t)
	for _, c := range []struct {
		listen string
		dial   []string
	}{
		{port, []string{"127.0.0.1", "[::1]"}},
		{"*:" + port, []string{"127.0.0.1", "[::1]"}},
		{"127.0.0.1:" + port, []string{"127.0.0.1"}},
		{"localhost:" + port, []string{"127.0.0.1"}},
		{"0.0.0.0:" + port, []string{"127.0.0.1"}},
		{"[::1]:" + port, []string{"[::1]"}},
	} {
		svc := Service{Name: "web", Sockets: []Socket{{Listen: c.listen}, {Listen: "127.0.0.1:" + port, Type: "datagram", Name: "dns"}}}
		files, names, err := svc.openSockets("/")
		if err != nil || strings.Join(names, " ") != "web dns" {
			t.Errorf("%s: %v %v", c.listen, names, err)
			continue
		}
		for _, host := range c.dial {
			conn, err := net.DialTimeout("tcp", host+":"+port, 5*time.Second)
			if err != nil {
				t.Errorf("%s: %v", c.listen, err)
				continue
			}
			conn.Close()
		}
		if _, _, err := svc.openSockets("/"); !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "opening the socket "+c.listen+": bind: address already in use") {
			t.Errorf("%s, twice: %v", c.listen, err)
		}
		for _, f := range files {
			if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("every child would inherit %s (%v)", f.Name(), err)
			}
			f.Close()
		}
	}
}

func TestSocketsErrors(t *testing.T) {
	dir := shortDir(t)
	mustWrite(t, dir+"/file", "x")
	before := descriptors(t)
	for _, c := range []struct {
		s    Socket
		want string
	}{
		{Socket{Listen: "example.org:80"}, "example.org is no IP address; give one, or the port alone"},
		{Socket{Listen: "80", Type: "seqpacket"}, "seqpacket is for unix sockets alone"},
		{Socket{Listen: "192.0.2.1:80"}, "bind: cannot assign requested address"},
		{Socket{Listen: "/file"}, dir + "/file is there and is no socket"},
		{Socket{Listen: "/s", User: "nobody-of-that-name"}, "no user nobody-of-that-name is in /etc/passwd"},
		{Socket{Listen: "/" + strings.Repeat("x", 106)}, "the path is longer than the 107 bytes that the kernel takes"},
	} {
		svc := Service{Sockets: []Socket{{Listen: "/first"}, c.s}}
		if _, _, err := svc.openSockets(dir); err == nil || err.Error() != "opening the socket "+c.s.Listen+": "+c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestSocketsUnix(t *testing.T) {
	dir, cred := shortDir(t), somebody()
	for _, kind := range []string{"stream", "datagram", "seqpacket"} {
		svc := Service{Name: "a", Sockets: []Socket{{
			Listen: "/run/" + kind, Type: kind, Mode: octal(0o620), User: strconv.Itoa(int(cred.Uid)), Group: strconv.Itoa(int(cred.Gid)),
		}}}
		path := dir + "/run/" + kind
		network := map[string]string{"stream": "unix", "datagram": "unixgram", "seqpacket": "unixpacket"}[kind]
		files, _, err := svc.openSockets(dir)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if uid, gid := ownerOf(t, path); modeOf(t, path) != 0o620 || uid != cred.Uid || gid != cred.Gid {
			t.Errorf("%s: mode %o, owner %d:%d", kind, modeOf(t, path), uid, gid)
		}
		conn, err := net.Dial(network, path)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		} else {
			conn.Close()
		}
		if _, _, err := svc.openSockets(dir); !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "another program listens there") {
			t.Errorf("%s, twice: %v", kind, err)
		}
		files[0].Close() // as a run of the container that was killed leaves it
		if files, _, err = svc.openSockets(dir); err != nil {
			t.Errorf("%s, after one that is gone: %v", kind, err)
			continue
		}
		files[0].Close()
	}
	svc := Service{Name: "a", Sockets: []Socket{{Listen: "/plain"}}}
	files, _, err := svc.openSockets(dir)
	if err != nil {
		t.Fatal(err)
	}
	files[0].Close()
	if modeOf(t, dir+"/plain") != 0o666 {
		t.Errorf("mode %o without Mode", modeOf(t, dir+"/plain"))
	}
}
