package checks

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What our own services evaluate to is in services/testdata, written and compared by
// TestServicesEvaluate where nixpkgs' lib is at hand. These tests need only the result.

// process is what the tests look at of one in a project of process-compose.
type process struct {
	Command      string                                `json:"command"`
	Readiness    *json.RawMessage                      `json:"readiness_probe"`
	Liveness     *json.RawMessage                      `json:"liveness_probe"`
	ReadyLogLine string                                `json:"ready_log_line"`
	DependsOn    map[string]struct{ Condition string } `json:"depends_on"`
}

// oneshots are the processes of our services that are meant to end.
var oneshots = []string{"queue-config", "chat-models"}

func projects(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../services/testdata/*.json")
	if err != nil || len(list) < 8 {
		t.Fatalf("%d files, %v", len(list), err)
	}
	return slices.DeleteFunc(list, func(path string) bool { return strings.HasSuffix(path, "/modular.json") })
}

// initCheck is init's word on a file.
func initCheck(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("../build/init", "check", path).CombinedOutput()
	if err != nil {
		t.Errorf("init check %s: %v\n%s", path, err, out)
	}
	return string(out)
}

func readProject(t *testing.T, path string) map[string]process {
	t.Helper()
	var project struct{ Processes map[string]process }
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &project)
	}
	if err != nil {
		t.Fatal(err)
	}
	return project.Processes
}

// Each of our services is one that init takes, says when it is ready, and is asked again
// and again whether it works.
func TestOwnServices(t *testing.T) {
	for _, path := range projects(t) {
		if says := initCheck(t, path); !strings.HasPrefix(says, path+": good: ") || strings.Count(says, "\n") != 1 {
			t.Errorf("init check says\n%s", says)
		}
		for name, p := range readProject(t, path) {
			if slices.Contains(oneshots, name) {
				continue
			}
			if p.Readiness == nil && p.ReadyLogLine == "" {
				t.Errorf("%s: %s does not say when it is ready", path, name)
			}
			if p.Liveness == nil {
				t.Errorf("%s: %s is never asked whether it works", path, name)
			}
			if !strings.Contains(p.Command, "exec ") {
				t.Errorf("%s: %s has a shell between it and init: %s", path, name, p.Command)
			}
		}
	}
	if says := initCheck(t, "../services/testdata/modular.json"); !strings.Contains(says, "good: 3 services") {
		t.Errorf("init check says of modular services\n%s", says)
	}
}

// What waits for the driver, and how much: those that cannot do without wait until it
// answers, others until it was tried.
func TestOwnServicesWaitForTheDriver(t *testing.T) {
	want := map[string]string{
		"comfyui": "process_completed_successfully", "vllm": "process_completed_successfully",
		"jupyter": "process_completed", "ollama": "process_completed", "ray": "process_completed", "slurm": "process_completed",
		"nginx": "",
	}
	for _, path := range projects(t) {
		service := strings.TrimSuffix(filepath.Base(path), ".json")
		for name, p := range readProject(t, path) {
			condition := p.DependsOn["gpu"].Condition
			if name == "shared" { // its test says so
				condition = strings.TrimSuffix(condition, "_successfully")
			}
			if condition != want[service] {
				t.Errorf("%s: %s waits for gpu with %q, not %q", path, name, condition, want[service])
			}
		}
	}
}

// No line of ours that a shell reads has a mistake that shellcheck knows.
func TestShellOfServices(t *testing.T) {
	lines := map[string]string{}
	for _, path := range projects(t) {
		shellLines(lines, path, readProject(t, path))
	}
	script, err := os.ReadFile("../services/testdata/slurm.write")
	if err != nil {
		t.Fatal(err)
	}
	lines["slurm.write"] = string(script)
	if len(lines) < 20 {
		t.Fatalf("only %d were found", len(lines))
	}
	shellcheck(t, lines)
}

// shellLines adds what a shell reads of processes, by where it is.
func shellLines(lines map[string]string, where string, processes map[string]process) {
	for name, p := range processes {
		lines[where+": "+name] = p.Command
		for _, probe := range []*json.RawMessage{p.Readiness, p.Liveness} {
			var q struct{ Exec struct{ Command string } }
			if probe != nil && json.Unmarshal(*probe, &q) == nil && q.Exec.Command != "" {
				lines[where+": the probe of "+name] = q.Exec.Command
			}
		}
	}
}

func shellcheck(t *testing.T, lines map[string]string) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--shell=bash", "--format=gcc"}
	for where, text := range lines {
		file := filepath.Join(dir, strings.NewReplacer("/", "_", ":", "_", " ", "_").Replace(where))
		args = append(args, file)
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("shellcheck", args...).CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
