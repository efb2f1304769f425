package gpu

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const hello = `#include <stdio.h>
	int main(int argc, char **argv) { printf("%d", argc); return 3; }`

// TestEdit edits programs of each layout that gcc makes and runs them, under
// this machine's own loader at another path.
func TestEdit(t *testing.T) {
	dir := t.TempDir()
	loader := filepath.Join(dir, strings.Repeat("a-long-directory-as-in-a-store/", 4), "ld.so")
	if err := os.MkdirAll(filepath.Dir(loader), 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(hostFile(t, thisArch().loader))
	if err == nil {
		err = os.WriteFile(loader, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		flags   []string
		runpath string
		err     error
	}{
		{"position independent", []string{"-pie", "-fPIE"}, farmDir, nil},
		{"fixed address", []string{"-no-pie"}, farmDir, nil},
		{"two segments, as nvidia-smi has", []string{"-no-pie", "-Wl,-z,noseparate-code"}, farmDir, nil},
		{"with a RUNPATH", []string{"-Wl,--enable-new-dtags,-rpath,/old/lib"}, farmDir + ":/old/lib", nil},
		{"with an RPATH", []string{"-Wl,--disable-new-dtags,-rpath,/old/lib"}, farmDir + ":/old/lib", nil},
		{"without a spare entry", []string{"-Wl,--spare-dynamic-tags=0"}, "", errNoRoom},
		{"with an end but no spare entry", []string{"-Wl,--spare-dynamic-tags=1"}, "", errNoRoom},
		{"without padding", []string{"-no-pie", "-Wl,-z,noseparate-code", "-Wl,-z,norelro"}, "", errNoRoom},
		{"static", []string{"-static"}, "", errStatic},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := os.ReadFile(compile(t, hello, test.flags...))
			if err != nil {
				t.Fatal(err)
			}
			edited, err := edit(data, thisArch().machine, loader, farmDir)
			if !errors.Is(err, test.err) {
				t.Fatalf("got %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			checkEdited(t, data, edited, loader, test.runpath)
			program := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(program, edited, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, "one", "two")
			cmd.Env = []string{"LD_DEBUG=libs"}
			var debug bytes.Buffer
			cmd.Stderr = &debug
			out, _ := cmd.Output()
			if string(out) != "3" || cmd.ProcessState.ExitCode() != 3 {
				t.Errorf("it said %q and exited with %d", out, cmd.ProcessState.ExitCode())
			}
			if !strings.Contains(debug.String(), "(RUNPATH from file "+program+")") {
				t.Errorf("the loader does not know of the RUNPATH:\n%s", debug.String())
			}
		})
	}
}

// checkEdited compares an edited program with what it was made from, by means
// other than those of edit.
func checkEdited(t testing.TB, before, after []byte, loader, runpath string) {
	t.Helper()
	old, err := elf.NewFile(bytes.NewReader(before))
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(after))
	if err != nil {
		t.Fatalf("the edited program: %v", err)
	}
	if len(f.Progs) != len(old.Progs) || len(after) != len(before)+len(loader)+1 {
		t.Errorf("%d segments and %d bytes became %d and %d", len(old.Progs), len(before), len(f.Progs), len(after))
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil || string(name) != loader+"\x00" {
			t.Errorf("the loader is %q, %v", name, err)
		}
		if p.Memsz != p.Filesz {
			t.Errorf("the loader's name has %d bytes in the file and %d in memory", p.Filesz, p.Memsz)
		}
	}
	values, err := f.DynValue(elf.DT_RUNPATH)
	if err != nil || len(values) != 1 {
		t.Fatalf("RUNPATH entries: %v, %v", values, err)
	}
	if !bytes.Contains(after, []byte("\x00"+runpath+"\x00")) || bytes.Contains(before, []byte("\x00"+runpath+"\x00")) {
		t.Errorf("there is no string %q in it, or was before", runpath)
	}
	differ := 0
	for i := range before {
		if before[i] != after[i] {
			differ++
		}
	}
	if most := 3*8 + dynamicSize + len(runpath) + 1; differ > most {
		t.Errorf("%d bytes differ, at most %d should", differ, most)
	}
}

func TestEditRefuses(t *testing.T) {
	good, err := os.ReadFile(compile(t, hello))
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, b ...byte) []byte {
		data := bytes.Clone(good)
		copy(data[at:], b)
		return data
	}
	firstLoad, sections := headerSize, int(le.Uint64(good[40:]))
	for elf.ProgType(le.Uint32(good[firstLoad:])) != elf.PT_LOAD {
		firstLoad += segmentSize
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"a segment beyond the end", change(firstLoad+32, 0, 0, 0xff, 0), "is cut off: a segment of 16711680 bytes begins at byte 0"},
		{"a segment larger than its memory", change(firstLoad+40, 0, 0), "a segment does not fit its place in memory"},
		{"a section beyond the end", change(sections+64+32, 0, 0, 0xff, 0), "is cut off: section .interp ends at byte"},
		{"empty", nil, "is empty"},
		{"script", []byte("#!/bin/sh\nexec nvidia-smi\n"), "is a script"},
		{"text", []byte("hello"), "is not an ELF file"},
		{"zeros", make([]byte, 4096), "is not an ELF file"},
		{"only a magic", good[:10], "is cut off within its ELF header"},
		{"32-bit", change(4, 1), "is not a 64-bit ELF file"},
		{"big-endian", change(5, 2), "is not a little-endian ELF file"},
		{"another machine", change(18, byte(elf.EM_RISCV), 0), "is for another machine"},
		{"an object file", change(16, 1, 0), "is not a program"},
		{"headers beyond the end", change(32, 0, 0, 0, 0, 0, 0, 0, 0x80), "is cut off"},
		{"headers of another size", change(54, 55, 0), "is damaged"},
		{"the most headers", change(56, 0xff, 0xff), "is cut off"},
		{"half", good[:len(good)/2], "is cut off"},
		{"sections at the end of the numbers", change(40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "is damaged"},
	}
	for _, test := range tests {
		if _, err := edit(test.data, thisArch().machine, "/ld.so", farmDir); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestCave(t *testing.T) {
	load := func(off, size uint64, flags elf.ProgFlag) segment {
		return segment{Prog64: elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(flags), Off: off, Vaddr: 0x400000 + off, Filesz: size, Memsz: size}}
	}
	text := load(0, 100, elf.PF_R|elf.PF_X)
	bss := load(0, 100, elf.PF_R)
	bss.Memsz++
	for _, test := range []struct {
		name     string
		segments []segment
		taken    []span
		dirty    int // a byte that is not zero
		length   uint64
		want     uint64 // 0: none
	}{
		{"behind the text", []segment{text}, nil, 0, 20, 108},
		{"up to the end of the page", []segment{text}, nil, 0, 4096 - 108, 108},
		{"over the end of the page", []segment{text}, nil, 0, 4096 - 107, 0},
		{"over the end of the file", []segment{load(4096, 3990, elf.PF_R)}, nil, 0, 10, 0},
		{"in a writable segment", []segment{load(0, 100, elf.PF_R|elf.PF_W)}, nil, 0, 20, 0},
		{"where memory follows", []segment{bss}, nil, 0, 20, 0},
		{"in a section", []segment{text}, []span{{120, 121}}, 0, 20, 0},
		{"before a section", []segment{text}, []span{{128, 200}}, 0, 20, 108},
		{"in another segment", []segment{text, load(127, 20, elf.PF_R|elf.PF_W)}, nil, 0, 20, 0},
		{"where something is", []segment{text}, nil, 127, 20, 0},
		{"behind another one", []segment{text, load(4096, 64, elf.PF_R)}, nil, 127, 20, 4096 + 72},
	} {
		p := &program{data: make([]byte, 8090), segments: test.segments, taken: test.taken}
		if test.dirty > 0 {
			p.data[test.dirty] = 1
		}
		at, address, ok := p.cave(test.length)
		if ok != (test.want != 0) || at.from != test.want && ok || ok && address != 0x400000+test.want {
			t.Errorf("%s: %v at %#x, %v; want %d", test.name, at, address, ok, test.want)
		}
	}
}

// TestEditTruncated cuts a program off at every length: each is refused, or
// edited as a whole one is.
func TestEditTruncated(t *testing.T) {
	good, err := os.ReadFile(compile(t, hello, "-s"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if edited, err := edit(good[:n], thisArch().machine, "/ld.so", farmDir); err == nil {
			checkEdited(t, good[:n], edited, "/ld.so", farmDir)
		}
	}
	if _, err := edit(good[:len(good)-1], thisArch().machine, "/ld.so", farmDir); err == nil {
		t.Error("a program without its last byte was not refused")
	}
}

// TestVerify shows that an edit which touched anything else would be refused.
func TestVerify(t *testing.T) {
	good, err := os.ReadFile(compile(t, hello))
	if err != nil {
		t.Fatal(err)
	}
	machine := thisArch().machine
	edited, err := edit(good, machine, "/ld.so", farmDir)
	if err != nil {
		t.Fatal(err)
	}
	all := []span{{0, uint64(len(good))}}
	if err := verify(good, edited, machine, "/ld.so", farmDir, all); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		what, interp, runpath string
		touched               []span
	}{
		{"another loader", "/other.so", farmDir, all},
		{"another RUNPATH", "/ld.so", "/other", all},
		{"bytes that were not to be touched", "/ld.so", farmDir, nil},
	}
	for _, test := range tests {
		if err := verify(good, edited, machine, test.interp, test.runpath, test.touched); err == nil {
			t.Errorf("%s was not seen", test.what)
		}
	}
}

func FuzzEdit(f *testing.F) {
	good, err := os.ReadFile(compile(f, hello, "-s"))
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{0, 1, 63, 64, 120, 700, len(good) / 2, len(good) - 64, len(good) - 1, len(good)} {
		f.Add(good[:n])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if edited, err := edit(data, thisArch().machine, "/ld.so", farmDir); err == nil {
			if _, err := parseProgram(edited, thisArch().machine); err != nil {
				t.Errorf("the edited program %v", err)
			}
		}
	})
}
