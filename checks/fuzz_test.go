package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFuzzScript: the end of the time alone fails no fuzz run, and everything else does. Go's coordinator is a script here
// that prints what Go 1.26.8 printed: its race at the deadline cannot be had on demand.
func TestFuzzScript(t *testing.T) {
	const (
		progress = "fuzz: elapsed: 30s, execs: 487891 (0/sec), new interesting: 4 (total: 191)\n"
		end      = "FAIL\nexit status 1\nFAIL\texample.com/plan\t30.082s\n"
	)
	tests := map[string]struct {
		output string
		fails  bool
	}{
		"deadline": {progress + "--- FAIL: FuzzHash (30.07s)\n    context deadline exceeded\n" + end, false},
		"input": {progress + "--- FAIL: FuzzHash (1.07s)\n    --- FAIL: FuzzHash (0.00s)\n        hash_test.go:9: wrong\n\n" +
			"    Failing input written to testdata/fuzz/FuzzHash/be90a49274\n    To re-run:\n" + end, true},
		"deadline with an input": {progress + "--- FAIL: FuzzHash (30.07s)\n    context deadline exceeded\n" +
			"    Failing input written to testdata/fuzz/FuzzHash/be90a49274\n" + end, true},
		"build": {"hash_test.go:9:1: syntax error\nFAIL\texample.com/plan [build failed]\nFAIL\n", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			script, err := os.ReadFile("../dev/fuzz.sh")
			if err != nil {
				t.Fatal(err)
			}
			write := func(name, data string) string {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(data), 0o755); err != nil {
					t.Fatal(err)
				}
				return file
			}
			write("output", test.output)
			write("bin/go", "#!/bin/sh\ncat output\nexit 1\n")
			command := exec.Command(write("dev/fuzz.sh", string(script)), "image/plan:FuzzHash", "30s")
			command.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
			out, err := command.CombinedOutput()
			if (err != nil) != test.fails {
				t.Fatalf("%v:\n%s", err, out)
			}
			if test.fails && !strings.Contains(string(out), test.output) || !test.fails && string(out) != "FuzzHash: "+progress {
				t.Errorf("said:\n%s", out)
			}
		})
	}
}
