package gpu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrapper has a program without room for an edit started by a script.
func TestWrapper(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	h.smi("/usr/bin/nvidia-smi", 9, "-Wl,--spare-dynamic-tags=0")
	h.copy(hostFile(t, "/bin/dash", "/bin/sh"), "/bin/sh")
	if r := h.setup(); len(r.Problems) > 0 {
		t.Errorf("problems: %q", r.Problems)
	}
	text, err := os.ReadFile(h.path(programDir + "/nvidia-smi"))
	if err != nil || !strings.HasPrefix(string(text), "#!/bin/sh\n") {
		t.Fatalf("not a script: %q, %v", text[:min(len(text), 20)], err)
	}
	if out, exit, err := h.run(t.Context(), programDir+"/nvidia-smi"); err != nil || exit != 9 {
		t.Errorf("exit %d, %v\n%s", exit, err, out)
	}
	h.again()
}

// TestCopyNeedsNoCache has the copies work where the cache cannot be written.
func TestCopyNeedsNoCache(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	h.setup()
	h.must(os.Remove(h.path(cachePath)))
	if out, exit, err := h.run(t.Context(), "/usr/bin/nvidia-smi"); err != nil || exit != 127 {
		t.Errorf("the original: exit %d, %v\n%s", exit, err, out)
	}
	if out, exit, err := h.run(t.Context(), programDir+"/nvidia-smi"); err != nil || exit != 9 {
		t.Errorf("the copy: exit %d, %v\n%s", exit, err, out)
	}
}

func TestDamagedPrograms(t *testing.T) {
	whole, err := os.ReadFile(compile(t, hello))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, content, want string }{
		{"cut off", string(whole[:len(whole)/2]), "is cut off"},
		{"corrupt", "\x7fELF" + strings.Repeat("\xff", 4096), "is not a 64-bit ELF file"},
		{"empty", "", "is empty"},
		{"script", "#!/bin/sh\nexec .nvidia-smi\n", "is a script"},
		{"text", "404 not found", "is not an ELF file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.cdi(newVersion)
			h.setup()
			h.must(os.Remove(h.path("/usr/bin/nvidia-smi")))
			h.write("/usr/bin/nvidia-smi", test.content)
			r := h.setup()
			if len(r.Problems) != 1 || !strings.HasPrefix(r.Problems[0], "/usr/bin/nvidia-smi "+test.want) {
				t.Errorf("problems: %q", r.Problems)
			}
			// Neither the copy of the one before, nor half a new one.
			if left := tree(h.root).names(programDir); len(left) > 0 {
				t.Errorf("left in %s: %q", programDir, left)
			}
			if data, err := os.ReadFile(h.path("/usr/bin/nvidia-smi")); err != nil || string(data) != test.content {
				t.Errorf("the program itself was changed: %v", err)
			}
		})
	}
}

func TestLargeProgram(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	h.must(os.Truncate(h.path("/usr/bin/nvidia-smi"), maxProgram+1))
	if r := h.setup(); len(r.Problems) != 1 || !strings.Contains(r.Problems[0], "has 67108865 bytes") {
		t.Errorf("problems: %q", r.Problems)
	}
}

// TestStoreProgram leaves a program alone that was made for a loader which is here.
func TestStoreProgram(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	h.smi("/usr/bin/nvidia-smi", 9, "-Wl,--dynamic-linker="+glibc+"/lib/ld-linux-x86-64.so.2")
	h.smi("/usr/bin/nvidia-debugdump", 9, "-Wl,--dynamic-linker="+store+"gone/lib/ld-linux-x86-64.so.2")
	h.smi("/usr/bin/nvidia-imex", 9, "-static")
	if r := h.setup(); len(r.Problems) > 0 {
		t.Errorf("problems: %q", r.Problems)
	}
	if got := tree(h.root).names(programDir); len(got) != 1 || got[0] != "nvidia-debugdump" {
		t.Errorf("copies: %q", got)
	}
}

// TestCopyIsUntouched has an unchanged copy keep its inode: it may be running.
func TestCopyIsUntouched(t *testing.T) {
	h := newHost(t)
	h.cdi(newVersion)
	h.setup()
	before, err := os.Stat(h.path(programDir + "/nvidia-smi"))
	h.must(err)
	h.setup()
	after, err := os.Stat(h.path(programDir + "/nvidia-smi"))
	h.must(err)
	if !os.SameFile(before, after) {
		t.Error("the copy was written again")
	}
	h.must(os.Chmod(h.path(programDir+"/nvidia-smi"), 0o644))
	h.setup()
	if after, err = os.Stat(h.path(programDir + "/nvidia-smi")); err != nil || after.Mode() != 0o755 {
		t.Errorf("its mode was not mended: %v, %v", after.Mode(), err)
	}
	if left, _ := filepath.Glob(h.path(programDir + "/.*")); len(left) > 0 {
		t.Errorf("temporary files: %q", left)
	}
}
