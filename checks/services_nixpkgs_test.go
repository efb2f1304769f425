//go:build nixpkgs

// These tests evaluate services as nixpkgs' modules, for which they need checkouts:
// dev/services/check.sh starts them.

package checks

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write services/testdata")

// folder is what a variable names.
func folder(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("%s is not set: run dev/services/check.sh", variable)
	}
	return value
}

// evaluate decodes an attribute of dev/services.
func evaluate(t *testing.T, attribute string, to any) {
	t.Helper()
	evaluateFile(t, "../dev/services", to, "-A", attribute)
}

func evaluateFile(t *testing.T, file string, to any, args ...string) {
	t.Helper()
	store, err := filepath.Abs("../build/nix")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nix-instantiate", append([]string{"--store", store, "--eval", "--strict", "--json", file,
		"--argstr", "nixpkgs", folder(t, "NIX2VAST_NIXPKGS"), "--argstr", "servicesFlake", folder(t, "NIX2VAST_TEST_SERVICES_FLAKE")}, args...)...)
	cmd.Env = append(os.Environ(), "NIX_CONFIG=build-users-group =\nsubstituters =\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, to)
	}
	if err != nil {
		t.Fatalf("evaluating %s %q: %v\n%s", file, args, err, stderr.String())
	}
}

// golden compares with a file of services/testdata, or writes it.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("../services/testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s is now\n%s\nIf that is right: dev/services/check.sh -update", path, text)
	}
}

func indented(t *testing.T, value any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Our own services evaluate to what services/testdata holds.
func TestServicesEvaluate(t *testing.T) {
	var own map[string]struct {
		ProcessCompose any
		Texts          map[string]string
	}
	evaluate(t, "own", &own)
	if len(own) != 7 {
		t.Errorf("there are %d services", len(own))
	}
	for name, service := range own {
		golden(t, name+".json", indented(t, service.ProcessCompose))
		for file, text := range service.Texts {
			golden(t, name+"."+file, text)
		}
	}
}

// checked is init's word on a project or on modular services.
func checked(t *testing.T, name string, value any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".json")
	if err := os.WriteFile(path, []byte(indented(t, value)), 0o600); err != nil {
		t.Fatal(err)
	}
	says, found := strings.CutPrefix(initCheck(t, path), path+": ")
	if !found {
		t.Errorf("init check says of %s more than one line", name)
	}
	return strings.TrimSpace(says)
}

// All services of services-flake, as they stand there, are good for init.
func TestServicesFlake(t *testing.T) {
	var all map[string]struct{ Processes map[string]any }
	var raw map[string]json.RawMessage
	evaluate(t, "flake", &raw)
	b, _ := json.Marshal(raw)
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 37 {
		t.Errorf("there are %d services, of 37 at least", len(all))
	}
	for name, service := range all {
		says := checked(t, name, raw[name])
		if len(service.Processes) == 0 || !strings.HasPrefix(says, "good: ") || strings.Contains(says, "\n") {
			t.Errorf("%s: %s", name, says)
		}
		t.Logf("%-20s %s", name, says)
	}
}

// With services-flake there are its services and ours. Where both have one, ours takes
// all options of theirs, and what was written for theirs.
func TestServicesTogether(t *testing.T) {
	var both struct {
		Services, Shared []string
		Missing          map[string][]string
		ProcessCompose   struct{ Processes map[string]process }
	}
	evaluate(t, "both", &both)
	if !slices.Equal(both.Shared, []string{"nginx", "ollama"}) {
		t.Errorf("both have %q", both.Shared)
	}
	if len(both.Services) < 37+5 {
		t.Errorf("there are %d services: %q", len(both.Services), both.Services)
	}
	for name, missing := range both.Missing {
		if len(missing) > 0 {
			t.Errorf("our %s lacks the options %q of services-flake's", name, missing)
		}
	}
	processes := both.ProcessCompose.Processes
	if processes["ollama1"].DependsOn["gpu"].Condition == "" || processes["cache"].Command == "" {
		t.Errorf("the processes are %+v", processes)
	}
}

// Modular services evaluate to what services/testdata holds, which init takes; what they
// assert and warn of is the container's to say.
func TestModularServicesEvaluate(t *testing.T) {
	var modular struct {
		ModularServices any
		Warnings        []string
		Assertions      []struct{ Message string }
	}
	evaluate(t, "modular", &modular)
	golden(t, "modular.json", indented(t, modular.ModularServices))
	if want := []string{"in system.services.web: the outer warning"}; !slices.Equal(modular.Warnings, want) {
		t.Errorf("the warnings are %q", modular.Warnings)
	}
	if len(modular.Assertions) != 1 || modular.Assertions[0].Message != "in system.services.web.services.worker: the inner assertion" {
		t.Errorf("the assertions are %+v", modular.Assertions)
	}
	var without []struct{ Message string }
	evaluate(t, "withoutModular", &without)
	if len(without) != 1 || !strings.HasPrefix(without[0].Message, "system.services: this nixpkgs has no modular services.") {
		t.Errorf("of an old nixpkgs it says %+v", without)
	}
}

// The flake of each example evaluates as it stands, and what init gets in its containers
// is good.
func TestServicesOfExamples(t *testing.T) {
	var examples map[string]map[string]struct{ Config, Name, Tag string }
	evaluateFile(t, "../dev/services/examples.nix", &examples, "--argstr", "flakeParts", folder(t, "NIX2VAST_TEST_FLAKE_PARTS"))
	page, err := os.ReadFile("../examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines, services := map[string]string{}, map[string]string{}
	for example, containers := range examples {
		if len(containers) == 0 || !strings.Contains(string(page), "| ["+example+"]("+example+"/flake.nix) | ") {
			t.Errorf("%s has %d containers, or README.md does not tell of it", example, len(containers))
		}
		for name, container := range containers {
			var config struct {
				ProcessCompose struct{ Processes map[string]process }
			}
			if err := json.Unmarshal([]byte(container.Config), &config); err != nil {
				t.Fatal(err)
			}
			services[name] = checked(t, name, json.RawMessage(container.Config))
			shellLines(lines, name, config.ProcessCompose.Processes)
		}
	}
	for name, want := range map[string]string{
		"basic": "0 services", "small": "0 services", "services": "6 services", "cuda-training": "2 services", "comfyui": "2 services",
		"custom-home": "2 services", "secrets": "3 services", "registry": "0 services", "fleet-head": "1 service", "fleet-worker": "1 service",
	} {
		if services[name] != "good: "+want {
			t.Errorf("init check says of %s %q, not %s", name, services[name], want)
		}
	}
	if registry := examples["registry"]["registry"]; len(examples) != 8 || registry.Name != "trainer" || registry.Tag != "v1.2" {
		t.Errorf("there are %d examples; that of a registry has %+v", len(examples), registry)
	}
	shellcheck(t, lines)
}

// Our services run what is built with CUDA in a container that has it, without the author
// having asked nixpkgs for that, and nothing else that is not free is let in.
func TestServicesUseCUDA(t *testing.T) {
	var commands struct {
		Without string
		With    string `json:"with_"`
	}
	evaluate(t, "gpu", &commands)
	if !strings.HasSuffix(commands.With, " exec /cuda-true/bin/ollama serve") || !strings.HasSuffix(commands.Without, "-ollama-1.0.0/bin/ollama serve") {
		t.Errorf("with CUDA runs %s\nwithout %s", commands.With, commands.Without)
	}
}

// In nixpkgs' tester of modular services our init runs the services and then the test,
// whose end is the end of the build.
func TestModularServiceCompliance(t *testing.T) {
	store, err := filepath.Abs("../build")
	if err != nil {
		t.Fatal(err)
	}
	test := filepath.Join(t.TempDir(), "test")
	var suite struct {
		Evaluated struct {
			Argv  []string
			Lines string
		}
		Run, Reload string
	}
	evaluateFile(t, "../dev/services", &suite, "--read-write-mode", "-A", "compliance", "--argstr", "init", store+"/init", "--argstr", "testExe", test)
	if !slices.Equal(suite.Evaluated.Argv, []string{"/bin/a", "b"}) || suite.Reload != store+"/init reload a.b" {
		t.Errorf("the suite is %+v", suite)
	}
	for _, c := range []struct {
		name, lines, test string
		good              bool
		want              string
	}{
		{"the evaluation", suite.Evaluated.Lines, "", true, "good: 2 services"},
		{"a test that finds both", suite.Run, "init status --wait 20s a a.b && pgrep -xc sleep", true, "compliance-tester | 2"},
		{"a test that fails", suite.Run, "exit 3", false, "ended with exit code 3"},
	} {
		script := "#!/bin/sh\nPATH=" + store + ":/usr/sbin:/usr/bin:/sbin:/bin\n" + c.test + "\n"
		if err := os.WriteFile(test, []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out")
		// The store is not where its paths say.
		lines := strings.ReplaceAll(c.lines, " /nix/store/", " "+store+"/nix/nix/store/")
		// A build has a /run of its own: init's socket stays off this machine's.
		cmd := exec.Command("unshare", "-rm", "sh", "-euc", `mount -t tmpfs tmpfs /run; exec bash -euc "$0"`, lines)
		cmd.Env = append(os.Environ(), "out="+out)
		says, err := cmd.CombinedOutput()
		if _, made := os.Stat(out); (err == nil) != c.good || (made == nil) != c.good || !strings.Contains(string(says), c.want) {
			t.Errorf("%s: %v\n%s\n%s", c.name, err, lines, says)
		}
	}
}
