package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel has no namespace for the time of day, and the machine's own clock is
// not a test's to set. So the clock of PID 1 alone is moved: its copy of the vDSO,
// in which a Go program reads every clock, is overwritten with a clock_gettime
// that adds seconds to CLOCK_REALTIME, as a jump does, and to no other.
//
//	mov eax, 228; syscall; test edi, edi; jnz out; add qword [rsi], SECONDS; out: ret
//
// The system call changes rcx and r11, which a called function may.
func clockGettime(seconds int32) []byte {
	code := []byte{0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 7, 0x48, 0x81, 0x06, 0, 0, 0, 0, 0xc3}
	binary.LittleEndian.PutUint32(code[14:], uint32(seconds))
	return code
}

// jump moves the clock of PID 1, which stands still meanwhile.
func (e *edge) jump(by time.Duration) {
	e.t.Helper()
	pid := e.cmd.Process.Pid
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	defer mem.Close()
	from, to := e.vdso()
	image := make([]byte, to-from)
	if _, err := mem.ReadAt(image, int64(from)); err != nil {
		e.t.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		e.t.Fatal(err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			e.halt(func() { _, err = mem.WriteAt(clockGettime(int32(by/time.Second)), int64(from+s.Value)) }, from, to)
			if err != nil {
				e.t.Fatal(err)
			}
			return
		}
	}
	e.t.Fatal("the vDSO has no clock_gettime")
}

// vdso is where PID 1 has it.
func (e *edge) vdso() (from, to uint64) {
	e.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", e.cmd.Process.Pid))
	if err != nil {
		e.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
				e.t.Fatal(err)
			}
		}
	}
	if to == 0 {
		e.t.Fatal("there is no vDSO")
	}
	return from, to
}

// halt does something while PID 1 is stopped, with no thread in the given part of
// its memory.
func (e *edge) halt(do func(), from, to uint64) {
	e.t.Helper()
	e.until("no thread reads a clock", func() bool {
		e.send(unix.SIGSTOP)
		defer e.send(unix.SIGCONT)
		e.until("PID 1 stands still", e.standsStill)
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", e.cmd.Process.Pid))
		if err != nil {
			e.t.Fatal(err)
		}
		for _, th := range threads {
			// Its last two fields are the stack pointer and the program counter.
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", e.cmd.Process.Pid, th.Name()))
			f := strings.Fields(string(b))
			var counter uint64
			if err != nil || len(f) < 2 {
				return false
			}
			if _, err := fmt.Sscanf(f[len(f)-1], "0x%x", &counter); err != nil || counter >= from && counter < to {
				return false
			}
		}
		do()
		return true
	})
}

func (e *edge) standsStill() bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", e.cmd.Process.Pid))
	if err != nil {
		e.t.Fatal(err)
	}
	for _, th := range threads {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", e.cmd.Process.Pid, th.Name()))
		if err != nil || !strings.Contains(string(b), ") T ") {
			return false
		}
	}
	return true
}

// The clock jumps by a year, forth and back: no deadline of an hour passes, and
// those of half a second come.
func TestEdge13_ClockJumps(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"forth": 365 * 24 * time.Hour, "back": -365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := startEdge(t, services{
				script("watched", "exec sleep 600", `"WatchdogSec": "1h"`),
				script("slow", "exec sleep 600", `"Type": "notify"`, `"TimeoutStartSec": "1h"`, `"Disabled": true`),
				script("crashed", "echo crash; exit 1", `"RestartSec": "1h"`, `"RestartMaxDelaySec": "1h"`),
				script("deaf", "trap '' TERM; echo armed; exec sleep 600", `"TimeoutStopSec": "500ms"`),
				script("crashes", "[ -e /tmp/crashed ] && exec sleep 600; touch /tmp/crashed; exit 1", `"RestartSec": "2s"`, `"RestartMaxDelaySec": "2s"`),
				script("mute", "exec sleep 600", `"Type": "notify"`, `"TimeoutStartSec": "500ms"`, `"Restart": "no"`, `"Disabled": true`),
				script("probed", "exec sleep 600", `"Liveness": {"Exec": ["sh", "-c", "echo >>/tmp/probes"], "PeriodSec": "100ms"}`),
			})
			e.says("deaf | armed")
			e.inside("sh", "-c", "/init start slow >/dev/null 2>&1 & /init start mute >/dev/null 2>&1 &")
			e.waits("slow", "starting", func(s service) bool { return s.State == "starting" && s.Pid != 0 })
			e.waits("mute", "starting", func(s service) bool { return s.State == "starting" && s.Pid != 0 })
			for _, name := range []string{"crashed", "crashes"} {
				e.waits(name, "in back-off, or behind it", func(s service) bool { return s.Restarts == 1 })
			}
			watched := e.ready("watched", 0)

			e.jump(by)
			probes := len(e.read("/tmp/probes"))
			year := fmt.Sprint(time.Now().Add(by).UTC().Year())
			e.inside("sh", "-c", "/init stop deaf >/dev/null 2>&1 &")
			e.waits("deaf", "stopped", func(s service) bool { return s.State == "stopped" && s.Note == "killed by SIGKILL" })
			e.waits("mute", "failed", func(s service) bool { return s.State == "failed" })
			e.ready("crashes", 1)
			e.until("it was probed", func() bool { return len(e.read("/tmp/probes")) >= probes+5 })
			if !strings.Contains(e.String(), "\n"+year+"-") {
				t.Fatalf("the clock did not jump:\n%s", e)
			}

			if s := e.service("watched"); s != watched {
				t.Errorf("watched was %+v and is %+v", watched, s)
			}
			if s := e.service("slow"); s.State != "starting" || s.Restarts != 0 {
				t.Errorf("slow is %+v", s)
			}
			if s := e.service("crashed"); s.State != "backoff" || s.Restarts != 1 {
				t.Errorf("crashed is %+v", s)
			}
			if strings.Contains(e.String(), "was paused") {
				t.Errorf("the jump was taken for a pause of the container:\n%s", e)
			}
			e.send(unix.SIGTERM)
			e.wantCode(0)
		})
	}
}
