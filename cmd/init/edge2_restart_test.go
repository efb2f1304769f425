package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// /run is no tmpfs in docker: what an earlier run left there names processes
// that now are others.
func TestEdge19_StaleState(t *testing.T) {
	t.Parallel()
	daemon := map[string]any{"Type": "forking", "PIDFile": "/run/daemon.pid", "TimeoutStartSec": "30s",
		"ExecStart": []string{"sh", "-c", "setsid sh -c 'sleep 0.3; echo $$ >/run/daemon.new; mv /run/daemon.new /run/daemon.pid; exec sleep 600' &"}}
	notify := perl(`tell_init("READY=1"); nap(600)`, "Type", "notify")
	socket := map[string]any{"ExecStart": []string{"sleep", "600"}, "Sockets": []any{map[string]any{"Listen": "/run/edge.sock"}}}
	args := oddBoxArgs(t, definitions{"daemon": daemon, "notify": notify, "socket": socket, "other": sh("exec sleep 600")}, nil)
	b := &oddBox{dir: t.TempDir(), socket: "/run/nix2vast/control.sock"}
	b.again(t, nil, args...)
	check := func() {
		t.Helper()
		b.booted()
		for _, name := range []string{"daemon", "notify", "socket", "other"} {
			if svc := b.is(name, "ready"); svc.Restarts != 0 || svc.Pid == 0 {
				t.Errorf("%s is %+v; the box printed:\n%s", name, svc, b)
			}
		}
		text, err := os.ReadFile(b.root("/run/daemon.pid"))
		if pid := b.status().service("daemon").Pid; err != nil || strings.TrimSpace(string(text)) != fmt.Sprint(pid) {
			t.Errorf("the daemon is %d, its file says %s (%v)", pid, text, err)
		}
	}
	check()
	b.send(unix.SIGKILL) // everything stays where it is
	b.wantCode(128 + 9)
	run := filepath.Join(b.dir, "upper", "run")
	for file, text := range map[string]string{
		"daemon.pid": "1\n", "nix2vast/sshd.pid": "1\n", "nix2vast/gpu.json": "{", "nix2vast/state.json": "{",
	} {
		if err := os.WriteFile(filepath.Join(run, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"nix2vast/control.sock", "nix2vast/notify/notify", "edge.sock"} {
		if _, err := os.Lstat(filepath.Join(run, path)); err != nil {
			t.Errorf("the first run has left no %s: %v", path, err)
		}
	}
	b.again(t, nil, args...)
	check()
	for _, file := range []string{"sshd.pid", "gpu.json", "state.json"} {
		if _, err := os.Lstat(b.root("/run/nix2vast/" + file)); err == nil {
			t.Errorf("%s of the first run is still there", file)
		}
	}
	if pid := b.cmd.Process.Pid; unix.Kill(pid, 0) != nil {
		t.Errorf("PID 1, which the stale file named, is gone")
	}
	b.stop(0, 9*time.Second)
}

// What docker exec leaves behind is reaped, counted, and nobody's: no stop or
// restart of a service ends it.
func TestEdge20_ExecLeavesAProcess(t *testing.T) {
	t.Parallel()
	b := startOddBox(t, definitions{"web": sh("sleep 600 & wait")})
	b.booted()
	was := b.is("web", "ready")
	before := b.status().Orphans
	b.must("mkfifo", "/tmp/go")
	b.must("sh", "-c", "sh -c 'echo $$ >/tmp/left; read -r _ </tmp/go' >/dev/null 2>&1 &")
	var left string
	b.until("it is init's child", func() bool {
		text, _ := os.ReadFile(b.root("/tmp/left"))
		left = strings.TrimSpace(string(text))
		stat, _ := os.ReadFile(b.root("/proc/" + left + "/stat"))
		return left != "" && strings.Contains(string(stat), ") S 1 ")
	})
	b.must("init", "restart", "web")
	is := b.is("web", "ready")
	if is.Pid == was.Pid || len(is.Pids) != 1 || is.Pids[0] != is.Pid {
		t.Errorf("web was %+v and is %+v", was, is)
	}
	if _, err := os.Stat(b.root("/proc/" + left)); err != nil {
		t.Fatalf("the restart of web has ended it: %v", err)
	}
	// The restart's own leftovers have been counted by now; its end counts one more.
	b.until("the sleep of web is reaped", func() bool { return len(b.children()) == 3 }) // sshd, web, and it
	before = b.status().Orphans
	b.must("sh", "-c", "echo >/tmp/go")
	b.until("it is gone", func() bool { _, err := os.Stat(b.root("/proc/" + left)); return err != nil })
	b.until("it is counted", func() bool { return b.status().Orphans >= before+1 })
	if svc := b.status().service("web"); svc.Pid != is.Pid || svc.State != "ready" {
		t.Errorf("web is %+v", svc)
	}
}

// A megabyte of environment reaches a service byte for byte.
func TestEdge21_Environment(t *testing.T) {
	t.Parallel()
	entries := []string{"EMPTY=", "BYTES=\xff\xfe", "TWO=a=b", "LINES=a\nb", "with-dash=1", "1DIGIT=2", "UTF=ü"}
	for n := range 5000 {
		entries = append(entries, fmt.Sprintf("VAR_%04d=%s", n, strings.Repeat(string(rune('a'+n%26)), 200)))
	}
	var args []string
	for _, entry := range append(entries, "NOEQUALS") { // which is no variable, and nobody's
		args = append(args, "-e", entry)
	}
	b := startOddBox(t, definitions{
		"copy":  {"Type": "oneshot", "ExecStart": []string{"cp", "/proc/self/environ", "/tmp/environ"}},
		"shim":  {"Type": "oneshot", "UMask": "0077", "ExecStart": []string{"cp", "/proc/self/environ", "/tmp/environ-shim"}},
		"large": {"ExecStart": []string{"true"}, "Environment": map[string]string{"LARGE": strings.Repeat("secret", 30000)}},
		"many":  {"ExecStart": []string{"true"}, "Limit": map[string]string{"STACK": "1048576"}},
		"bytes": sh(`printf 'a\377b\n'; exec sleep 600`),
		"text":  perl(`tell_init("READY=1\nSTATUS=a\xffb"); nap(600)`, "Type", "notify"),
	}, args...)
	b.booted()
	b.is("sshd", "ready") // it reads the same for each connection
	for name, file := range map[string]string{"copy": "/tmp/environ", "shim": "/tmp/environ-shim"} {
		b.is(name, "done")
		text, err := os.ReadFile(b.root(file))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for entry := range bytes.SplitSeq(text, []byte{0}) {
			got[string(entry)] = true
		}
		missing := 0
		for _, entry := range entries {
			if !got[entry] {
				missing++
				t.Logf("%s lacks %.60q", name, entry)
			}
		}
		if missing > 0 {
			t.Errorf("%s lacks %d of %d entries", name, missing, len(entries))
		}
	}
	for name, says := range map[string]string{
		"large": "argument list too long: the variable LARGE has 180006 bytes, 131071 are the most; unset it with UnsetEnvironment",
		"many":  "variables take ",
	} {
		svc := b.is(name, "backoff")
		if !strings.Contains(svc.Note, says) || !strings.Contains(svc.Note, "argument list too long") {
			t.Errorf("%s: %s", name, svc.Note)
		}
	}
	b.never("secretsecret")
	b.is("text", "ready")
	b.says("bytes | a")
	for _, path := range []string{"/v1/status", "/v1/logs?name=bytes"} {
		text, err := b.ask(path)
		if err != nil || !utf8.Valid(text) || !strings.Contains(string(text), "a\uFFFDb") && !strings.Contains(string(text), `a\ufffdb`) {
			t.Errorf("%s: %v, UTF-8: %v, without the replaced byte", path, err, utf8.Valid(text))
		}
	}
	out := b.must("init", "status", "--json", "text")
	if !json.Valid([]byte(out)) || !strings.Contains(out, "a\uFFFDb") {
		t.Errorf("init status --json prints %s", out)
	}
	b.stop(0, 9*time.Second)
}

// What cannot be executed is told with the reason and with the shell's exit codes.
func TestEdge24_CannotExecute(t *testing.T) {
	t.Parallel()
	put := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return "/opt/" + name + "=" + file
	}
	services := definitions{"good": sh("exec sleep 600")}
	cases := map[string]struct {
		program, says string
		code          int
	}{
		"missing":   {"/opt/missing", "exec /opt/missing: no such file or directory", 127},
		"in-path":   {"nosuchprogram", "nosuchprogram: file does not exist in PATH", 127},
		"directory": {"/etc", "permission denied", 126},
		"plain":     {"/etc/passwd", "permission denied: it is not executable; chmod +x it", 126},
		"script":    {"/opt/script", "the file is there, /opt/nointerpreter is not: no such file or directory", 127},
		"junk":      {"/opt/junk", "exec format error: it is no program of this machine, and has no #! line", 126},
	}
	for name, c := range cases {
		services[name] = map[string]any{"ExecStart": []string{c.program}, "RestartSec": "20ms", "StartLimitBurst": 3, "StartLimitIntervalSec": "1m"}
		shim := map[string]any{"UMask": "0077"}
		for k, v := range services[name] {
			shim[k] = v
		}
		services[name+"-shim"] = shim
	}
	b := startOddBox(t, services, "-put", put("script", "#!/opt/nointerpreter\n"), "-put", put("junk", "\x00\x01junk"))
	for name, c := range cases {
		for _, name := range []string{name, name + "-shim"} {
			svc := b.is(name, "failed")
			if svc.ExitCode != c.code || !strings.Contains(svc.Note, c.says) || !strings.HasSuffix(svc.Note, "started as often as it may be") {
				t.Errorf("%s, exit code %d, want %d: %s\nwant %s", name, svc.ExitCode, c.code, svc.Note, c.says)
			}
			if svc.Restarts != 2 {
				t.Errorf("%s was restarted %d times, 3 starts are 2 restarts", name, svc.Restarts)
			}
		}
	}
	b.is("good", "ready")
	b.lives()
}

// A cycle, an unknown name, and a name that is there twice: init check refuses
// them, a boot cuts them out, and all that can run runs.
func TestEdge25_BadDependencies(t *testing.T) {
	t.Parallel()
	with := func(key string, names ...string) map[string]any {
		return map[string]any{"ExecStart": []string{"sleep", "600"}, key: names}
	}
	services := definitions{
		"a": with("After", "b"), "b": with("After", "c"), "c": with("After", "a"),
		"lost": with("After", "nobody"), "needs": with("Requires", "nobody"),
		"good": with("After", "a"),
	}
	b := startOddBox(t, services)
	b.booted()
	for _, name := range []string{"a", "b", "c", "lost", "good"} {
		b.is(name, "ready")
	}
	if b.status().Phase != "degraded" {
		t.Error("the box does not say that something is wrong")
	}
	text := b.String()
	for _, says := range []string{"the order would go round in a circle: [a b c]", "starts without nobody, which After names", "starts without nobody, which Requires names"} {
		if !strings.Contains(text, says) {
			t.Errorf("the log does not tell of %q:\n%s", says, text)
		}
	}
	if svc := b.status().service("needs"); svc.State != "ready" {
		t.Errorf("needs is %+v", svc)
	}
	for name, c := range map[string]struct{ config, says string }{
		"cycle":   {`"a": {"ExecStart": ["true"], "After": ["b"]}, "b": {"ExecStart": ["true"], "After": ["a"]}`, "the order goes round in a circle"},
		"unknown": {`"a": {"ExecStart": ["true"], "After": ["nobody"]}`, "there is no service nobody"},
		"self":    {`"a": {"ExecStart": ["true"], "After": ["a"]}`, "it names itself"},
		"double":  {`"a": {"ExecStart": ["true"]}, "a": {"ExecStart": ["false"]}`, "a is there twice"},
	} {
		if err := os.WriteFile(b.root("/tmp/"+name+".json"), []byte(`{"version": 1, "services": {`+c.config+"}}"), 0o644); err != nil {
			t.Fatal(err)
		}
		out, code := b.in("init", "check", "/tmp/"+name+".json")
		if code != 1 || !strings.Contains(out, "/tmp/"+name+".json:1: ") || !strings.Contains(out, c.says) {
			t.Errorf("init check of a %s ends with %d:\n%s", name, code, out)
		}
	}
	b.stop(0, 9*time.Second)
}
