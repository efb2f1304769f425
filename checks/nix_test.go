package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// nix runs a program of Nix with a configuration of its own and returns what it says.
func nix(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "NIX_CONFIG=build-users-group =\nexperimental-features = nix-command flakes\nsubstituters =\n")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func TestNixParses(t *testing.T) {
	list := tracked(t, ".nix")
	files := make([]string, 0, len(list))
	for _, path := range list {
		if path != "Dockerfile.nix" { // a Dockerfile
			files = append(files, filepath.Join("..", path))
		}
	}
	if len(files) < 30 {
		t.Fatalf("only %d files were found", len(files))
	}
	nix(t, "nix-instantiate", append([]string{"--parse"}, files...)...)
}

// TestNixNames wants names-like-this. A file of config is an option: nix-config.nix has
// options.nixConfig and no other.
func TestNixNames(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*\.nix$`)
	option := regexp.MustCompile(`(?m)^  options\.(\w+)`)
	hump := regexp.MustCompile(`[A-Z]`)
	for _, path := range tracked(t, ".nix") {
		name := filepath.Base(path)
		if path == "Dockerfile.nix" {
			continue
		}
		if !kebab.MatchString(name) {
			t.Errorf("%s: the name is not of small letters, digits and single dashes", path)
		}
		if filepath.Dir(path) != "config" {
			continue
		}
		found := option.FindAllStringSubmatch(readFile(t, path), -1)
		if imported := strings.Contains(readFile(t, path), "(import ../services"); imported && len(found) == 0 {
			continue // declared there
		}
		if len(found) != 1 {
			t.Errorf("%s: there are %d options, not one", path, len(found))
			continue
		}
		want := hump.ReplaceAllStringFunc(found[0][1], func(s string) string { return "-" + strings.ToLower(s) }) + ".nix"
		if name != want {
			t.Errorf("%s: the option %s belongs in config/%s", path, found[0][1], want)
		}
	}
}

// TestVendorHash holds the hash for nixpkgs' buildGoModule together with go.mod. nixpkgs
// hashes what `go mod vendor` makes, as one path of the store.
func TestVendorHash(t *testing.T) {
	vendor := filepath.Join(t.TempDir(), "vendor")
	cmd := exec.Command("go", "mod", "vendor", "-o", vendor)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go mod vendor: %v\n%s", err, out)
	}
	want := nix(t, "nix", "hash", "path", vendor)
	if text := readFile(t, "modules/vendor-hash.nix"); !strings.Contains(text, `"`+want+`"`) {
		t.Errorf("modules/vendor-hash.nix does not hold %q", want)
	}
}
