package checks

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNixKnowsServices holds modules/names.nix, by which a container is refused that has a service
// of a name of ours, together with the services that init itself brings.
func TestNixKnowsServices(t *testing.T) {
	own := regexp.MustCompile(`own = map \([^)]*\) \[([^]]*)\]`).FindStringSubmatch(readFile(t, "modules/names.nix"))
	if own == nil {
		t.Fatal("modules/names.nix has no list of names")
	}
	says := strings.Fields(strings.ReplaceAll(own[1], `"`, ""))
	constants, used := map[string]string{}, []string{}
	files, err := filepath.Glob("../init/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text := readFile(t, strings.TrimPrefix(file, "../"))
		for _, c := range regexp.MustCompile(`(?m)^\s*(?:const )?(\w+Name)\s*= "([a-z-]+)"$`).FindAllStringSubmatch(text, -1) {
			constants[c[1]] = c[2]
		}
		for _, c := range regexp.MustCompile(`services\.Service\{\s*Name:\s*(\w+),`).FindAllStringSubmatch(text, -1) {
			used = append(used, c[1])
		}
	}
	var want []string
	for _, name := range used {
		want = append(want, constants[name])
	}
	slices.Sort(says)
	slices.Sort(want)
	if !slices.Equal(says, want) || len(want) < 6 {
		t.Errorf("modules/names.nix has the services %q, init has %q", says, want)
	}
}

// TestDevShell holds the packages of `nix develop` together with what dev/setup.sh installs.
func TestDevShell(t *testing.T) {
	packages := map[string]string{
		"nix-build": "nix", "ssh": "openssh", "sshd": "openssh", "unshare": "util-linux", "ps": "procps", "ip": "iproute2", "node": "nodejs",
		"nc":      "netcat-openbsd",
		"python3": "python3", "redis-server": "redis", "pg_ctlcluster": "postgresql", "docker-registry": "distribution",
		"newuidmap": "", "slirp4netns": "", "fuse-overlayfs": "", // of a docker without root
	}
	shell := readFile(t, "modules/develop.nix")
	needs := regexp.MustCompile(`(?m)^\s*need (\S+) `).FindAllStringSubmatch(readFile(t, "dev/setup.sh"), -1)
	if len(needs) < 20 {
		t.Errorf("dev/setup.sh needs %d commands", len(needs))
	}
	for _, need := range needs {
		name, other := packages[need[1]]
		if !other {
			name = need[1]
		}
		if name != "" && !regexp.MustCompile(`pkgs\.`+name+`\b`).MatchString(shell) {
			t.Errorf("dev/setup.sh installs what has %s, and the shell of modules/develop.nix has no pkgs.%s", need[1], name)
		}
	}
}
