package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain builds the program under test once: static, as it ships. The test
// binary itself is also the program box, and what becomes PID 1 of a box.
func TestMain(m *testing.M) {
	if os.Getenv("BOX_STAGE") == "2" && os.Args[0] == "box-stage-two" {
		os.Unsetenv("BOX_STAGE")
		boxStageTwo()
	}
	if len(os.Args) > 1 && os.Args[1] == "stopwatch" {
		stopwatch(os.Args[2:])
	}
	if len(os.Args) > 1 && os.Args[1] == "carrier" {
		carrierMain(len(os.Args) > 2)
	}
	if os.Getenv("INIT_UNDER_TEST") == "" {
		dir, err := os.MkdirTemp("", "init-under-test")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		os.Setenv("INIT_UNDER_TEST", buildInit(dir))
	}
	testscript.Main(m, map[string]func(){
		"box": func() { os.Exit(boxMain()) },
	})
}

// buildInit builds init in dir as make does, with the programs inside it, and as
// it is without them, plain.
func buildInit(dir string) string {
	exporter, tailnet := filepath.Join(dir, "exporter"), filepath.Join(dir, "tailnet")
	file, plain := filepath.Join(dir, "init"), filepath.Join(dir, "plain")
	build := []string{"build", "-trimpath", "-ldflags", "-s -w -X main.version=test", "-o"}
	for _, args := range [][]string{
		append(build, exporter, "../exporter"),
		append(build, tailnet, "../tailnet"),
		append(build, plain, "."),
		{"run", "../../dev/attach", file, plain, exporter, tailnet},
	} {
		build := exec.Command("go", args...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
	}
	return file
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("INIT_UNDER_TEST", os.Getenv("INIT_UNDER_TEST"))
			self, err := os.Executable()
			if err != nil {
				return err
			}
			e.Setenv("SELF", self)
			e.Setenv("BUILT", filepath.Dir(os.Getenv("INIT_UNDER_TEST")))
			return os.Symlink(os.Getenv("INIT_UNDER_TEST"), filepath.Join(e.WorkDir, "init"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"inbox":  inBox,
			"absent": absent,
			"term":   term,
		},
		Condition: func(c string) (bool, error) {
			if c == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", c)
		},
	})
}

// inBox runs a command inside a running box:
//
//	[!] inbox NAME COMMAND...
func inBox(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: inbox NAME COMMAND...")
	}
	pid := boxPid(ts, args[0])
	enter := []string{"-t", pid, "-m", "-p", "-n", "-i", "-u", "-r", "-w"}
	if os.Getuid() != 0 {
		enter = append(enter, "-U", "--preserve-credentials")
	}
	enter = append(enter, "env", "-i", "PATH=/run/nix2vast/bin:/:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
	err := ts.Exec("nsenter", append(enter, args[1:]...)...)
	if err != nil && !neg {
		ts.Fatalf("in the box: %v", err)
	}
	if err == nil && neg {
		ts.Fatalf("in the box: unexpected success")
	}
}

// boxPid waits for the box to be there.
func boxPid(ts *testscript.TestScript, name string) string {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		b, err := os.ReadFile(ts.MkAbs(filepath.Join(name, "pid")))
		if err != nil || len(b) == 0 {
			continue
		}
		if _, err := os.Stat("/proc/" + string(b)); err == nil {
			return string(b)
		}
	}
	ts.Fatalf("the box %s did not start", name)
	return ""
}

// absent fails where the last output, or a file, holds a text.
func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: absent FILE TEXT")
	}
	if strings.Contains(ts.ReadFile(args[0]), args[1]) {
		ts.Fatalf("%s holds %q", args[0], args[1])
	}
}

// term sends SIGTERM to the PID 1 of a box, as an engine's stop does.
func term(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: term NAME")
	}
	pid, err := strconv.Atoi(boxPid(ts, args[0]))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGTERM))
}

func TestTheProgramIsStatic(t *testing.T) {
	file := os.Getenv("INIT_UNDER_TEST")
	out, err := exec.Command("file", "-L", file).Output()
	if err != nil || !strings.Contains(string(out), "statically linked") {
		t.Errorf("file says %s, %v", out, err)
	}
	out, err = exec.Command("ldd", file).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not a dynamic executable") {
		t.Errorf("ldd says %s, %v", out, err)
	}
}
